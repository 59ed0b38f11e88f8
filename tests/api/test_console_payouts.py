"""Payouts at the console: from what is due to the proof, by two members and forms alone; on both databases."""

import re
from dataclasses import dataclass, field
from html import unescape
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlmodel import col, select

from campaigns import identity, ids
from campaigns.errors import Invalid
from campaigns.identity import RIGHTS, Organisation, Role
from campaigns.sponsorship import Payout
from campaigns.sponsorship.money import typed
from tests.api.desk import COOKIE
from tests.api.peers import Peers
from tests.factories import make_campaign, make_mission
from tests.treasury import Purse, accrue, make_purse, release


@dataclass
class Till:
    """An organisation with money that is due, its members, and what their browsers post."""

    peers: Peers
    owner: Organisation
    purses: list[Purse] = field(default_factory=list)

    def owes(self, *amounts: int, **options: Any) -> Purse:
        """A pledge on which these amounts are due."""
        now = self.peers.services.clock()
        with self.peers.services.database.transaction() as session:
            mission = make_mission(session, make_campaign(session, self.owner, now=now), now=now)
            purse = make_purse(session, mission, now=now, **options)
            release(session, purse, [accrue(session, purse, one, now=now) for one in amounts], now=now)
        self.purses.append(purse)
        return purse

    def member(self, name: str, role: Role = Role.OWNER) -> "Sitter":
        now, most = self.peers.services.clock(), RIGHTS[Role.OWNER]
        with self.peers.services.database.transaction() as session:
            fields: dict[str, Any] = {"email": f"{uuid4().hex}@example.org", "name": name, "role": role, "most": most}
            _, __, link = identity.invite_member(session, self.owner.id, **fields, now=now)
            _, secret = identity.sign_in_member(session, link, label=name, replaces=None, now=now)
        return Sitter(self, {"Cookie": f"{COOKIE}={secret}", "Accept": "text/html", "Accept-Language": "en"})

    def payouts(self) -> list[Payout]:
        with self.peers.services.database.snapshot() as session:
            mine = select(Payout).where(Payout.organisation_id == self.owner.id)
            return list(session.exec(mine.order_by(col(Payout.id))))


@dataclass
class Sitter:
    """A member at the console."""

    till: Till
    headers: dict[str, str]

    def page(self, path: str = "/console/payouts") -> str:
        answer = self.till.peers.client.get(path, headers=self.headers)
        assert answer.status_code == 200
        return said(answer)

    def post(self, path: str, **fields: Any) -> httpx2.Response:
        return self.till.peers.client.post(path, data=fields, headers=self.headers, follow_redirects=False)

    def propose(self, purse: Purse, *more: Purse, currency: str = "EUR") -> httpx2.Response:
        named = [ids.show("pld", one.pledge.id) for one in (purse, *more)]
        cause = ids.show("ben", purse.cause.id)
        return self.post("/console/payouts", beneficiary_id=cause, currency=currency, pledge_ids=named)

    def move(self, verb: str, **fields: Any) -> httpx2.Response:
        """The newest payout's form."""
        return self.post(f"/console/payouts/{ids.show('pay', self.till.payouts()[-1].id)}/{verb}", **fields)


def said(answer: Any) -> str:
    return re.sub(r"\s+", " ", unescape(answer.text)).replace("\u202f", " ")


@pytest.fixture
def till(peers: Peers) -> Till:
    with peers.services.database.transaction() as session:
        return Till(peers, identity.found_organisation(session, f"Halle {uuid4().hex[:8]}", now=peers.services.clock()))


