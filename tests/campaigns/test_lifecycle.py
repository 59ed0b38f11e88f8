"""What becomes of a printed code, and where codes may lead, on both databases."""

import threading
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, select

from campaigns import identity, scans, tokens
from campaigns.errors import Conflict, Gone, Invalid
from campaigns.events import Event
from campaigns.identity import Organisation
from campaigns.last_writes import write_last
from campaigns.planning import Campaign, State
from campaigns.scans import Scan
from campaigns.scans.returning import Returns
from campaigns.storage import Database
from campaigns.tokens import Token, TokenChange, TokenState
from campaigns.tokens.addresses import Limits
from campaigns.tokens.directory import Directory
from tests.factories import NOON, make_campaign, make_entry, make_organisation, make_place, make_token
from tests.racing import race
from tests.scene import Scene, set_scene

A, B = "https://a.example/", "https://b.example/"
LATER = NOON + timedelta(hours=1)


def names_of(session: Session) -> list[str]:
    write_last(session)
    return [event.name for event in session.exec(select(Event).order_by(Event.id)).all()]  # type: ignore[arg-type]  # a column


def test_each_change_of_state_is_an_event_and_a_line_of_history(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    token = make_token(session, campaign, None)
    tokens.suspend(session, token, now=LATER)
    tokens.resume(session, token, now=LATER)
    successor = tokens.replace(session, token, campaign, place=None, now=LATER)
    tokens.revoke(session, token, now=LATER)
    tokens.revoke(session, token, now=LATER)
    wanted = {"token.suspended": 1, "token.resumed": 1, "token.replaced": 1, "token.revoked": 1, "token.issued": 2}
    found = names_of(session)
    assert {name: found.count(name) for name in wanted} == wanted
    states = [row.what["state"] for row in session.exec(select(TokenChange)).all()]
    assert sorted(states) == sorted(
        [["active", "suspended"], ["suspended", "active"], ["active", "replaced"], ["replaced", "revoked"]]
    )
    assert token.replaced_by_id == successor.id
    assert token.changed_at == LATER


def test_of_replacements_at_once_one_makes_a_code(database: Database) -> None:
    scene = set_scene(database)
    together = threading.Barrier(1 if database.is_sqlite else 6)  # SQLite lets one write at a time

    def replace(_: int) -> str:
        with database.transaction() as session:
            session.connection()
            together.wait(timeout=30)
            organisation_id = scene.campaign.organisation_id
            token = tokens.token_by_id(session, organisation_id, scene.token.id, lock=True)
            campaign = session.get_one(Campaign, scene.campaign.id)
            return tokens.replace(session, token, campaign, place=None, now=NOON).code

    answers = race(6, replace)
    assert sum(isinstance(one, str) for one in answers) == 1
    assert sum(isinstance(one, Conflict) and one.code == "wrong_state" for one in answers) == 5
    with database.snapshot() as session:
        assert len(session.exec(select(Token)).all()) == 2


def test_hosts_verified_while_a_destination_is_written_never_let_it_through(database: Database) -> None:
    scene = set_scene(database)
    organisation_id = scene.campaign.organisation_id

    def act(index: int) -> str:
        with database.transaction() as session:
            if index % 2:
                tokens.limits_of(session, organisation_id, "").require(A)
                tokens.change_token(session, session.get_one(Token, scene.token.id), now=NOON, destination=A)
                return "written"
            organisation = identity.organisation_by_id(session, organisation_id, lock=True)
            tokens.require_all_within(session, organisation_id, Limits(("b.example",)))
            identity.verify_hosts(session, organisation, ["b.example"])
            return "verified"

    race(8, act)
    with database.snapshot() as session:
        hosts = session.get_one(Organisation, organisation_id).verified_hosts
        destination = session.get_one(Token, scene.token.id).destination
    assert (hosts, destination) in ((["b.example"], None), (None, A))


def test_an_expired_code_may_be_replaced_and_revoked_but_not_suspended(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session))
    for change in (tokens.suspend, tokens.resume):
        token = make_token(session, campaign, None, onward={"expires_at": LATER})
        assert (token.state_at(LATER - timedelta(seconds=1)), token.state_at(LATER)) == ("active", "expired")
        with pytest.raises(Conflict):
            change(session, token, now=LATER)
    successor = tokens.replace(session, token, campaign, place=None, now=LATER)
    assert successor.expires_at is None
    assert token.state_at(LATER) is TokenState.REPLACED


