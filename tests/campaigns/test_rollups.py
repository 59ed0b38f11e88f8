"""Rollups: whatever is asked of them equals a naive recount of the same log, on both databases."""

import os
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlmodel import col, select

from campaigns import ids, reversals, scans, stats, verify, worker
from campaigns.events import Event
from campaigns.identity import Organisation
from campaigns.scans.log import ScanRow
from campaigns.scans.models import RollupWeek, Scan, ScanConfirmation, ScanJudgement
from campaigns.stats import Asked
from campaigns.storage import Database
from campaigns.tokens import Medium, Token
from tests.factories import PHONE, make_campaign, make_entry, make_place, make_scan, make_token, write
from tests.machines import SOAK
from tests.scene import Scene, confirmation, set_scene

BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
ZONES = ("Europe/Paris", "Asia/Kolkata", "America/New_York")
# Around both changes of the clock in Paris and New York, and over a new year's week.
DAYS = tuple(datetime(*day, tzinfo=UTC) for day in ((2026, 10, 24, 20), (2026, 12, 31, 17), (2027, 3, 27, 20)))
LATER = datetime(2027, 4, 10, tzinfo=UTC)
QUESTIONS = (
    *((one,) for one in stats.GROUPS),
    *((grain, one) for grain in ("day", "week") for one in ("token", "place", "channel", "device", "verdict")),
    ("hour", "place"),
    ("device", "day"),
    ("verdict", "country"),
    ("token", "device"),
    ("language", "place"),
    ("country", "channel"),
    ("medium", "language"),
)

acts = st.lists(
    st.tuples(
        st.integers(0, 3),  # the code
        st.integers(0, 2),  # the day
        st.integers(0, 48 * 60 - 1),  # minutes after it
        st.integers(1, 5),  # the visitor
        st.sampled_from(["phone", "tablet", "desktop"]),
        st.sampled_from(["fr", "en", ""]),
        st.sampled_from(["FR", "CH", None]),
        st.sampled_from(["scan", "scan", "confirm", "confirm", "bot", "void", "drain", "share", "keep"]),
    ),
    min_size=1,
    max_size=40,
)


def codes_of(scene: Scene) -> list[Scene]:
    """Codes of a campaign of its own: in three zones and in none, by two channels and none."""
    found = []
    media = (Medium.QR, Medium.NFC, Medium.QR, Medium.LINK)
    with scene.database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        campaign = make_campaign(session, organisation)
        for zone, channel, medium in zip((*ZONES, None), ("window", "till", "till", None), media, strict=True):
            place = make_place(session, organisation, name=zone, time_zone=zone) if zone else None
            token = make_token(session, campaign, place, channel=channel, medium=medium, random_bytes=os.urandom)
            entry = make_entry(session, token)
            found.append(replace(scene, campaign=campaign, token=token, entry=entry))
    return found


