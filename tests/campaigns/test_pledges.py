"""Pledges on both databases: what can be promised, what a signature freezes, and what becomes of it by the clock.

Tried by hand, each turning a test red: no `used_at IS NULL` in `signing._use`; no comparison of `terms_hash` in `sign`;
no `require_draft` in `change_pledge`; no `_is_bound` in `change_party`; `accept` without the pledges that waited;
`activate` without asking for every acceptance; `_to_settle` without the open accounts, and without `LATE`; the first
link not taken back by the second; a match of a match.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import Session, select

from campaigns import missions, planning, sponsorship
from campaigns.errors import CampaignError, Conflict, Gone, Invalid, NotFound
from campaigns.events import Event
from campaigns.identity import Organisation
from campaigns.last_writes import write_last
from campaigns.missions import GoalMetric, Mission
from campaigns.planning import Campaign
from campaigns.sponsorship import Beneficiary, LastSlice, Pledge, PledgeKind, PledgePlan, Sponsor, ledger
from campaigns.sponsorship.ledger import Account, AccountKind, Code, Move
from campaigns.sponsorship.models import PledgeBeneficiary, PledgeLink
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_mission, make_organisation
from tests.racing import race

MOST = 2**53 - 1


@dataclass
class Ground:
    """A mission with a sponsor and two causes."""

    owner: Organisation
    campaign: Campaign
    mission: Mission
    sponsor: Sponsor
    causes: tuple[Beneficiary, Beneficiary]

    def plan(self, **changes: Any) -> PledgePlan:
        plan = PledgePlan(self.sponsor.id, [self.causes[0].id], PledgeKind.PER_ACT, "EUR", 500_000, 10, min_presence=2)
        return replace(plan, **changes)


def make_ground(session: Session, **mission: Any) -> Ground:
    owner = make_organisation(session)
    campaign = make_campaign(session, owner)
    found = make_mission(session, campaign, **mission)
    sponsor = sponsorship.register(session, Sponsor, owner.id, name="Banque du Rhône", now=NOON)
    causes = [
        sponsorship.register(session, Beneficiary, owner.id, name=name, legal_id=f"W{at}", now=NOON)
        for at, name in enumerate(("X", "Y"))
    ]
    return Ground(owner, campaign, found, sponsor, (causes[0], causes[1]))


def make_pledge(session: Session, ground: Ground, **changes: Any) -> Pledge:
    return sponsorship.promise(session, ground.mission, ground.plan(**changes), now=NOON)


def signature_of(session: Session, ground: Ground, pledge: Pledge) -> tuple[str, str]:
    _, secret = sponsorship.issue_signature_link(session, pledge, now=NOON)
    return secret, sponsorship.terms_hash_of(session, pledge, organisation_name=ground.owner.name)


def sign(session: Session, ground: Ground, pledge: Pledge, *, now: datetime = NOON) -> Pledge:
    secret, hash = signature_of(session, ground, pledge)
    return sponsorship.sign(session, secret, name="Jeanne", terms_hash=hash, now=now)


def accept(session: Session, ground: Ground, cause: Beneficiary, *, now: datetime = NOON) -> Beneficiary:
    _, secret = sponsorship.issue_acceptance_link(session, cause, now=NOON)
    hash = sponsorship.acceptance_hash(cause, organisation_name=ground.owner.name)
    return sponsorship.accept(session, secret, name="Ali", terms_hash=hash, now=now)


def refused(kind: type[CampaignError], act: Callable[[], object], code: str, pointer: str | None = None) -> None:
    with pytest.raises(kind) as refusal:
        act()
    assert (refusal.value.code, refusal.value.context.get("pointer")) == (code, pointer)


BAD: list[tuple[dict[str, Any], str]] = [
    *(({"unit_minor": bad}, "/unit_minor") for bad in (-1, 0, 2**53, 0.5, "1e3", True, None)),
    *(({"cap_minor": bad}, "/cap_minor") for bad in (-1, 0, 2**53)),
    ({"currency": "EUX"}, "/currency"),
    ({"currency": "DEM"}, "/currency"),
    ({"currency": "XXX"}, "/currency"),
    ({"cap_minor": 9, "last_slice": LastSlice.KEEP_REMAINDER}, "/cap_minor"),
    ({"per_day_cap_minor": 9, "last_slice": LastSlice.KEEP_REMAINDER}, "/per_day_cap_minor"),
    ({"per_person_cap_minor": 500_001}, "/per_person_cap_minor"),
    ({"per_day_cap_minor": 500_001}, "/per_day_cap_minor"),
    ({"per_day_cap_minor": 0}, "/per_day_cap_minor"),
    ({"starts_at": NOON + timedelta(days=9), "ends_at": NOON + timedelta(days=8)}, "/ends_at"),
    ({"starts_at": NOON + timedelta(days=9), "ends_at": NOON + timedelta(days=9)}, "/ends_at"),
    ({"ends_at": NOON}, "/ends_at"),
    ({"starts_at": NOON - timedelta(days=9), "ends_at": NOON - timedelta(days=8)}, "/ends_at"),
    ({"ends_at": NOON.replace(year=2040)}, "/ends_at"),
    ({"ends_at": NOON.replace(year=2101)}, "/ends_at"),
    ({"starts_at": NOON.replace(year=1999)}, "/starts_at"),
    ({"starts_at": NOON.replace(year=2050)}, "/starts_at"),
    ({"min_presence": 4}, "/min_presence"),
    ({"review_h": -1}, "/review_h"),
    ({"review_h": 721}, "/review_h"),
    ({"beneficiary_ids": []}, "/beneficiary_ids"),
    ({"threshold": 5}, "/threshold"),
    ({"kind": PledgeKind.THRESHOLD}, "/threshold"),
    ({"kind": PledgeKind.THRESHOLD, "threshold": 1}, "/threshold"),
    ({"match_percent": 50}, "/match_percent"),
    ({"kind": PledgeKind.MATCH, "unit_minor": None}, "/matches_id"),
    ({"unit_label": {"": "tree"}}, "/unit_label"),
    ({"kind": PledgeKind.IN_KIND}, "/currency"),
    ({"kind": PledgeKind.IN_KIND, "currency": "XXX"}, "/unit_label"),
]


@pytest.mark.parametrize(("changes", "pointer"), BAD)
def test_what_cannot_be_promised_is_refused_by_name(session: Session, changes: dict[str, Any], pointer: str) -> None:
    ground = make_ground(session)
    refused(Invalid, lambda: make_pledge(session, ground, **changes), "invalid", pointer)
    draft = make_pledge(session, ground)
    refused(Invalid, lambda: sponsorship.change_pledge(session, draft, now=NOON, **changes), "invalid", pointer)


@pytest.mark.parametrize("amount", [1, MOST])
def test_the_least_and_the_most_can_be_promised(session: Session, amount: int) -> None:
    pledge = make_pledge(session, make_ground(session), unit_minor=amount, cap_minor=MOST)
    session.expire(pledge)
    assert (pledge.unit_minor, pledge.cap_minor, pledge.state) == (amount, MOST, "draft")


def test_nothing_of_another_organisation_or_mission_is_named(session: Session) -> None:
    ground, other = make_ground(session), make_ground(session)
    theirs = missions.steps_of(session, other.mission.id)[0]
    further = make_mission(session, ground.campaign, title={"": "Further"})
    step = missions.steps_of(session, further.id)[0]
    abroad = make_pledge(session, replace(ground, mission=further))
    for foreign, pointer in (
        ({"sponsor_id": other.sponsor.id}, "/sponsor_id"),
        ({"sponsor_id": uuid4()}, "/sponsor_id"),
        ({"beneficiary_ids": [ground.causes[0].id, other.causes[0].id]}, "/beneficiary_ids/1"),
        ({"step_id": theirs.id}, "/step_id"),
        ({"step_id": uuid4()}, "/step_id"),
        (matching(abroad, matches_id=uuid4()), "/matches_id"),
    ):
        refused(NotFound, partial(make_pledge, session, ground, **foreign), "not_found", pointer)
    for changes, pointer in (
        ({"step_id": step.id}, "/step_id"),
        ({"kind": PledgeKind.MATCH, "unit_minor": None, "matches_id": abroad.id, "match_percent": 50}, "/matches_id"),
    ):
        refused(Invalid, partial(make_pledge, session, ground, **changes), "invalid", pointer)
    with pytest.raises(NotFound):
        sponsorship.pledge_by_id(session, other.owner.id, abroad.id)
    assert session.exec(select(Pledge)).all() == [abroad]


def matching(of: Pledge, **changes: Any) -> dict[str, Any]:
    return {"kind": PledgeKind.MATCH, "unit_minor": None, "matches_id": of.id, "match_percent": 50} | changes


def test_a_match_follows_what_it_matches(session: Session) -> None:
    ground = make_ground(session)
    base = make_pledge(session, ground, unit_minor=31)
    match = make_pledge(session, ground, **matching(base))
    assert match.unit_minor == 15
    sponsorship.change_pledge(session, base, now=NOON, unit_minor=200)
    assert match.unit_minor == 100
    for changes, pointer in (
        (matching(match), "/matches_id"),
        (matching(base, currency="USD"), "/currency"),
        (matching(base, match_percent=1_001), "/match_percent"),
        (matching(base, unit_minor=99), "/unit_minor"),
        (matching(base, step_id=missions.steps_of(session, ground.mission.id)[0].id), "/step_id"),
    ):
        refused(Invalid, partial(make_pledge, session, ground, **changes), "invalid", pointer)
    refused(Conflict, lambda: sponsorship.change_pledge(session, base, now=NOON, currency="USD"), "pledge_matched")
    session.refresh(base)
    refused(Conflict, lambda: sponsorship.withdraw_pledge(session, base), "pledge_matched")
    refused(Conflict, lambda: sign(session, ground, match), "match_unsigned")
    sign(session, ground, base)
    assert sign(session, ground, match).state == "signed"


def test_so_small_a_match_is_nothing(session: Session) -> None:
    ground = make_ground(session)
    base = make_pledge(session, ground, unit_minor=1)
    refused(Invalid, lambda: make_pledge(session, ground, **matching(base)), "invalid", "/match_percent")


def test_a_goal_of_money_is_in_one_currency(session: Session) -> None:
    ground = make_ground(session, goal_metric=GoalMetric.AMOUNT_MINOR, goal_value=5_000)
    assert sponsorship.currency_of(session, ground.mission) is None
    make_pledge(session, ground)
    refused(Invalid, lambda: make_pledge(session, ground, currency="USD"), "invalid", "/currency")
    things = {"kind": PledgeKind.IN_KIND, "currency": "XXX", "unit_label": {"fr": "arbre", "en": "tree"}}
    assert make_pledge(session, ground, unit_minor=1, cap_minor=9, **things).unit_label == things["unit_label"]
    assert sponsorship.currency_of(session, ground.mission) == "EUR"
    with_other = make_ground(session)
    make_pledge(session, with_other)
    assert make_pledge(session, with_other, currency="JPY").currency == "JPY"


def test_a_signature_freezes_the_terms_and_opens_the_book(session: Session) -> None:
    ground = make_ground(session)
    pledge = sign(session, ground, make_pledge(session, ground))
    assert (pledge.state, pledge.signed_by, pledge.signed_at, pledge.active_at) == ("signed", "Jeanne", NOON, None)
    floors = {one.kind: one.floor_minor for one in session.exec(select(Account))}
    assert floors == {"commitment": -500_000, "pending": 0, "due": 0, "settled": 0, "fees": 0}
    refused(Conflict, lambda: sponsorship.change_pledge(session, pledge, now=NOON, cap_minor=9_999), "terms_frozen")
    refused(Conflict, lambda: sponsorship.withdraw_pledge(session, pledge), "terms_frozen")
    refused(Conflict, lambda: sponsorship.issue_signature_link(session, pledge, now=NOON), "terms_frozen")
    refused(Conflict, lambda: sponsorship.change_party(session, ground.sponsor, now=NOON, name="Z"), "terms_frozen")
    refused(Conflict, lambda: sponsorship.change_party(session, ground.causes[0], now=NOON, name="Z"), "terms_frozen")
    assert sponsorship.change_party(session, ground.causes[1], now=NOON, name="Z").name == "Z"
    assert sponsorship.change_party(session, ground.sponsor, now=NOON, url="https://x.example").url
    sponsorship.require_steps_free(session, ground.mission.id)  # it names no step


def test_a_step_that_a_pledge_names_stays(session: Session) -> None:
    ground = make_ground(session)
    make_pledge(session, ground, step_id=missions.steps_of(session, ground.mission.id)[0].id)
    refused(Conflict, lambda: sponsorship.require_steps_free(session, ground.mission.id), "rules_frozen")


def test_what_is_signed_is_what_was_shown(session: Session) -> None:
    ground = make_ground(session)
    pledge = make_pledge(session, ground)
    secret, hash = signature_of(session, ground, pledge)
    changed: list[Callable[[], object]] = [
        lambda: sponsorship.change_pledge(session, pledge, now=NOON, cap_minor=400_000),
        lambda: sponsorship.change_pledge(session, pledge, now=NOON, beneficiary_ids=[ground.causes[1].id]),
        lambda: sponsorship.change_party(session, ground.causes[1], now=NOON, name="Another"),
        lambda: sponsorship.change_party(session, ground.sponsor, now=NOON, legal_id="SIREN 1"),
    ]
    seen = {hash}
    for change in changed:
        change()
        use = partial(sponsorship.sign, session, secret, name="Jeanne", terms_hash=hash, now=NOON)
        with session.begin_nested() as point:
            refused(Conflict, use, "terms_changed")
            point.rollback()
        session.expire_all()
        hash = sponsorship.terms_hash_of(session, pledge, organisation_name=ground.owner.name)
        assert hash not in seen
        seen.add(hash)
    signed = sponsorship.sign(session, secret, name="Jeanne", terms_hash=hash, now=NOON)
    assert signed.terms_hash == hash
    assert len(hash) == 64


def test_what_is_accepted_is_what_was_shown(session: Session) -> None:
    ground = make_ground(session)
    cause = ground.causes[0]
    _, secret = sponsorship.issue_acceptance_link(session, cause, now=NOON)
    hash = sponsorship.acceptance_hash(cause, organisation_name=ground.owner.name)
    sponsorship.change_party(session, cause, now=NOON, name="Another")
    use = partial(sponsorship.accept, session, secret, name="Ali", now=NOON)
    refused(Conflict, partial(use, terms_hash=hash), "terms_changed")
    assert cause.accepted_at is None


def test_a_pledge_is_active_once_signed_and_accepted_by_all(session: Session) -> None:
    ground = make_ground(session)
    both = [one.id for one in ground.causes]
    pledge = make_pledge(session, ground, beneficiary_ids=both)
    accept(session, ground, ground.causes[0])
    sign(session, ground, pledge)
    assert pledge.state == "signed"
    accept(session, ground, ground.causes[1], now=NOON + timedelta(hours=1))
    assert (pledge.state, pledge.active_at) == ("active", NOON + timedelta(hours=1))
    at_once = sign(session, ground, make_pledge(session, ground, beneficiary_ids=both))
    assert (at_once.state, at_once.active_at) == ("active", NOON)
    write_last(session)
    assert [one.name for one in session.exec(select(Event))].count("pledge.activated") == 2
    refused(Conflict, lambda: sponsorship.change_party(session, ground.causes[1], now=NOON, name="Z"), "terms_frozen")
    refused(Conflict, lambda: sponsorship.issue_acceptance_link(session, ground.causes[1], now=NOON), "wrong_state")


def test_a_link_is_good_once_for_a_fortnight_until_taken_back(session: Session) -> None:
    ground = make_ground(session)
    pledge = make_pledge(session, ground)
    first, hash = signature_of(session, ground, pledge)

    def use(secret: str, now: datetime = NOON) -> Pledge:
        return sponsorship.sign(session, secret, name="Jeanne", terms_hash=hash, now=now)

    second, _ = signature_of(session, ground, pledge)  # takes the first back
    refused(Gone, lambda: use(first), "pledge_link_over")
    refused(Gone, lambda: use(second, NOON + timedelta(days=14)), "pledge_link_over")
    refused(NotFound, lambda: use("nobody's"), "unknown_pledge_link")
    refused(Invalid, lambda: sponsorship.sign(session, second, name=" ", terms_hash=hash, now=NOON), "invalid", "/name")
    refused(
        NotFound,
        lambda: sponsorship.accept(session, second, name="Ali", terms_hash=hash, now=NOON),
        "unknown_pledge_link",
    )
    assert use(second, NOON + timedelta(days=13)).signed_by == "Jeanne"
    refused(Gone, lambda: use(second), "pledge_link_used")
    link = sponsorship.link_by_secret(session, second, now=NOON + timedelta(days=99))  # its page is the signer's copy
    refused(Conflict, lambda: sponsorship.revoke_link(session, link, now=NOON), "wrong_state")
    assert second.encode() not in link.secret_hash
    _, third = sponsorship.issue_acceptance_link(session, ground.causes[0], now=NOON)
    taken = sponsorship.link_by_secret(session, third, now=NOON)
    sponsorship.revoke_link(session, taken, now=NOON)
    sponsorship.revoke_link(session, taken, now=NOON + timedelta(hours=1))
    assert taken.revoked_at == NOON
    refused(Gone, lambda: sponsorship.link_by_secret(session, third, now=NOON), "pledge_link_over")
    with pytest.raises(NotFound):
        sponsorship.link_by_id(session, make_organisation(session, name="Other").id, taken.id)


def test_a_draft_goes_with_its_links(session: Session) -> None:
    ground = make_ground(session)
    pledge = make_pledge(session, ground)
    secret, _ = signature_of(session, ground, pledge)
    sponsorship.withdraw_pledge(session, pledge)
    assert [session.exec(select(table)).all() for table in (Pledge, PledgeBeneficiary, PledgeLink)] == [[], [], []]
    refused(NotFound, lambda: sponsorship.link_by_secret(session, secret, now=NOON), "unknown_pledge_link")


def test_a_pledge_cannot_be_signed_after_its_window_or_campaign(session: Session) -> None:
    ground = make_ground(session)
    short = make_pledge(session, ground, ends_at=NOON + timedelta(days=1))
    late = NOON + timedelta(days=1)
    refused(Conflict, lambda: sign(session, ground, short, now=late), "terms_changed")
    draft = make_pledge(session, ground)
    planning.end(session, ground.campaign, now=NOON)
    refused(Conflict, lambda: sign(session, ground, draft), "wrong_state")
    refused(Conflict, lambda: make_pledge(session, ground), "wrong_state")


def active(session: Session, ground: Ground, **changes: Any) -> Pledge:
    if ground.causes[0].accepted_at is None:
        accept(session, ground, ground.causes[0])
    pledge = sign(session, ground, make_pledge(session, ground, **changes))
    assert pledge.state == "active"
    return pledge


def accrue(session: Session, pledge: Pledge, amount: int) -> Callable[[], object]:
    """An accrual on the pledge's book; what pays it."""
    book = ledger.book_of(session, pledge.id, mission_id=pledge.mission_id)
    id = uuid4()
    moves = [Move(AccountKind.COMMITMENT, AccountKind.PENDING, amount, Code.ACCRUAL, id)]
    ledger.post(session, book, moves, now=NOON)

    def pay() -> None:
        ledger.post(session, book, [Move(AccountKind.PENDING, AccountKind.DUE, amount, Code.POSTING, id)], now=NOON)
        ledger.post(session, book, [Move(AccountKind.DUE, AccountKind.SETTLED, amount, Code.PAYOUT, id)], now=NOON)

    return pay


