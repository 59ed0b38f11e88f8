"""What a person's acts brought, on `/me` and as an attestation: theirs alone, and true to the public ledger."""

import base64
import csv
import io
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx2
import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from starlette.testclient import TestClient

from campaigns import identity, ids, participants
from campaigns.sponsorship.chain import Chainer
from campaigns.sponsorship.models import Accrual
from tests.api.desk import text_of
from tests.api.helpers import problem
from tests.api.peers import Peers
from tests.factories import make_campaign, make_mission
from tests.treasury import Purse, accrue, make_purse, name_in_ledger, release, take_back

PAGE = {"Accept": "text/html", "Accept-Language": "en"}
AS_JSON = {"Accept": "application/json"}


@dataclass
class Holder:
    """A person with three accruals: one posted, one under review, one taken back."""

    peers: Peers
    purse: Purse
    participant_id: Any
    cookie: dict[str, str]
    posted: Accrual
    pending: Accrual
    undone: Accrual

    def get(self, path: str, headers: dict[str, str], *, cookie: bool = True) -> Any:
        phone: TestClient = self.peers.client
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in self.cookie.items())} if cookie else {}
        return phone.get(path, headers=headers | sent)


@pytest.fixture
def holder(peers: Peers) -> Holder:
    now, database = peers.services.clock(), peers.services.database
    with database.transaction() as session:
        owner = identity.organisation_by_id(session, peers.one.id)
        mission = make_mission(session, make_campaign(session, owner, now=now), now=now)
        purse = make_purse(session, mission, now=now)
        person, secret = participants.join(session, owner.id, language="fr", now=now)
        surrogate = name_in_ledger(session, mission, person.id)
        stranger = accrue(session, purse, 99, now=now)
        posted, pending, undone = (accrue(session, purse, n, surrogate=surrogate, now=now) for n in (11, 12, 13))
        release(session, purse, [stranger, posted, undone], now=now)
        take_back(session, purse, undone, now=now)
    chainer = Chainer(database)
    for _ in range(3):
        chainer.turn(now)
    cookie = {f"passerelle_p_{owner.id.hex[-12:]}": secret}
    return Holder(peers, purse, person.id, cookie, posted, pending, undone)


def url_of(accrual: Accrual) -> str:
    return f"/me/attestations/{ids.show('acr', accrual.id)}"


def test_a_person_finds_what_their_acts_brought_and_nobody_elses(holder: Holder) -> None:
    said = text_of(holder.get("/me", PAGE))
    assert "0.11 EUR → Les amis du verger" in said
    assert "0.12 EUR" in said
    assert "Under review until" in said
    assert "Taken back: the act was found void." in said
    assert "0.99 EUR" not in said
    assert "0.11 EUR" not in text_of(holder.get("/me", PAGE, cookie=False))


def test_an_attestation_names_the_line_of_the_download(holder: Holder) -> None:
    body = holder.get(url_of(holder.posted), AS_JSON).json()
    download: httpx2.Response = holder.peers.client.get(body["ledger_url"])
    rows = {int(row["number"]): row for row in csv.DictReader(io.StringIO(download.text))}
    row = rows[body["line"]["number"]]
    assert (row["hash"], row["amount_minor"]) == (body["line"]["hash"], "11")
    assert (row["beneficiary"], row["code"]) == (body["cause"], "posting")
    said = text_of(holder.get(url_of(holder.posted), PAGE))
    assert row["hash"] in said
    assert f"Line {row['number']} of the public ledger" in said
    back = holder.get(url_of(holder.undone), AS_JSON).json()
    assert rows[back["taken_back_by_line"]]["reverses"] == str(back["line"]["number"])


def test_what_is_under_review_has_no_line_and_no_signature(holder: Holder) -> None:
    body = holder.get(url_of(holder.pending), AS_JSON).json()
    assert body["line"] is None
    assert "signature" not in body
    until = holder.peers.services.clock() + timedelta(hours=72)
    assert body["review_until"] == until.isoformat()
    assert "To show to others" not in text_of(holder.get(url_of(holder.pending), PAGE))


def test_the_statement_is_signed_and_says_no_name(holder: Holder) -> None:
    body = holder.get(url_of(holder.posted), AS_JSON).json()
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(body["public_key"]))
    signature = base64.b64decode(body["signature"])
    key.verify(signature, body["statement"].encode())
    with pytest.raises(InvalidSignature):
        key.verify(signature, body["statement"].replace("\t11\t", "\t91\t").encode())
    words = body["statement"].split("\t")
    assert words[2:5] == [str(body["line"]["number"]), body["line"]["hash"], "11"]
    assert holder.participant_id.hex not in str(body)
    assert holder.posted.surrogate.hex not in str(body)


def test_only_the_persons_own_cookie_opens_it(holder: Holder, peers: Peers) -> None:
    url = url_of(holder.posted)
    problem(holder.get(url, AS_JSON, cookie=False), 404)
    now = peers.services.clock()
    with peers.services.database.transaction() as session:
        _, secret = participants.join(session, peers.one.id, language="fr", now=now)
    other = Holder(**vars(holder) | {"cookie": dict.fromkeys(holder.cookie, secret)})
    problem(other.get(url, AS_JSON), 404)
    for wrong in ("acr_nothing", "par_" + holder.participant_id.hex, ids.show("acr", holder.participant_id)):
        assert holder.get(f"/me/attestations/{wrong}", AS_JSON).status_code == 404
    assert "no-store" in holder.get(url, PAGE).headers["cache-control"]
    assert holder.get(url, PAGE).status_code == 200
