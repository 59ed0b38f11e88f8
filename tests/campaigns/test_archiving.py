"""Archiving: no figure changes, and killed at any moment no scan is lost. On both databases."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import duckdb
import pytest
from sqlmodel import func, select

from campaigns import ids, stats, verify
from campaigns.errors import Conflict, Invalid
from campaigns.scans import Scan, archiving
from campaigns.scans.models import ScanConfirmation, ScanJudgement, ScanPosition
from campaigns.stats import Asked, parquet
from campaigns.storage import Database
from tests.conftest import SECRET
from tests.factories import PHONE, make_scan, write
from tests.scene import FAR, INSIDE, Scene, confirmation, set_scene

START = datetime(2026, 7, 28, 9, tzinfo=UTC)
BEFORE = datetime(2026, 10, 1, tzinfo=UTC)
NOW = datetime(2026, 10, 14, 10, tzinfo=UTC)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
KILLS = 3  # then it may finish
QUESTIONS = (*((one,) for one in stats.GROUPS if one != "hour"), ("day", "place"), ("week", "verdict"))


def lived(database: Database) -> Scene:
    """Eleven weeks: scans seen and not, visits, ideas, robots, positions far away."""
    scene = set_scene(database, campaign={"now": START - timedelta(days=1)}, place={"now": START - timedelta(days=1)})
    cookie = None
    for day in range(0, 76, 3):
        at = START + timedelta(days=day)
        row = scene.scan(at=at, visitor_key=day << 40 | int(at.timestamp()) // 86400)
        done = scene.check_in(row, now=at, position=INSIDE, cookie=cookie if day % 2 else None)
        cookie = done.secret or cookie
        if day % 4 == 0:
            scene.post_idea(done.person, client_id=str(day), now=at + timedelta(hours=1))
        scene.scan(at=at + timedelta(minutes=1), agent=BOT, visitor_key=1)
        seen = scene.scan_and_confirm(at=at + timedelta(minutes=2), visitor_key=2)
        scene.locate(seen, FAR, at=at + timedelta(minutes=2))
        scene.drain(now=at + timedelta(minutes=5))
    return scene


def told(scene: Scene) -> list[Any]:
    """Every question of the stats, acts, the funnel, the bridge."""
    found: list[Any] = []
    with scene.database.moment() as session:
        for groups in QUESTIONS:
            for since in (None, START + timedelta(days=20)):
                asked = Asked(since, None, groups)
                answer = stats.ask(session, scene.campaign, asked, now=NOW)
                found += [answer, stats.acts_of(session, scene.campaign, asked, answer.window)]
        hours = Asked(datetime(2026, 8, 20, tzinfo=UTC), datetime(2026, 9, 20, tzinfo=UTC), ("hour",))
        found.append(stats.ask(session, scene.campaign, hours, now=NOW))
        for by in (None, "place", "token"):
            found.append(stats.funnel(session, scene.campaign, Asked(), can_measure=True, by=by, now=NOW))
        found.append(stats.bridge_rate(session, scene.campaign.id))
    return found


def kept(database: Database) -> set[UUID]:
    with database.snapshot() as session:
        return set(session.exec(select(Scan.id)).all())


def test_no_figure_changes_when_scans_are_archived(database: Database, tmp_path: Path) -> None:
    scene = lived(database)
    before, scans = told(scene), kept(database)
    assert verify.verify(database) == []
    made = list(archiving.archive(database, tmp_path, before=BEFORE, parquet=_as_parquet, now=NOW))
    assert [one.month for one, _ in made] == ["2026-07", "2026-08", "2026-09"]
    assert told(scene) == before
    assert verify.verify(database) == []
    left = kept(database)
    assert left == {id for id in scans if ids.instant_of(id) >= BEFORE}
    archived: set[UUID] = set()
    for one, gone in made:
        held = list(archiving.read_back(tmp_path / one.file))
        assert gone == one.rows == len(held)
        assert (one.first_id, one.last_id) == (ids.show("scn", held[0]), ids.show("scn", held[-1]))
        manifest = json.loads((tmp_path / f"{one.file}.manifest.json").read_text())
        assert manifest["sha256"] == one.sha256 == archiving.digest(tmp_path / one.file)
        assert (tmp_path / one.file).stat().st_mode & 0o077 == 0
        assert one.parquet is not None
        rows = duckdb.sql(f"SELECT scan_id FROM '{tmp_path / one.parquet}'")
        assert rows is not None
        assert [UUID(name[4:]) for (name,) in rows.fetchall()] == held
        archived |= set(held)
    assert archived | left == scans
    with database.snapshot() as session:
        for table in (ScanConfirmation, ScanJudgement, ScanPosition):
            rest = session.exec(select(func.count()).where(table.scan_id < ids.first_of(BEFORE))).one()
            assert rest == 0, table
    assert list(archiving.archive(database, tmp_path, before=BEFORE, now=NOW)) == []


def test_a_file_holds_no_visitor_and_no_position(database: Database, tmp_path: Path) -> None:
    lived(database)
    (one, _), *_ = archiving.archive(database, tmp_path, before=BEFORE, now=NOW)
    (line, *_) = archiving.lines_of(tmp_path / one.file)
    assert set(archiving.COLUMNS) & {"visitor_key", "cell", "distance_m", "sealed", "point", "participant_id"} == set()
    assert len(line[0]) == len(archiving.COLUMNS)


def _as_parquet(path: Path, pages: archiving.Pages) -> None:
    parquet.write(path, archiving.COLUMNS, pages)


@pytest.mark.parametrize("before", [datetime(2026, 9, 15, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)])
def test_only_whole_months_that_have_settled_are_archived(database: Database, tmp_path: Path, before: datetime) -> None:
    set_scene(database)
    with pytest.raises(Invalid):
        list(archiving.archive(database, tmp_path, before=before, now=NOW))
    with pytest.raises(Invalid):
        list(archiving.archive(database, tmp_path, before=BEFORE, now=BEFORE + timedelta(days=3)))


def test_what_the_worker_has_not_seen_stays(database: Database, tmp_path: Path) -> None:
    scene = set_scene(database, campaign={"now": START - timedelta(days=1)})
    row = make_scan(scene.entry, at=START, agent=PHONE)
    write(database, row, now=START)
    with pytest.raises(Conflict):
        list(archiving.archive(database, tmp_path, before=BEFORE, now=NOW))
    assert len(kept(database)) == 1


def test_a_file_that_was_cut_off_or_altered_is_known(database: Database, tmp_path: Path) -> None:
    lived(database)
    (one, _), *_ = archiving.archive(database, tmp_path, before=BEFORE, now=NOW)
    whole = (tmp_path / one.file).read_bytes()
    for spoilt in (whole[:-20], whole[:40] + bytes([whole[40] ^ 1]) + whole[41:]):
        (tmp_path / one.file).write_bytes(spoilt)
        with pytest.raises(Conflict):
            list(archiving.read_back(tmp_path / one.file))


def _command(database: Database, folder: Path, **more: Any) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "PASSERELLE_DATABASE_URL": database.url,
        "PASSERELLE_SECRET_KEY": SECRET,
        "COLUMNS": "999",
    }
    command = [sys.executable, "-m", "api", "archive", "--before", "2026-10-01", "--out", str(folder)]
    with (folder.parent / "said").open("wb") as said:
        return subprocess.Popen(command, env=environment, stdout=said, stderr=said, **more)


def said_in(folder: Path) -> str:
    return (folder.parent / "said").read_text()


def test_killed_at_any_moment_every_scan_is_there_or_in_a_file(database: Database, tmp_path: Path) -> None:
    folder = tmp_path / "archive"
    scene = set_scene(database, campaign={"now": START - timedelta(days=1)})
    rows = [make_scan(scene.entry, at=START + timedelta(minutes=36 * one), visitor_key=one) for one in range(2400)]
    write(database, *rows, now=START)
    write(database, *(confirmation(row, START) for row in rows[::3]), now=START)
    scene.drain(now=NOW)
    scans, chance, kills = kept(database), random.Random(8), 0
    while True:
        process = _command(database, folder)
        # From when the first file grows on: before it nothing has happened.
        while process.poll() is None and not any(folder.glob("*.part")) and kills == 0:
            time.sleep(0.005)
        with suppress(subprocess.TimeoutExpired):
            at = chance.uniform(0.02, 0.4) if kills == 0 else chance.uniform(1.5, 3.5)
            process.wait(timeout=at if kills < KILLS else None)
        if process.poll() is not None:
            break
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
        assert _everywhere(database, folder) == scans
        assert verify.verify(database) == []
    assert process.returncode == 0, said_in(folder)
    assert kills, "it was never killed"
    assert _everywhere(database, folder) == scans
    assert not [id for id in kept(database) if ids.instant_of(id) < BEFORE]


def _everywhere(database: Database, folder: Path) -> set[UUID]:
    return kept(database).union(*(archiving.read_back(one) for one in folder.glob("*.ndjson.gz")))


def test_a_full_disk_loses_nothing_and_is_told(database: Database, tmp_path: Path) -> None:
    scene = lived(database)
    scans, figures = kept(database), told(scene)

    def no_room() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (500, 500))

    folder = tmp_path / "archive"
    process = _command(database, folder, preexec_fn=no_room)
    process.wait(timeout=180)
    assert process.returncode == 1
    said = said_in(folder)  # on SQLite the limit may hit its own files first
    assert "could not be" in said or "does not answer" in said
    assert "Traceback" not in said
    assert _everywhere(database, folder) == scans, "a small month may fit before the disk is full"
    assert told(scene) == figures