def test_a_window_ends_a_pledge_and_it_settles_when_nothing_is_open(session: Session) -> None:
    ground = make_ground(session)
    ends = NOON + timedelta(days=2)
    pledge, running = active(session, ground, ends_at=ends), active(session, ground)
    waiting = sign(session, ground, make_pledge(session, ground, beneficiary_ids=[ground.causes[1].id], ends_at=ends))
    pay = accrue(session, pledge, 10)
    assert not sponsorship.is_any_due(session, now=ends - timedelta(seconds=1))
    assert sponsorship.end_due(session, now=ends - timedelta(seconds=1)) == 0
    assert sponsorship.is_any_due(session, now=ends)
    assert sponsorship.end_due(session, now=ends) == 2
    assert (pledge.state, pledge.state_reason, pledge.ended_at) == ("ended", "window_over", ends)
    assert (waiting.state, waiting.settled_at) == ("settled", ends)  # it never counted anything
    after = ends + timedelta(hours=72)
    assert sponsorship.end_due(session, now=after) == 0  # something is pending
    pay()
    assert sponsorship.end_due(session, now=after - timedelta(seconds=1)) == 0  # an act of the last moment may come
    assert sponsorship.end_due(session, now=after) == 1
    assert (pledge.state, pledge.settled_at) == ("settled", after)
    assert running.state == "active"
    write_last(session)
    names = sorted(one.name for one in session.exec(select(Event)) if one.name in ("pledge.ended", "pledge.settled"))
    assert names == ["pledge.ended", "pledge.ended", "pledge.settled", "pledge.settled"]


