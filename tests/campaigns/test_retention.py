"""What is kept and how long: each table is named, each class is purged by the clock, and no figure changes."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from uuid import UUID

import pytest
from sqlalchemy import delete, text
from sqlmodel import SQLModel, col, select

from api.pages.phone import COOKIE_LIFE_S
from campaigns import (
    care,
    community,
    idempotency,
    identity,
    ids,
    missions,
    participants,
    places,
    planning,
    privacy,
    scans,
    stats,
    webhooks,
    worker,
)
from campaigns.identity import RIGHTS, Organisation, Role
from campaigns.jobs import Job
from campaigns.legal import terms
from campaigns.migrations import tables
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.missions.models import ActCode
from campaigns.participants import Participant
from campaigns.places.models import StaffSession
from campaigns.planning import Campaign
from campaigns.privacy import Kind, retention
from campaigns.privacy.service import PERSON_LIFE
from campaigns.scans import Scan, SealedFix
from campaigns.scans.log_start import MONTHS_KEPT, log_start
from campaigns.scans.models import ReceiptTries, ScanJudgement, VisitorSalt
from campaigns.storage import Database, insert_many_once, store
from campaigns.tokens import TagWriting
from tests.conftest import PIN
from tests.factories import NOON, PIN_KEY, make_campaign, make_mission, write
from tests.scene import INSIDE, KEYRING, Scene, minutes, set_scene, signed, with_tag

README = Path(__file__).resolve().parents[2] / "README.md"
STEPS = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY), StepPlan(StepKind.IDEA)]
YEARS_ON = NOON + timedelta(days=900)
# Written out, not read from the rules: who takes one away sees a test fail.
PURGED = [
    ("aggregate", "rollup_cells"),
    ("aggregate", "rollup_visitors"),
    ("aggregate", "rollup_weeks"),
    ("aggregate", "scan_counters"),
    ("aggregate", "scan_rollups"),
    ("aggregate", "scan_visitors"),
    ("member", "member_sessions"),
    ("member", "sign_in_links"),
    ("operations", "act_codes"),
    ("operations", "idempotent_answers"),
    ("operations", "jobs"),
    ("operations", "recovery_tries"),
    ("operations", "spent_taps"),
    ("operations", "text_counts"),
    ("operations", "webhook_deliveries"),
    ("participant", "participants"),
    ("position", "scan_positions"),
    ("report", "case_days"),
    ("report", "case_messages"),
    ("report", "code_report_days"),
    ("report", "code_reports"),
    ("report", "flags"),
    ("salt", "visitor_salts"),
    ("scan_log", "conversions"),
    ("scan_log", "receipt_tries"),
    ("scan_log", "scan_confirmations"),
    ("scan_log", "scan_judgements"),
    ("scan_log", "scan_positions"),
    ("scan_log", "scans"),
    ("staff", "staff_links"),
    ("staff", "staff_sessions"),
]


def test_every_table_is_named() -> None:
    assert tables.campaigns is not None
    assert {rule.table for rule in privacy.RULES} == set(SQLModel.metadata.tables)


def test_every_rule_about_people_has_a_term_and_every_other_a_reason() -> None:
    for rule in privacy.RULES:
        assert rule.keeps, rule.table
        assert bool(rule.term) is (rule.kind is not Kind.NONE), rule.table


def test_the_readme_shows_what_is_kept_and_how_long() -> None:
    shown = re.findall(r"^\| (\w+) \| `(\w+)` \| (.+) \| (.+) \|$", README.read_text(), re.MULTILINE)
    assert shown == [(rule.kind, rule.table, rule.keeps, rule.term) for rule in privacy.RULES if rule.term]


def furnish(database: Database) -> Scene:
    """A row of every class, at noon; the campaign ended a day later."""
    scene = with_tag(set_scene(database, steps=STEPS))
    write(database, signed(scene, 1))
    row = scene.scan()
    done = scene.check_in(row, position=INSIDE, seal=lambda _: SealedFix(b"sealed", 42))
    scene.drain()
    place = scene.entry.place
    assert place is not None
    organisation_id = scene.campaign.organisation_id
    scene.post_idea(done.person)
    with database.transaction() as session:
        (idea, _), *_rest = community.list_ideas(session, scene.mission.id, limit=1)
        subject = community.subject_in(session, scene.mission, community.SubjectKind.IDEA, idea.id)
        said = {"kind": community.FlagKind.OTHER, "text": "Hm", "person": None, "day": 1, "reporter_key": 1}
        community.flag(session, scene.mission, subject, now=NOON, **said)  # type: ignore[arg-type]  # as it is named
        told = {"mission_id": scene.mission.id, "place": place, "text": "Hm", "person": None, "sender_key": 1}
        told |= {"client_id": "phone-1", "language": "fr", "now": NOON}
        case = care.open_case(session, session.get_one(Campaign, scene.campaign.id), **told).case  # type: ignore[arg-type]  # as it is named
        care.answer(session, case, text="Hm", speaker=care.Speaker.SHOP, now=NOON)
        care.close(session, case, now=NOON)
        store(session, ReceiptTries, scan_id=UUID(row.id), tries=1)
        participants.take_try(session, 1, now=NOON)
        shown = {
            "organisation_id": organisation_id,
            "participant_id": done.person.id,
            "phase": "live",
            "code": "123456",
        }
        step = missions.steps_of(session, scene.mission.id)[0]
        times = {"issued_at": NOON, "expires_at": minutes(10)}
        store(session, ActCode, id=ids.uuid7_at(NOON), step_id=step.id, **shown, **times)
        store(session, VisitorSalt, day=int(NOON.timestamp()) // 86400, salt=b"salt")
        judged = {"rules_version": 1, "verdict": row.verdict, "score": 0, "reasons": "", "decided_by": "judge"}
        store(session, ScanJudgement, id=ids.uuid7_at(NOON), scan_id=UUID(row.id), decided_at=NOON, **judged)
        care.report_code(
            session, scene.entry, code="7K3Q", kind=care.ReportKind.DAMAGED, text="", reporter_key=1, now=NOON
        )
        idempotency.begin(session, organisation_id, "key", "print", now=NOON)
        for _ in range(2):
            link = places.issue_staff_link(session, place, now=NOON)
            phone, _secret = places.sign_in(session, link, label="Phone", pin=PIN, pin_key=PIN_KEY, now=NOON)
        session.flush()
        rights = RIGHTS[Role.OWNER]
        *_, invitation = identity.invite_member(
            session, organisation_id, email="a@b.example", name="Ana", role=Role.OWNER, most=rights, now=NOON
        )
        identity.sign_in_member(session, invitation, label="Firefox", replaces=None, now=NOON)
        tag = {"token_id": scene.entry.token_id, "place_id": place.id, "was": "blank", "written_at": NOON}
        tag |= {"organisation_id": organisation_id, "staff_session_id": phone.id}
        store(session, TagWriting, id=ids.uuid7_at(NOON), **tag)
        job = {"kind": "none", "payload": "{}", "state": "done", "total": 1, "created_at": NOON, "ended_at": NOON}
        job |= {"organisation_id": organisation_id, "done": 1, "failed": 0, "attempts": 0}
        store(session, Job, id=ids.uuid7_at(NOON), **job)
        hook = {"url": "https://erp.example/", "events": ["case.opened"], "keyring": KEYRING, "now": NOON}
        made, _ = webhooks.register(session, organisation_id, **hook)  # type: ignore[arg-type]  # as it is named
        webhooks.try_out(session, made, now=NOON)
        sold = stats.Told("till", "1", ids.show("cmp", scene.campaign.id), 800, "EUR", NOON)
        assert stats.Clerk(session, organisation_id, now=NOON).take(sold)[0] is stats.Fate.ACCEPTED
    with database.transaction() as session:
        planning.end(session, session.get_one(Campaign, scene.campaign.id), now=NOON + timedelta(days=1))
    worker.keep_weeks(database, now=NOON + timedelta(days=20))
    return scene


def overdue(database: Database, now: datetime) -> list[tuple[str, str]]:
    with database.snapshot() as session:
        return sorted({(line.kind, line.table) for line in privacy.report(session, now=now) if line.is_overdue})


def test_nothing_of_any_class_outlives_its_term(database: Database) -> None:
    scene = furnish(database)
    assert overdue(database, YEARS_ON) == PURGED, "the house has a row of each class"
    worker.purge(database, now=YEARS_ON)
    assert overdue(database, YEARS_ON) == []
    with database.snapshot() as session:
        assert [one.label for one in session.exec(select(StaffSession))] == [""], "it wrote a tag: without its name"
    assert scene.problems() == []


def test_the_privacy_page_states_the_terms_that_the_worker_keeps() -> None:
    kept = (MONTHS_KEPT, retention.AGGREGATES_KEPT, retention.POSITION_LIFE, PERSON_LIFE, COOKIE_LIFE_S)
    hours, days, seconds = timedelta(hours=terms.POSITION_HOURS), timedelta(days=terms.PARTICIPANT_DAYS), 86_400
    assert kept == (terms.SCAN_MONTHS, terms.AGGREGATE_MONTHS, hours, days, terms.COOKIE_DAYS * seconds)


def test_nothing_goes_before_its_term(database: Database) -> None:
    scene = furnish(database)
    before = held(database)
    worker.purge(database, now=NOON + timedelta(hours=11))
    assert held(database) == before
    assert scene.problems() == []


def held(database: Database) -> dict[tuple[str, str], int]:
    """Rows by table and what it keeps of it."""
    with database.snapshot() as session:
        lines = privacy.report(session, now=NOON)
    return {
        (line.table, line.keeps): line.rows
        for line in lines
        if line.table not in ("log_starts", "events", "text_counts", "act_codes")
    }


def test_purging_the_log_changes_no_figure_and_verify_stays_clean(database: Database) -> None:
    scene = furnish(database)
    for number in range(1, 4):
        scene.scan_and_confirm(at=minutes(number), visitor_key=number)
    later = NOON + timedelta(days=425)
    young = scene.scan_and_confirm(at=later, visitor_key=9)
    scene.drain(now=later)
    before = (scene.figures(), scene.counters(), visitors(scene), sold(scene))
    assert sold(scene) == (1, 800)

    worker.purge(database, now=later)

    with database.snapshot() as session:
        assert [one.id for one in session.exec(select(Scan))] == [UUID(young.id)]
        assert session.exec(select(stats.Conversion)).all() == []
    assert (scene.figures(), scene.counters(), visitors(scene), sold(scene)) == before
    assert scene.problems() == []


def sold(scene: Scene) -> tuple[int, int]:
    with scene.database.snapshot() as session:
        money = stats.money_of(session, scene.campaign)
    return money.conversions, money.revenue_minor


def visitors(scene: Scene) -> int:
    with scene.database.snapshot() as session:
        return scans.unique_visitors(session, [scene.token.id], since_day=0, until_day=30_000)


def test_a_purge_that_stops_anywhere_leaves_the_books_in_order(database: Database) -> None:
    scene = furnish(database)
    for _ in worker.purging(database, now=YEARS_ON):
        assert scene.problems() == []


def test_a_scan_that_the_log_lost_is_still_noticed(database: Database) -> None:
    scene = furnish(database)
    later = NOON + timedelta(days=425)
    row = scene.scan(at=later)
    worker.purge(database, now=later)
    assert scene.problems() == []
    with database.transaction() as session:
        session.execute(delete(Scan).where(col(Scan.id) == UUID(row.id)))
    assert scene.problems() != []


def test_a_purge_takes_500_rows_a_transaction(database: Database) -> None:
    with database.transaction() as session:
        insert_many_once(session, ReceiptTries, [{"scan_id": ids.uuid7_at(NOON), "tries": 1} for _ in range(1100)])
    (rule,) = (rule for rule in privacy.RULES if rule.table == "receipt_tries")
    done = []
    for _ in range(4):
        with database.erasing() as session:
            done.append(rule.purge(session, now=YEARS_ON))
    assert done == [500, 500, 100, 0]


def test_people_go_90_days_after_their_last_campaign_and_stay_counted(database: Database) -> None:
    scene = furnish(database)
    with database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        running = make_campaign(session, organisation, name="Pommes")
        mission = make_mission(session, running)
        stays, _ = missions.recognise_or_join(session, running, None, language="fr", now=NOON)
        missions.take_part(session, mission, stays, phase="live", now=NOON)
    totals = scene.counters()

    def known(now: datetime) -> list[UUID]:
        worker.purge(database, now=now)
        with database.snapshot() as session:
            return [one.id for one in session.exec(select(Participant)).all() if not one.is_erased]

    end = NOON + timedelta(days=1)
    assert len(known(end + timedelta(days=90))) == 2
    assert known(end + timedelta(days=90, seconds=1)) == [stays.id]
    assert scene.counters() == totals
    assert scene.problems() == []


@pytest.mark.parametrize(
    ("now", "by_month", "start"),
    [
        ("2026-11-30T10:00", False, "2025-10-29"),
        ("2026-11-27T10:00", False, "2025-10-28"),
        ("2026-11-27T00:00", False, "2025-10-27"),
        ("2026-11-27T10:00", True, "2025-11-01"),
        ("2026-12-01T00:00", True, "2025-11-01"),
        ("2026-12-01T00:01", True, "2025-12-01"),
        ("2026-01-15T10:00", False, "2024-12-16"),
    ],
)
def test_the_log_begins_thirteen_months_back_at_a_whole_day_or_month(now: str, by_month: bool, start: str) -> None:
    at = datetime.fromisoformat(now).replace(tzinfo=UTC)
    assert log_start(at, by_month) == datetime.fromisoformat(start).replace(tzinfo=UTC)


def test_a_month_past_its_term_is_dropped_with_its_table(postgres_database: Database) -> None:
    scene = set_scene(postgres_database, steps=STEPS)
    scene.scan()
    worker.make_months(postgres_database, now=YEARS_ON)
    worker.purge(postgres_database, now=YEARS_ON - timedelta(days=300))
    with postgres_database.snapshot() as session:
        left = session.execute(text("SELECT to_regclass('scans_2026_10')")).scalar()
        assert scans.totals(session, [scene.token.id]).raw == 1
    assert left is None
    assert scene.problems() == []