def play(codes: list[Scene], log: Any) -> None:
    for code, day, minutes, visitor, device, language, country, act in log:
        scene = codes[code]
        if act == "drain":
            scene.drain(now=LATER)
            continue
        if act == "share":
            worker.share_out(scene.database)
            continue
        if act == "keep":
            worker.keep_weeks(scene.database, now=LATER)
            continue
        at = DAYS[day] + timedelta(minutes=minutes)
        agent = BOT if act == "bot" else PHONE
        row = make_scan(scene.entry, at=at, visitor_key=visitor << 40 | int(at.timestamp()) // 86400, agent=agent)
        row = row._replace(device=device, language=language, country=country)
        write(scene.database, row, now=at)
        if act in ("confirm", "void"):
            write(scene.database, confirmation(row, at), now=at)
        if act == "void":
            void(scene, row)


def void(scene: Scene, row: ScanRow) -> None:
    with scene.database.between_rounds() as session:
        scan = session.exec(select(Scan).where(Scan.id == UUID(row.id))).one()
        reversals.void_scan(
            session, scene.campaign.organisation_id, scan, reason="A test", ballot_secret=lambda _: b"", now=LATER
        )


def naive(scene: Scene, asked: Asked) -> tuple[dict[Any, Any], dict[Any, Any]]:
    """Scans and visitors by the values grouped by, counted row by row."""
    counted: dict[Any, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    seen: dict[Any, set[Any]] = defaultdict(set)
    with scene.database.snapshot() as session:
        tokens = {one.id: one for one in session.exec(select(Token))}
        zones = dict(session.execute(text("SELECT id, time_zone FROM places")).all())
        zones = {UUID(str(id)): zone for id, zone in zones.items()}
        confirmed = set(session.exec(select(ScanConfirmation.scan_id)).all())
        standing = {
            one.scan_id: one.verdict for one in session.exec(select(ScanJudgement).order_by(col(ScanJudgement.id)))
        }
        for scan in session.exec(select(Scan).where(Scan.campaign_id == scene.campaign.id)):
            local = scan.scanned_at.astimezone(ZoneInfo(zones.get(scan.place_id, "Europe/Paris")))
            day = local.date()
            assert scan.token_id is not None
            token = tokens[scan.token_id]
            verdict = standing.get(scan.id, scan.verdict)
            values = {
                "hour": int(scan.scanned_at.timestamp()) // 3600,
                "day": (day - date(1970, 1, 1)).days,
                "week": ((day - timedelta(days=day.weekday())) - date(1969, 12, 29)).days // 7,
                "token": ids.show("tok", scan.token_id),
                "place": ids.show("plc", scan.place_id) if scan.place_id else "",
                "channel": token.channel or "",
                "medium": token.medium,
                "device": scan.device,
                "language": scan.language,
                "country": scan.country or "",
                "verdict": verdict,
            }
            if not _is_asked(asked, values, local):
                continue
            key = tuple(values[one] for one in asked.group_by)
            counted[key][verdict] += 1
            counted[key]["verified"] += scan.id in confirmed and verdict == "valid"
            if scan.verdict != "bot":
                seen[key].add((day, scan.visitor_key))
    return counted, seen


def _is_asked(asked: Asked, values: dict[str, Any], local: datetime) -> bool:
    at: Any = local
    if asked.grain != "hour":  # civil days, wherever it was
        at = local.replace(tzinfo=ZoneInfo("Europe/Paris"))
    since, until = asked.since, asked.until
    assert since is not None
    assert until is not None
    return since <= at < until and all(values[name] == value for name, value in asked.where.items())


def questions(codes: list[Scene]) -> Iterator[Asked]:
    first, last = DAYS[0].astimezone(ZoneInfo(ZONES[0])), DAYS[2].astimezone(ZoneInfo(ZONES[0]))
    midnight: Callable[[datetime], datetime] = lambda at: at.replace(hour=0)  # noqa: E731
    for groups in QUESTIONS:
        yield Asked(midnight(first) - timedelta(days=1), midnight(first) + timedelta(days=3), groups)
        if "hour" not in groups:
            yield Asked(midnight(first) + timedelta(days=1), midnight(last) + timedelta(days=2), groups)
    assert codes[1].entry.place is not None
    place = ids.show("plc", codes[1].entry.place.id)
    yield Asked(midnight(first), midnight(last), ("day",), {"place": place})
    yield Asked(midnight(first), midnight(last), ("week",), {"country": "CH"})
    yield Asked(midnight(first), midnight(last), ("verdict",), {"channel": "till"})
    yield Asked(midnight(first), midnight(last), (), {"channel": "till", "device": "phone"})
    yield Asked(midnight(first), midnight(last), ("day",), {"language": "fr", "country": "CH"})
    yield Asked(midnight(first), midnight(last), ("week", "device"), {"place": place})
    yield Asked(midnight(first), midnight(last), ("verdict", "place"), {"device": "phone"})


_scenes: dict[str, Scene] = {}  # by database: each example has a campaign of its own there


@settings(
    max_examples=6 if SOAK else 3, deadline=None, phases=[Phase.generate], suppress_health_check=list(HealthCheck)
)
@given(log=acts)
def test_every_figure_equals_a_recount_of_the_log(database: Database, log: Any) -> None:
    with database.snapshot() as session:
        is_new = session.exec(select(Organisation)).first() is None
    if is_new:
        _scenes[database.url] = set_scene(database)
    scene = _scenes[database.url]
    codes = codes_of(scene)
    scene = codes[0]
    play(codes, log)
    scene.drain(now=LATER)
    assert verify.verify(scene.database) == []
    for asked in questions(codes):
        with scene.database.snapshot() as session:
            answer = stats.ask(session, scene.campaign, asked, now=LATER)
        counted, seen = naive(scene, asked)
        lines = {tuple(one.keys.values()): one for one in answer.lines}
        assert not asked.group_by or counted.keys() <= lines.keys(), asked
        for key, line in lines.items():
            figures = {name: number for name, number in line.figures.by_verdict.items() if number}
            assert figures == {n: v for n, v in counted[key].items() if v and n != "verified"}, (asked, key)
            assert line.figures.verified == counted[key]["verified"], (asked, key)
            assert type(line.figures.verified) is int
            if line.visitors is not None:
                assert line.visitors == len(seen[key]), (asked, key)
        alone = replace(asked, group_by=("hour",) if asked.grain == "hour" else ())
        total, people = naive(scene, replace(alone, group_by=()) if asked.grain != "hour" else asked)
        assert answer.total.figures.verified == sum(one["verified"] for one in total.values())
        if answer.total.visitors is not None:
            assert answer.total.visitors == len(set().union(*people.values()))


@pytest.mark.parametrize(
    ("statement", "named"),
    [
        ("UPDATE scan_rollups SET valid = valid + 1 WHERE span = 'week' AND dimension = 'device'", "rollup device"),
        (
            "UPDATE scan_rollups SET verified = verified + 1 WHERE span = 'day' AND dimension = 'token,place'",
            "token,pl",
        ),
        ("DELETE FROM scan_rollups WHERE span = 'week' AND dimension = ''", "rollup all"),
        ("UPDATE rollup_cells SET bot = bot + 1", "bot 1, 0 in the log"),
        ("DELETE FROM rollup_weeks WHERE dimension = 'place,device'", "week"),
    ],
)
def test_verify_finds_a_sum_that_was_changed(database: Database, statement: str, named: str) -> None:
    scene = set_scene(database)
    scene.scan_and_confirm(at=DAYS[0])
    scene.drain(now=DAYS[0])
    worker.share_out(database)
    worker.keep_weeks(database, now=LATER)
    scene.scan_and_confirm(at=DAYS[2])
    scene.drain(now=DAYS[2])
    assert scene.problems() == []
    with database.transaction() as session:
        session.execute(text(statement))
    found = scene.problems()
    assert any(named in one for one in found), found


def test_a_week_is_kept_once_all_its_scans_are_counted(database: Database) -> None:
    scene = set_scene(database)
    scene.scan(at=DAYS[0])
    worker.keep_weeks(database, now=LATER)
    assert weeks_of(database) == 0, "nothing was counted yet"
    scene.drain(now=DAYS[0])
    with database.transaction() as session:
        session.add(Event(name="scans.recorded", payload="{}", recorded_at=DAYS[0]))
    worker.keep_weeks(database, now=LATER)
    assert weeks_of(database) == 0, "a scan may still come"
    with database.transaction() as session:
        session.execute(text("DELETE FROM events"))
    worker.keep_weeks(database, now=DAYS[0] + timedelta(days=3))
    assert weeks_of(database) == 0, "the week is not over"
    for _ in range(2):
        worker.keep_weeks(database, now=LATER)
        assert weeks_of(database) == 2 * len(scans.SUMMED), "a week and the eight around it, once"


def weeks_of(database: Database) -> int:
    with database.snapshot() as session:
        return len(session.exec(select(RollupWeek)).all())


def test_kept_weeks_answer_as_their_days_do_from_any_day_to_any_other(database: Database) -> None:
    scene = set_scene(database)
    paris = ZoneInfo("Europe/Paris")
    noons = [datetime(2026, 10, 7, 12, tzinfo=paris) + timedelta(days=one) for one in range(130)]
    rows = [scene.scan(at=at.astimezone(UTC), visitor_key=number) for number, at in enumerate(noons)]
    scene.drain(now=LATER)
    worker.share_out(database)
    worker.keep_weeks(database, now=LATER)
    void(scene, rows[20])  # of a week that is kept: its sums change with its day
    assert scene.problems() == []
    for first, end in ((0, 130), (1, 129), (5, 12), (5, 6), (4, 75), (12, 33), (19, 22), (60, 130), (0, 61)):
        since, until = (noons[0] + timedelta(days=one, hours=-12) for one in (first, end))
        for group_by in ((), ("device",), ("token", "device"), ("week",)):
            with database.snapshot() as session:
                asked = Asked(since if first else None, until, group_by)
                answer = stats.ask(session, scene.campaign, asked, now=noons[-1] + timedelta(hours=1))
            lines = answer.lines or [answer.total]
            assert sum(one.figures.raw for one in lines) == end - first, (first, end, group_by)
            invalid = sum(one.figures.by_verdict["invalid"] for one in lines)
            assert invalid == (first <= 20 < end), (first, end, group_by)