def test_the_end_of_a_campaign_ends_its_pledges(session: Session) -> None:
    ground = make_ground(session)
    pledge = active(session, ground)
    planning.end(session, ground.campaign, now=NOON + timedelta(hours=1))
    session.flush()
    assert sponsorship.end_due(session, now=NOON + timedelta(hours=2)) == 1
    assert (pledge.state, pledge.state_reason) == ("ended", "campaign_over")


def test_an_exhausted_pledge_settles_once_its_window_is_over(session: Session) -> None:
    ground = make_ground(session)
    ends = NOON + timedelta(days=2)
    pledge = active(session, ground, ends_at=ends)
    pledge.state, pledge.exhausted_at = "exhausted", NOON
    session.add(pledge)
    session.flush()
    assert sponsorship.end_due(session, now=ends + timedelta(hours=71)) == 0  # a reversal may free room till then
    assert sponsorship.end_due(session, now=ends + timedelta(hours=72)) == 1
    assert pledge.state == "settled"


def test_a_member_ends_a_pledge_for_a_public_reason(session: Session) -> None:
    ground = make_ground(session)
    draft = make_pledge(session, ground)
    refused(Conflict, lambda: sponsorship.end_pledge(session, draft, reason="x", now=NOON), "wrong_state")
    pledge = active(session, ground)
    refused(Invalid, lambda: sponsorship.end_pledge(session, pledge, reason="", now=NOON), "invalid", "/reason")
    sponsorship.end_pledge(session, pledge, reason="The shop burnt down", now=NOON)
    assert (pledge.state, pledge.state_reason, pledge.settled_at) == ("ended", "The shop burnt down", None)
    refused(Conflict, lambda: sponsorship.end_pledge(session, pledge, reason="x", now=NOON), "wrong_state")
    (facts,) = sponsorship.facts_of(session, [pledge])
    assert sponsorship.disclose(facts, "en").details[-1] == "Ended early, on 14 October 2026: The shop burnt down"