def test_two_members_take_what_is_due_to_its_proof_by_forms_alone(till: Till) -> None:
    purse = till.owes(30, 30, 45)
    ana, ben = till.member("Ana"), till.member("Ben", Role.APPROVER)
    today = till.peers.services.clock().date().isoformat()
    page = ana.page()
    assert "1.05 EUR to Les amis du verger" in page
    assert "1.05 EUR, for 3 acts" in page
    assert "Propose this payout" not in ben.page()
    assert ana.propose(purse).headers["location"] == "/console/payouts?done=payout_proposed"
    page = ana.page("/console/payouts?done=payout_proposed")
    assert "Proposed: another member approves it now." in page
    assert "another member decides" in page
    assert "Nothing. What acts unlock" in page
    assert ana.move("approval").status_code == 403
    assert ana.move("sent", reference="VIR 1", sent_at=today).status_code == 409
    assert "Approve 1.05 EUR to" in ben.page()
    assert ben.move("approval").headers["location"].endswith("payout_approved")
    assert ben.move("sent", reference="VIR 1", sent_at=today).status_code == 403
    assert f'value="{today}"' in ana.page()
    assert ana.move("sent", reference="VIR 1", sent_at=today, fee_minor="0,05").headers["location"].endswith("sent")
    assert "Fees: 0.05 EUR." in ana.page()
    assert ana.move("cancellation", reason="Too late").status_code == 409
    assert ana.move("confirmation", proof="They thanked us", reference="Receipt 12").status_code == 303
    page = ana.page()
    assert "They thanked us · Receipt 12" in page
    assert "/confirmation" not in page
    (payout,) = till.payouts()
    assert (payout.state, payout.amount_minor, payout.fee_minor, payout.reference) == ("confirmed", 105, 5, "VIR 1")
    assert payout.proof == {"text": "They thanked us", "reference": "Receipt 12"}


WRONG_SENT: list[tuple[dict[str, str], str, str]] = [
    ({"fee_minor": "1.05"}, "fee_minor", "less than what is paid out"),
    ({"fee_minor": "-0.01"}, "fee_minor", "A fee is an amount like 1.50"),
    ({"fee_minor": "1e1"}, "fee_minor", "A fee is an amount like 1.50"),
    ({"fee_minor": "0.001"}, "fee_minor", "A fee is an amount like 1.50"),
    ({"fee_minor": "٣"}, "fee_minor", "A fee is an amount like 1.50"),
    ({"reference": " "}, "reference", "Give a reference"),
    ({"reference": "x" * 141}, "reference", "Give a reference"),
    ({"reference": "a\x00b"}, "reference", "Give a reference"),
    ({"sent_at": "2001-01-01"}, "sent_at", "Choose the day of the approval"),
    ({"sent_at": "9999-12-31"}, "sent_at", "Choose the day of the approval"),
    ({"sent_at": "yesterday"}, "sent_at", "Choose the day of the approval"),
    ({"sent_at": ""}, "sent_at", "Choose the day of the approval"),
]


def test_what_cannot_be_is_said_beside_its_field_and_nothing_typed_is_lost(till: Till) -> None:
    purse = till.owes(30, 30, 45)
    ana, ben = till.member("Ana"), till.member("Ben")
    ana.propose(purse)
    ben.move("approval")
    id = ids.show("pay", till.payouts()[-1].id)
    good = {"sent_at": till.peers.services.clock().date().isoformat(), "reference": "VIR “9”", "fee_minor": "0.07"}

    def refused(answer: httpx2.Response, name: str, words: str, fields: dict[str, str]) -> None:
        page = said(answer)
        assert answer.status_code == 422, (name, words)
        assert words in page.partition(f'id="{name}-{id}-error">')[2].partition("</p>")[0], (name, words, page)
        assert f'aria-describedby="{name}-{id}-error' in page
        for value in fields.values():
            assert not value.strip() or "\x00" in value or value in page, (name, value)

    for wrong, name, words in WRONG_SENT:
        refused(ana.move("sent", **good | wrong), name, words, good | wrong)
    refused(ana.move("cancellation", reason=" "), "reason", "Say why", {})
    assert till.payouts()[-1].state == "approved", "nothing moved"
    assert ana.move("sent", **good).status_code == 303
    refused(ana.move("confirmation"), "proof", "Say what shows it", {})
    refused(ana.move("confirmation", reference="x" * 141), "reference", "Give a reference", {"reference": "x" * 141})
    assert till.payouts()[-1].state == "sent"


