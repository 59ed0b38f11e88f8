"""Accruals a second on one hot pledge: the worker's own rate, over acts on judged scans, each of somebody new.

No server and nobody else: the acts are written as rows with their events, and the worker drains them. A hot pledge has
caps of its own a person and a day, and another one matches it, in a second run.
"""

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import UUID

from campaigns import migrations, participants, worker
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.missions import Membership
from campaigns.missions.models import StepCompletion
from campaigns.missions.service import steps_of
from campaigns.scans import CheckIn, Scan
from campaigns.scans.models import ScanConfirmation
from campaigns.sponsorship.models import PledgeKind
from campaigns.storage import Database, store_all
from campaigns.verify import verify
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import DATABASES
from tests.factories import NOON
from tests.scene import Scene, set_scene
from tests.sponsors import pledged

AT_LEAST = 500.0  # accruals a second on one pledge (the issue)
ACTS = 3000


def accruals(bench: Bench, kind: str) -> Iterator[Line]:
    """One pledge without further caps; then one with all of them, and a second that matches it."""
    for name, caps in (
        ("one pledge", {}),
        ("with caps, and matched", {"per_person_cap_minor": 50, "per_day_cap_minor": 10**9}),
    ):
        with tempfile.TemporaryDirectory(prefix="passerelle-bench-", dir="/tmp") as folder:
            Path(folder).chmod(0o755)  # PostgreSQL runs as another user when we are root
            with DATABASES[kind](Path(folder)) as (url, _):
                yield _measure(bench, kind, url, name, caps)


def _measure(bench: Bench, kind: str, url: str, name: str, caps: dict[str, int]) -> Line:
    database = Database(url)
    try:
        migrations.upgrade(database)
        worker.make_months(database, now=NOON)
        scene = set_scene(database)
        base = pledged(database, scene.mission, cap_minor=10**9, **caps)
        if caps:
            match = {"kind": PledgeKind.MATCH.value, "matches_id": base.id, "match_percent": 100}
            pledged(database, scene.mission, cap_minor=10**9, **match)
        write_acts(scene, ACTS)
        made = ACTS * (2 if caps else 1)
        start, cpu = time.perf_counter(), time.process_time()
        while worker.drain(database, now=NOON).done:
            pass
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        start = time.perf_counter()
        worker.post_accruals(database, now=base.created_at.replace(year=2027))
        posting = time.perf_counter() - start
        if found := [one for one in verify(database) if "pld_" in one or "account" in one or "acr_" in one]:
            bench.faults.append(f"accruals {kind}: {found[:3]}")
        figures = [
            Figure("accruals", made / seconds, "a second", at_least=AT_LEAST),
            Figure("CPU of the worker", cpu / made * 1e6, "us each"),
            Figure("posted", made / posting, "a second"),
        ]
        return Line("accruals", kind, name, None, figures, f"{made} accruals of {ACTS} people, 100 acts a transaction")
    finally:
        database.close()


def write_acts(scene: Scene, number: int) -> None:
    """So many acts on scans that were judged, with the events of their completions."""
    for start in range(0, number, 500):
        with scene.database.transaction() as session:
            step = steps_of(session, scene.mission.id)[0]
            people = [
                participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0].id
                for _ in range(min(500, number - start))
            ]
            rows = [_act(scene, step.id, person) for person in people]
            for table in (Scan, ScanConfirmation, Membership, CheckIn, StepCompletion):
                store_all(session, table, [row[table] for row in rows])
            for row in rows:
                done = row[StepCompletion]
                facts = {"completion_id": done["id"], "step_id": step.id, "participant_id": done["participant_id"]}
                record_event(session, "step.completed", now=NOON, **facts)


def _act(scene: Scene, step_id: UUID, person: UUID) -> dict[type, dict[str, object]]:
    scan_id, check_in_id, token = uuid7_at(NOON), uuid7_at(NOON), scene.token
    common = {"campaign_id": scene.campaign.id, "token_id": token.id, "place_id": token.place_id, "phase": "live"}
    first = {"verdict": "valid", "reasons": ""}
    scan = {"code": None, "visitor_key": 1, "score": 0, "rules_version": 3, "device": "phone", "language": "fr"}
    act = {"presence": 1, "geofence": "inside", "by_till_code": False, "counted": True}
    mine = {"mission_id": scene.mission.id, "participant_id": person, "phase": "live"}
    done = {"step_id": step_id, "period": "2026-10-14", "state": "verified", "presence": 1, "completed_at": NOON}
    return {
        Scan: {"id": scan_id, **common, **first, **scan},
        ScanConfirmation: {
            "scan_id": scan_id,
            "token_id": token.id,
            "visitor_key": 1,
            "confirmed_at": NOON,
            "is_judged": True,
        },
        Membership: {**mine, "joined_at": NOON},
        CheckIn: {
            "id": check_in_id,
            "scan_id": scan_id,
            "participant_id": person,
            **common,
            **first,
            **act,
            "occurred_at": NOON,
            "checked_in_at": NOON,
        },
        StepCompletion: {"id": uuid7_at(NOON), **mine, **done, "source_id": check_in_id},
    }