def test_what_acts_unlocked_is_read_from_the_balances(session: Session) -> None:
    ground = make_ground(session, goal_metric=GoalMetric.AMOUNT_MINOR)
    pledge, further = active(session, ground), active(session, ground)
    pay = accrue(session, pledge, 40)
    accrue(session, further, 60)
    assert sponsorship.unlocked(session, ground.mission.id, "EUR") == 100
    pay()
    assert sponsorship.unlocked(session, ground.mission.id, "EUR") == 100
    assert sponsorship.unlocked(session, ground.mission.id, "USD") == 0
    held = sponsorship.holds(session, [pledge.id, further.id])
    assert (held[pledge.id].paid_minor, held[pledge.id].pending_minor, held[pledge.id].unlocked_minor) == (40, 0, 40)
    assert (held[further.id].paid_minor, held[further.id].pending_minor) == (0, 60)


def commit(database: Database, **changes: Any) -> tuple[Ground, UUID]:
    with database.transaction() as session:
        ground = make_ground(session)
        pledge = make_pledge(session, ground, beneficiary_ids=[one.id for one in ground.causes], **changes)
    return ground, pledge.id


def test_of_eight_who_race_for_a_link_one_signs(database: Database) -> None:
    ground, pledge_id = commit(database)
    with database.transaction() as session:
        secret, hash = signature_of(session, ground, session.get_one(Pledge, pledge_id))

    def use(number: int) -> str:
        with database.transaction() as session:
            found = sponsorship.sign(session, secret, name=f"J{number}", terms_hash=hash, now=NOON)
            return str(found.signed_by)

    outcomes = race(8, use)
    names = [one for one in outcomes if isinstance(one, str)]
    assert len(names) == 1
    assert [one.code for one in outcomes if isinstance(one, CampaignError)] == ["pledge_link_used"] * 7
    with database.snapshot() as session:
        assert session.get_one(Pledge, pledge_id).signed_by == names[0]
        assert len(session.exec(select(Account)).all()) == 5


