"""Reports of codes and alerts of codes nobody scans any more, on both databases."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlmodel import Session, col, select

from campaigns import care, clock, planning, tokens, worker
from campaigns.care import Alert, CodeReport, Reported, ReportKind
from campaigns.care.service import REPORTS_A_DAY
from campaigns.errors import Invalid, NotFound, TooMany
from campaigns.events import Event
from campaigns.ids import NIL
from campaigns.planning import Campaign
from campaigns.scans.models import ScanCounter
from campaigns.storage import Database
from campaigns.tokens import Token
from campaigns.tokens.directory import Entry
from tests.factories import NOON, make_token
from tests.racing import race
from tests.scene import Scene, another_token, set_scene

MORNING = datetime(2026, 11, 18, 6, 0, tzinfo=NOON.tzinfo)  # five weeks after the launch, seven o'clock in Lyon
LONG_AGO = dict.fromkeys(range(2, 22), 10)  # ten scans a day, but none yesterday


def report(database: Database, entry: Entry | None, *, key: int = 1, text: str = "", now: datetime = NOON) -> Reported:
    with database.transaction() as session:
        return care.report_code(
            session, entry, code="7K3Q-9XAB-W4", kind=ReportKind.COVERED, text=text, reporter_key=key, now=now
        )


def events_of(database: Database, name: str) -> int:
    with database.snapshot() as session:
        return len(session.exec(select(Event).where(Event.name == name)).all())


def scanned(database: Database, token_id: UUID, by_age: Mapping[int, int], *, verdict: str = "valid") -> None:
    """Write counters: days before `MORNING` -> scans at noon of that day."""
    with database.transaction() as session:
        for age, number in by_age.items():
            hour = clock.hour_of(MORNING - timedelta(days=age)) + 5
            row = ScanCounter(token_id=token_id, hour=hour, phase="live", verdict=verdict, writer=0, scans=number)
            session.merge(row)


def alerts_of(database: Database) -> list[Alert]:
    with database.snapshot() as session:
        return list(session.exec(select(Alert).order_by(col(Alert.id))).all())


def change(database: Database, scene: Scene, act: str) -> None:
    with database.transaction() as session:
        if act == "revoke":
            tokens.revoke(session, session.get_one(Token, scene.token.id), now=MORNING)
        else:
            planning.pause(session, session.get_one(Campaign, scene.campaign.id), now=MORNING)


# Reports ---------------------------------------------------------------------------------------------------------


def test_a_report_keeps_what_a_person_said_and_tells_the_others(database: Database) -> None:
    scene = set_scene(database)
    kept = report(database, scene.entry, text="  A sticker\r\non top ").report
    assert (kept.token_id, kept.place_id, kept.campaign_id) == (
        scene.token.id,
        scene.entry.place_id,
        scene.campaign.id,
    )
    assert (kept.kind, kept.text, kept.handled_at) == ("covered", "A sticker\non top", None)
    assert events_of(database, "code.reported") == 1


def test_a_person_reports_a_code_once_a_day(database: Database) -> None:
    scene = set_scene(database)
    first = report(database, scene.entry, text="first")
    again = report(database, scene.entry, text="second", now=NOON + timedelta(hours=5))
    assert not first.is_replay
    assert again.is_replay
    assert again.report.id == first.report.id
    assert again.report.text == "first"
    other = report(database, another_token(scene))
    tomorrow = report(database, scene.entry, now=NOON + timedelta(days=1))
    assert not other.is_replay
    assert not tomorrow.is_replay
    assert events_of(database, "code.reported") == 3


def test_of_racing_reports_by_one_person_one_is_kept(database: Database) -> None:
    scene = set_scene(database)
    done = race(12, lambda _: report(database, scene.entry))
    assert all(isinstance(one, Reported) for one in done), done
    assert sum(not one.is_replay for one in done if isinstance(one, Reported)) == 1
    assert events_of(database, "code.reported") == 1


def test_a_code_is_reported_fifty_times_a_day_at_most_however_many_ask_at_once(database: Database) -> None:
    scene = set_scene(database)
    for key in range(REPORTS_A_DAY - 3):
        report(database, scene.entry, key=key)
    done = race(10, lambda number: report(database, scene.entry, key=1_000 + number))
    assert sum(isinstance(one, Reported) for one in done) == 3
    refused = [one for one in done if isinstance(one, TooMany)]
    assert [one.code for one in refused] == ["reported"] * 7
    with database.snapshot() as session:
        assert len(session.exec(select(CodeReport)).all()) == REPORTS_A_DAY
    assert not report(database, scene.entry, now=NOON + timedelta(days=1)).is_replay
    assert not report(database, another_token(scene)).is_replay


def test_a_report_of_a_code_that_is_not_ours_is_kept_and_belongs_to_nobody(
    database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    scene = set_scene(database)
    kept = report(database, None).report
    assert (kept.token_id, kept.organisation_id) == (NIL, None)
    assert "a code that is not ours was reported as covered: 7K3Q-9XAB-W4" in caplog.text
    with database.snapshot() as session:
        assert care.list_reports(session, scene.campaign.organisation_id, before=None, limit=9) == []
        with pytest.raises(NotFound):
            care.report_by_id(session, scene.campaign.organisation_id, kept.id)
    assert events_of(database, "code.reported") == 0


def test_a_report_that_is_too_long_is_refused(session: Session) -> None:
    with pytest.raises(Invalid) as refusal:
        care.report_code(session, None, code="x", kind=ReportKind.ODD, text="x" * 501, reporter_key=1, now=NOON)
    assert refusal.value.code == "report_too_long"


def test_a_handled_report_is_asked_about_no_more(database: Database) -> None:
    scene = set_scene(database)
    first = report(database, scene.entry, key=1).report
    report(database, scene.entry, key=2, now=NOON + timedelta(hours=1))
    assert scene.entry.place_id is not None
    with database.transaction() as session:
        (asked,) = care.complaints(session, scene.entry.place_id, now=NOON).values()
        assert asked == (2, NOON)
        for minute in (1, 2):
            done = care.handle_report(session, first, now=NOON + timedelta(minutes=minute))
            assert done.handled_at == NOON + timedelta(minutes=1)
        (asked,) = care.complaints(session, scene.entry.place_id, now=NOON).values()
        assert asked == (1, NOON + timedelta(hours=1))
        assert care.complaints(session, scene.entry.place_id, now=NOON + timedelta(days=20)) == {}
    assert events_of(database, "code_report.handled") == 1


# Alerts ----------------------------------------------------------------------------------------------------------


def test_a_code_nobody_scanned_yesterday_is_an_alert_and_ends_by_itself(database: Database) -> None:
    scene = set_scene(database)
    scanned(database, scene.token.id, LONG_AGO)
    worker.watch(database, since=None, now=MORNING)
    (alert,) = alerts_of(database)
    assert (alert.token_id, alert.kind, alert.closed_at) == (scene.token.id, "scans_fell_off", None)
    assert (alert.open_days, alert.expected, alert.seen) == (1, 10.0, 0)
    assert alert.since == datetime(2026, 11, 16, 23, 0, tzinfo=NOON.tzinfo)  # midnight in Lyon
    assert events_of(database, "alert.opened") == 1
    worker.watch(database, since=None, now=MORNING + timedelta(hours=1))
    assert len(alerts_of(database)) == 1
    scanned(database, scene.token.id, {0: 5})
    worker.watch(database, since=None, now=MORNING + timedelta(hours=8))
    (alert,) = alerts_of(database)
    assert alert.closed_at == MORNING + timedelta(hours=8)
    assert events_of(database, "alert.closed") == 1
    worker.watch(database, since=None, now=MORNING + timedelta(days=1))  # the covered days are no reason for another
    assert len(alerts_of(database)) == 1


def test_a_code_scanned_as_ever_is_no_alert(database: Database) -> None:
    scene = set_scene(database)
    scanned(database, scene.token.id, LONG_AGO | {1: 10})
    worker.watch(database, since=None, now=MORNING)
    assert alerts_of(database) == []


def test_robots_do_not_hide_that_nobody_scans(database: Database) -> None:
    scene = set_scene(database)
    scanned(database, scene.token.id, LONG_AGO)
    scanned(database, scene.token.id, {1: 10}, verdict="bot")
    worker.watch(database, since=None, now=MORNING)
    assert len(alerts_of(database)) == 1


def test_a_slow_day_of_the_whole_campaign_is_no_alert(database: Database) -> None:
    scene = set_scene(database)
    other = another_token(scene)
    scanned(database, scene.token.id, LONG_AGO)
    scanned(database, other.token_id, dict.fromkeys(range(2, 22), 100) | {1: 12})
    worker.watch(database, since=None, now=MORNING)
    assert [alert.token_id for alert in alerts_of(database)] == [other.token_id]
    scanned(database, other.token_id, {1: 100})
    worker.watch(database, since=None, now=MORNING)
    assert {alert.token_id for alert in alerts_of(database)} == {other.token_id, scene.token.id}


def test_a_closed_day_is_not_looked_at(database: Database) -> None:
    week = {day: [["09:00", "19:00"]] for day in ("mon", "wed", "thu", "fri", "sat")}
    scene = set_scene(database, place={"opening_hours": week})  # yesterday was a Tuesday
    scanned(database, scene.token.id, LONG_AGO)
    worker.watch(database, since=None, now=MORNING)
    assert alerts_of(database) == []


@pytest.mark.parametrize("act", ["revoke", "pause"])
def test_a_code_that_is_not_to_be_scanned_needs_no_alert(database: Database, act: str) -> None:
    scene = set_scene(database)
    scanned(database, scene.token.id, LONG_AGO)
    worker.watch(database, since=None, now=MORNING)
    change(database, scene, act)
    worker.watch(database, since=None, now=MORNING)
    (alert,) = alerts_of(database)
    assert alert.closed_at == MORNING
    worker.watch(database, since=None, now=MORNING)
    assert len(alerts_of(database)) == 1


def test_serials_stand_nowhere(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        place = scene.entry.place
        kind = tokens.Kind.SERIAL
        serial = make_token(session, session.get_one(Campaign, scene.campaign.id), place, kind=kind)
    scanned(database, serial.id, LONG_AGO)
    worker.watch(database, since=None, now=MORNING)
    assert alerts_of(database) == []


def test_codes_are_judged_when_their_day_has_ended(database: Database) -> None:
    scene = set_scene(database)
    scanned(database, scene.token.id, LONG_AGO)
    worker.watch(database, since=MORNING - timedelta(hours=6), now=MORNING)  # both after midnight in Lyon
    assert alerts_of(database) == []
    worker.watch(database, since=MORNING - timedelta(hours=8), now=MORNING)
    assert len(alerts_of(database)) == 1


def test_workers_that_watch_at_once_open_one_alert(database: Database) -> None:
    scene = set_scene(database)
    scanned(database, scene.token.id, LONG_AGO)
    with database.snapshot() as session:
        found = care.watch(session, since=None, now=MORNING)
    assert len(found.fallen) == 1

    def tell(_: int) -> int:
        with database.transaction() as session:
            return care.tell(session, found, now=MORNING)

    assert sorted(race(8, tell), key=str) == [0] * 7 + [1]
    assert events_of(database, "alert.opened") == 1
    assert len(alerts_of(database)) == 1