def test_codes_that_lead_nowhere_any_more_do_not_stop_hosts_from_being_verified(session: Session) -> None:
    organisation = make_organisation(session)
    campaign, over = (make_campaign(session, organisation) for _ in range(2))
    split = {"rules": [{"split": [{"weight": 1, "destination": A}, {"weight": 1, "hosted": True}]}]}
    token = make_token(session, campaign, None, onward=split)
    make_token(session, over, None, destination=A)
    over.state = State.ENDED
    session.flush()
    limits = Limits(("b.example",))
    with pytest.raises(Conflict, match=r"tok_[0-9a-f]{32} to https://a.example/\.$") as refusal:
        tokens.require_all_within(session, organisation.id, limits)
    assert refusal.value.code == "hosts_in_use"
    tokens.require_all_within(session, make_organisation(session).id, limits)
    tokens.revoke(session, token, now=NOON)
    tokens.require_all_within(session, organisation.id, limits)


def test_codes_of_test_keys_lead_no_further_than_those_of_the_organisation(session: Session) -> None:
    organisation = make_organisation(session)
    twin = identity.twin_of(session, organisation.id, now=NOON)
    identity.verify_hosts(session, organisation, ["a.example"])
    tokens.limits_of(session, twin.id, "").require(A)
    for own in ([], ["b.example"]):
        identity.verify_hosts(session, twin, own)
        with pytest.raises(Invalid, match="verified hosts"):
            tokens.limits_of(session, twin.id, "").require(B)
    make_token(session, make_campaign(session, twin), None, destination=A)
    with pytest.raises(Conflict, match=r"to https://a\.example/"):
        tokens.require_all_within(session, organisation.id, Limits(("b.example",)))


# What the directory makes of it ----------------------------------------------------------------------------------


def entry_of(session: Session, campaign: dict[str, Any], **token: Any) -> Any:
    organisation = make_organisation(session)
    place = make_place(session, organisation, time_zone="Asia/Tokyo") if token.pop("placed", True) else None
    return make_entry(session, make_token(session, make_campaign(session, organisation, **campaign), place, **token))


def test_a_plain_code_has_no_routing_and_its_parameters_are_in_its_address(session: Session) -> None:
    entry = entry_of(session, {"utm": {"source": "{place}", "term": "c"}}, destination=A, onward={"utm": {"term": "t"}})
    assert (entry.routing, entry.destination) == (None, A + "?utm_source=Bellecour&utm_term=t")
    assert entry_of(session, {}).routing is None


def test_a_code_takes_the_campaign_s_rules_only_when_it_has_nothing_of_its_own(session: Session) -> None:
    campaign = {"rules": [{"destination": B}], "destination": "https://c.example/"}
    plain, own = entry_of(session, campaign), entry_of(session, campaign, destination=A)
    ruled = entry_of(session, campaign, onward={"rules": [{"hosted": True}]})
    assert [rule.destination for rule in plain.routing.rules] == [B]
    assert (plain.destination, own.destination, own.routing) == ("https://c.example/", A, None)
    assert (ruled.destination, ruled.routing.default) == (None, None)


def test_the_clock_of_a_rule_is_the_place_s_or_else_the_campaign_s(session: Session) -> None:
    rules = {"rules": [{"destination": B}]}
    assert entry_of(session, {}, onward=rules).routing.zone == "Asia/Tokyo"
    assert entry_of(session, {"time_zone": "America/Lima"}, placed=False, onward=rules).routing.zone == "America/Lima"