@pytest.mark.parametrize("round", range(3))
def test_signature_and_acceptances_at_once_make_it_active(database: Database, round: int) -> None:
    ground, pledge_id = commit(database)
    with database.transaction() as session:
        secret, hash = signature_of(session, ground, session.get_one(Pledge, pledge_id))
        links = [sponsorship.issue_acceptance_link(session, one, now=NOON)[1] for one in ground.causes]
        hashes = [sponsorship.acceptance_hash(one, organisation_name=ground.owner.name) for one in ground.causes]

    def act(number: int) -> None:
        with database.transaction() as session:
            if number == 2:
                sponsorship.sign(session, secret, name="Jeanne", terms_hash=hash, now=NOON)
            else:
                sponsorship.accept(session, links[number], name="Ali", terms_hash=hashes[number], now=NOON)

    assert race(3, act) == [None] * 3
    with database.snapshot() as session:
        assert session.get_one(Pledge, pledge_id).state == "active"


def test_of_a_change_and_a_signature_at_once_the_signed_terms_stand(database: Database) -> None:
    ground, pledge_id = commit(database)
    with database.transaction() as session:
        secret, hash = signature_of(session, ground, session.get_one(Pledge, pledge_id))

    def act(number: int) -> None:
        with database.transaction() as session:
            if number:
                pledge = sponsorship.hold_pledge(session, ground.owner.id, pledge_id)
                sponsorship.change_pledge(session, pledge, now=NOON, cap_minor=1_000)
            else:
                sponsorship.sign(session, secret, name="Jeanne", terms_hash=hash, now=NOON)

    outcomes = race(2, act)
    with database.snapshot() as session:
        pledge = session.get_one(Pledge, pledge_id)
    if outcomes[0] is None:
        assert isinstance(outcomes[1], Conflict)
        assert (pledge.state, pledge.cap_minor) == ("signed", 500_000)
    else:
        assert isinstance(outcomes[0], Conflict)
        assert (pledge.state, pledge.cap_minor) == ("draft", 1_000)


def test_an_external_id_is_used_once(session: Session) -> None:
    ground = make_ground(session)
    make_pledge(session, ground, external_id="p1")
    refused(Conflict, lambda: make_pledge(session, ground, external_id="p1"), "conflict", "/external_id")
    sponsorship.register(session, Sponsor, ground.owner.id, name="B", external_id="b", now=NOON)
    again: Callable[[], object] = lambda: sponsorship.register(  # noqa: E731  # read where it is refused
        session, Sponsor, ground.owner.id, name="B", external_id="b", now=NOON
    )
    refused(Conflict, again, "conflict", "/external_id")
    assert sponsorship.party_by_name(session, Sponsor, ground.owner.id, "ext_b").name == "B"
