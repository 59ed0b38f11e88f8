"""Live tokens and the windows they use up at check-in, on both databases."""

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, select

from campaigns import planning, tokens
from campaigns.errors import Conflict, Invalid
from campaigns.identity import Organisation
from campaigns.missions import CheckedIn
from campaigns.places import Place, till
from campaigns.planning import Campaign
from campaigns.scans.log import ScanRow
from campaigns.scans.models import LiveWindowUse
from campaigns.scans.receipt import ACT_LIFE
from campaigns.storage import Database
from campaigns.tokens import Kind, Medium
from campaigns.tokens.directory import Entry
from tests.factories import (
    NOON,
    make_campaign,
    make_entry,
    make_mission,
    make_organisation,
    make_place,
    make_receipt,
    make_token,
)
from tests.racing import race
from tests.scene import FAR, INSIDE, Scene, minutes, set_scene

RACERS = 200 if os.environ.get("PASSERELLE_SOAK") else 20
SPENT = "expired_live_code"


# Issuing ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("medium", [Medium.NFC, Medium.LINK])
def test_a_live_token_is_a_qr_code_on_the_screen_of_a_place(session: Session, medium: Medium) -> None:
    organisation = make_organisation(session)
    campaign, place = make_campaign(session, organisation), make_place(session, organisation)
    assert make_entry(session, make_token(session, campaign, place, kind=Kind.LIVE)).is_live
    assert not make_entry(session, make_token(session, campaign, place)).is_live
    with pytest.raises(Invalid) as refusal:
        make_token(session, campaign, place, kind=Kind.LIVE, medium=medium)
    assert refusal.value.context["pointer"] == "/medium"
    with pytest.raises(Invalid) as refusal:
        make_token(session, campaign, None, kind=Kind.LIVE)
    assert refusal.value.context["pointer"] == "/place_id"


def test_a_live_token_cannot_be_taken_out_of_its_place(session: Session) -> None:
    organisation = make_organisation(session)
    campaign, place = make_campaign(session, organisation), make_place(session, organisation)
    token = make_token(session, campaign, place, kind=Kind.LIVE)
    with pytest.raises(Invalid):
        tokens.change_token(session, token, now=NOON, place_id=None)
    assert tokens.change_token(session, token, now=NOON, label="Caisse").place_id == place.id
    elsewhere = make_place(session, organisation, name="Part-Dieu")
    assert tokens.change_token(session, token, now=NOON, place_id=elsewhere.id).place_id == elsewhere.id


def test_a_screen_shows_the_live_tokens_that_can_be_scanned(session: Session) -> None:
    organisation = make_organisation(session)
    place, elsewhere = make_place(session, organisation), make_place(session, organisation, name="Part-Dieu")
    first, second, over = (make_campaign(session, organisation) for _ in range(3))
    shown = [make_token(session, one, place, kind=Kind.LIVE) for one in (first, second)]
    make_token(session, first, place)
    make_token(session, first, elsewhere, kind=Kind.LIVE)
    make_token(session, over, place, kind=Kind.LIVE)
    tokens.revoke(session, make_token(session, first, place, kind=Kind.LIVE), now=NOON)
    planning.end(session, over, now=NOON)
    found = tokens.live_tokens_of_place(session, place.id, now=NOON)
    assert {(token.id, campaign.id) for token, campaign in found} == {(token.id, token.campaign_id) for token in shown}


# Using -----------------------------------------------------------------------------------------------------------