@pytest.mark.parametrize("state", ["suspended", "replaced", "revoked", "expired"])
def test_a_closed_code_is_heard_of_at_the_next_scan(database: Database, state: str) -> None:
    directory = Directory()
    database.listen(directory.hear)
    scene = set_scene(database)
    with database.snapshot() as session:
        directory.load(session, scene.token.code)
    with database.transaction() as session:
        token = session.get_one(Token, scene.token.id)
        if state == "expired":
            tokens.change_token(session, token, now=NOON, expires_at=LATER)
        elif state == "replaced":
            tokens.replace(session, token, session.get_one(Campaign, scene.campaign.id), place=None, now=NOON)
        else:
            (tokens.suspend if state == "suspended" else tokens.revoke)(session, token, now=NOON)
    assert directory.find(scene.token.code) is None
    with database.snapshot() as session:
        entry = directory.load(session, scene.token.code)
    assert entry is not None
    assert entry.closed_at(LATER) == state
    assert entry.closed_at(LATER - timedelta(seconds=1)) == (None if state == "expired" else state)
    assert bool(entry.successor) == (state == "replaced")


# Confirmations with a key, and who came back ----------------------------------------------------------------------


def confirm(scene: Scene, scan_id: str, *, after: timedelta) -> Any:
    with scene.database.transaction() as session:
        scan, token = session.get_one(Scan, UUID(scan_id)), session.get_one(Token, scene.token.id)
        return scans.confirm_by_key(session, scan, token, now=NOON + after)


def test_a_scan_is_confirmed_with_a_key_once_within_48_hours_and_counted(database: Database) -> None:
    scene = set_scene(database)
    with pytest.raises(Conflict):
        confirm(scene, scene.scan().id, after=timedelta(minutes=1))
    with database.transaction() as session:
        tokens.change_token(session, session.get_one(Token, scene.token.id), now=NOON, pass_scan_id=True)
    one, late = scene.scan(visitor_key=2), scene.scan(visitor_key=3)
    first = confirm(scene, one.id, after=timedelta(hours=48))
    assert first == NOON + timedelta(hours=48)
    assert confirm(scene, one.id, after=timedelta(days=9)) == first
    with pytest.raises(Gone):
        confirm(scene, late.id, after=timedelta(hours=48, seconds=1))
    scene.drain(now=LATER)
    assert scene.figures().verified == 1
    assert scene.problems() == []


def test_a_key_and_a_browser_confirm_one_scan_once(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        tokens.change_token(session, session.get_one(Token, scene.token.id), now=NOON, pass_scan_id=True)
    row = scene.scan()
    assert scene.confirm(row)
    assert confirm(scene, row.id, after=timedelta(minutes=5)) == NOON
    scene.drain(now=LATER)
    assert scene.figures().verified == 1


def test_the_first_scan_of_a_visitor_is_remembered_and_the_oldest_forgotten() -> None:
    returns = Returns(limit=2)
    for scan in ("first", "second"):
        returns.note("t", 1, scan)
    assert not returns.is_returning("t", 1, "first")
    assert returns.is_returning("t", 1, "second")
    assert not returns.is_returning("u", 1, "x")
    assert not returns.is_returning("t", 2, "x")
    returns.note("t", 2, "third")
    returns.note("t", 3, "fourth")
    assert not returns.is_returning("t", 1, "second")
    assert returns.is_returning("t", 2, "x")


def test_a_destination_outside_the_limits_is_refused_whatever_else_is_good(session: Session) -> None:
    organisation = make_organisation(session)
    identity.verify_hosts(session, organisation, ["b.example"])
    limits = tokens.limits_of(session, organisation.id, "https://go.example")
    limits.require(B)
    for url in (A, "https://go.example/t/7K3Q9XABW4"):
        with pytest.raises(Invalid):
            limits.require(url)