def test_the_pledges_that_are_ticked_are_taken_and_no_others(till: Till) -> None:
    first, ana = till.owes(30, 30), till.member("Ana")
    with till.peers.services.database.transaction() as session:
        now = till.peers.services.clock()
        second = make_purse(session, first.mission, now=now, sponsor="Laiterie")
        act = accrue(session, second, 12, now=now, beneficiary_id=first.cause.id)
        release(session, second, [act], now=now)
    page = ana.page()
    assert "0.72 EUR to Les amis du verger" in page
    assert page.count('name="pledge_ids"') == 2
    empty = ana.post("/console/payouts", beneficiary_id=ids.show("ben", first.cause.id), currency="EUR")
    assert empty.status_code == 422
    assert "Tick at least one pledge." in said(empty)
    assert " checked" not in said(empty), "what was left out stays so"
    assert ana.propose(first).status_code == 303
    assert [one.amount_minor for one in till.payouts()] == [60]
    assert "0.12 EUR to Les amis du verger" in ana.page()
    again = ana.propose(first)
    assert again.status_code == 409
    assert "Nothing is due to this cause" in said(again)
    assert ana.move("cancellation", reason="Wrong account").status_code == 303
    page = ana.page()
    assert "Wrong account" in page
    assert "0.72 EUR to Les amis du verger" in page


def test_a_payout_of_things_has_no_fee_and_is_of_one_pledge(till: Till) -> None:
    now, ana, ben = till.peers.services.clock(), till.member("Ana"), till.member("Ben")
    things: dict[str, Any] = {"kind": "in_kind", "currency": "XXX", "unit_label": {"fr": "arbre", "en": "tree"}}
    purse = till.owes(2, 1, **things)
    assert "3 to Les amis du verger" in ana.page()
    assert ana.propose(purse, currency="XXX").status_code == 303
    assert ben.move("approval").status_code == 303
    assert "Fee that the bank kept" not in ana.page()
    assert ana.move("sent", reference="Delivery 4", sent_at=now.date().isoformat()).status_code == 303


def test_another_organisations_payouts_and_causes_are_not_there(till: Till, peers: Peers) -> None:
    purse, ana = till.owes(30), till.member("Ana")
    with peers.services.database.transaction() as session:
        now = peers.services.clock()
        stranger = Till(peers, identity.found_organisation(session, f"Halle {uuid4().hex[:8]}", now=now))
    eve = stranger.member("Eve")
    assert eve.propose(purse).status_code == 404
    ana.propose(purse)
    id = ids.show("pay", till.payouts()[-1].id)
    for verb in ("approval", "sent", "confirmation", "cancellation"):
        assert eve.post(f"/console/payouts/{id}/{verb}", reason="Mine now").status_code == 404, verb
    assert "Les amis du verger" not in eve.page()
    assert till.payouts()[-1].state == "proposed"


@pytest.mark.parametrize(
    ("text", "currency", "amount"),
    [
        *[("", "EUR", 0), ("1.5", "EUR", 150), ("1,50", "EUR", 150), ("1 234,5", "EUR", 123_450), ("7", "JPY", 7)],
        *[("1.234", "KWD", 1234), ("7.0", "JPY", None), ("1.234", "EUR", None), ("1,2,3", "EUR", None)],
        *[("+1", "EUR", None), ("1_0", "EUR", None), ("²", "EUR", None), ("9" * 40, "EUR", None)],
        *[(".", "EUR", None), (".5", "EUR", None)],
    ],
)
def test_an_amount_is_read_as_people_write_it(text: str, currency: str, amount: int | None) -> None:
    if amount is not None:
        assert typed(text, currency, pointer="/fee_minor") == amount
        return
    with pytest.raises(Invalid) as refused:
        typed(text, currency, pointer="/fee_minor")
    assert refused.value.context["pointer"] == "/fee_minor"