@dataclass
class Screen:
    """A scene with a live code on the shop's screen."""

    scene: Scene
    entry: Entry

    def scan(self, *, at: datetime = NOON, back: int = 0, good: bool = True, **options: Any) -> tuple[ScanRow, Any]:
        row = self.scene.scan_and_confirm(entry=self.entry, at=at, **options)
        return row, make_receipt(self.entry, row, presence=2 if good else 0, window_back=back)

    def use(self, *, at: datetime = NOON, now: datetime | None = None, back: int = 0, **overrides: Any) -> CheckedIn:
        """Scan the code on the screen and check in on it."""
        row, receipt = self.scan(at=at, back=back)
        return self.scene.check_in(row, entry=self.entry, receipt=receipt, now=now or at, **overrides)

    def type(self, *, at: datetime = NOON, window: int | None = None, **overrides: Any) -> CheckedIn:
        """Scan the printed code of the shop, and type the till code."""
        row = self.scene.scan_and_confirm(at=at)
        window = till.window_of(at) if window is None else window
        return self.scene.check_in(row, till_window=window, now=at, **overrides)

    def uses(self) -> list[tuple[int, UUID]]:
        with self.scene.database.snapshot() as session:
            rows = session.exec(select(LiveWindowUse).order_by(LiveWindowUse.window))  # type: ignore[arg-type]
            return [(row.window - till.window_of(NOON), row.person_id) for row in rows]


@pytest.fixture
def screen(database: Database) -> Screen:
    scene = set_scene(database)
    return Screen(scene, live_entry(scene))


def live_entry(scene: Scene, campaign: Campaign | None = None) -> Entry:
    with scene.database.transaction() as session:
        place = session.get_one(Place, scene.token.place_id)
        token = make_token(session, campaign or scene.campaign, place, kind=Kind.LIVE)
    with scene.database.snapshot() as session:
        return make_entry(session, token)


def shown(done: CheckedIn) -> tuple[int, str]:
    return done.check_in.presence, done.check_in.reasons


def second(number: float) -> datetime:
    return NOON + timedelta(seconds=number)


def test_a_scanned_live_code_proves_strong_presence(screen: Screen) -> None:
    done = screen.use()
    assert (shown(done), done.check_in.verdict, done.check_in.by_till_code) == ((2, ""), "valid", False)
    assert [one.outcome for one in done.outcomes] == ["verified"]
    assert screen.uses() == [(0, done.person.id)]
    screen.scene.drain()
    assert screen.scene.problems() == []


def test_a_window_is_good_once_for_a_person(screen: Screen) -> None:
    first = screen.use()
    assert shown(screen.use(at=second(3), cookie=first.secret)) == (0, SPENT + ",location_refused")
    assert shown(screen.use(at=second(31), back=1, cookie=first.secret))[0] == 0
    assert shown(screen.use(at=second(32), cookie=first.secret)) == (2, "")
    assert shown(screen.use(at=second(33))) == (2, "")  # somebody else
    assert [window for window, _ in screen.uses()] == [0, 1, 1]


def test_a_window_of_grace_is_that_of_the_code_and_not_of_the_scan(screen: Screen) -> None:
    done = screen.use(at=second(35), back=1)
    assert screen.uses() == [(0, done.person.id)]


def test_what_remains_of_a_used_window_is_the_position(screen: Screen) -> None:
    first = screen.use()
    assert shown(screen.use(at=second(3), cookie=first.secret, position=INSIDE)) == (1, SPENT)
    assert shown(screen.use(at=second(4), cookie=first.secret, position=FAR))[0] == 0


def test_the_scanned_and_the_typed_code_of_a_window_are_one_proof(screen: Screen) -> None:
    scanned = screen.use()
    assert shown(screen.type(at=second(5), cookie=scanned.secret)) == (0, SPENT + ",location_refused")
    typed = screen.type(at=second(6))
    assert shown(typed) == (2, "")
    assert shown(screen.use(at=second(7), cookie=typed.secret))[0] == 0
    assert screen.type(at=second(31), cookie=typed.secret, window=till.window_of(NOON)).check_in.presence == 0
    assert screen.type(at=second(32), cookie=typed.secret).check_in.presence == 2


def test_a_fresh_till_code_makes_good_a_used_scan(screen: Screen) -> None:
    first = screen.use()
    row, receipt = screen.scan(at=second(3))
    window = till.window_of(second(40))
    done = screen.scene.check_in(
        row, entry=screen.entry, receipt=receipt, now=second(40), till_window=window, cookie=first.secret
    )
    assert (shown(done), done.check_in.by_till_code) == ((2, ""), True)
    assert [window for window, _ in screen.uses()] == [0, 1]


def test_a_scan_without_a_good_code_uses_nothing_up(screen: Screen) -> None:
    row, receipt = screen.scan(good=False)
    done = screen.scene.check_in(row, entry=screen.entry, receipt=receipt)
    assert shown(done) == (0, "location_refused")
    assert screen.uses() == []


def test_a_live_scan_keeps_its_presence_for_two_days(screen: Screen) -> None:
    done = screen.use(now=NOON + ACT_LIFE)
    assert shown(done) == (2, "late")
    assert screen.uses() == [(0, done.person.id)]


def test_strong_presence_of_another_kind_of_scan_rests_on_no_window(screen: Screen) -> None:
    row = screen.scene.scan_and_confirm()
    receipt = make_receipt(screen.scene.entry, row, presence=2)
    assert shown(screen.scene.check_in(row, receipt=receipt)) == (2, "")
    assert screen.uses() == []


def test_one_window_is_a_proof_in_each_campaign(screen: Screen) -> None:
    with screen.scene.database.transaction() as session:
        organisation = session.get_one(Organisation, screen.scene.campaign.organisation_id)
        campaign = make_campaign(session, organisation)
        make_mission(session, campaign)
    first = screen.use()
    screen.entry = live_entry(screen.scene, campaign)
    assert shown(screen.use(at=second(3), cookie=first.secret)) == (2, "")
    assert len(screen.uses()) == 2


def test_a_replay_gets_the_first_answer(screen: Screen) -> None:
    row, receipt = screen.scan()
    first = screen.scene.check_in(row, entry=screen.entry, receipt=receipt)
    again = screen.scene.check_in(row, entry=screen.entry, receipt=receipt, now=minutes(1), cookie=first.secret)
    assert (again.is_replay, shown(again)) == (True, (2, ""))


@pytest.mark.parametrize("by_typing", [False, True])
def test_of_racing_scans_of_one_person_in_one_window_one_is_a_proof(screen: Screen, by_typing: bool) -> None:
    me = screen.scene.check_in(screen.scene.scan_and_confirm(at=minutes(-10)), now=minutes(-10)).secret
    scans = [screen.scan(visitor_key=key) for key in range(1, RACERS + 1)]
    typed = till.window_of(NOON) if by_typing else None

    def act(index: int) -> CheckedIn:
        row, receipt = scans[index]
        window = typed if index % 2 else None
        return screen.scene.check_in(row, entry=screen.entry, receipt=receipt, cookie=me, till_window=window)

    outcomes = race(RACERS, act)
    done = [one for one in outcomes if isinstance(one, CheckedIn)]
    assert len(done) == RACERS, [one for one in outcomes if isinstance(one, Exception)][:3]
    assert sorted(one.check_in.presence for one in done) == [0] * (RACERS - 1) + [2]
    assert sum(SPENT in one.check_in.reasons for one in done) == RACERS - 1
    assert len(screen.uses()) == 1
    screen.scene.drain()
    assert screen.scene.problems() == []


def test_a_check_in_that_arrives_twice_at_once_keeps_its_proof(screen: Screen) -> None:
    me = screen.scene.check_in(screen.scene.scan_and_confirm(at=minutes(-10)), now=minutes(-10)).secret
    row, receipt = screen.scan()
    outcomes = race(8, lambda _: screen.scene.check_in(row, entry=screen.entry, receipt=receipt, cookie=me))
    done = [one for one in outcomes if isinstance(one, CheckedIn)]
    twins = {one.code for one in outcomes if isinstance(one, Conflict)}
    assert {shown(one) for one in done} == {(2, "")}
    assert len({one.check_in.id for one in done}) == 1
    assert twins <= {"already_checked_in"}
