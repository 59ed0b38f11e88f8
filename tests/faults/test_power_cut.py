"""An answered scan is a stored scan, also when the power goes: our own writer over a disk that forgets."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from campaigns import migrations
from campaigns.scans.log import Confirmation, ScanRow
from campaigns.scans.spool import Spool
from campaigns.storage import Database, connect_sqlite
from campaigns.verify import verify
from tests.conftest import ROOT, open_migrated

CUTS = 400 if os.environ.get("PASSERELLE_SOAK") else 40


def test_no_answered_scan_is_lost_in_a_power_cut(tmp_path: Path) -> None:
    lost, answered, broken = _lose_power(tmp_path, "FULL")
    assert answered > CUTS * 10
    assert broken == []
    assert lost == 0


def test_the_trial_would_notice_a_missing_sync(tmp_path: Path) -> None:
    """The same trial with `synchronous=NORMAL` loses answered scans: the test above can fail."""
    lost, _, _ = _lose_power(tmp_path, "NORMAL")
    assert lost > 0


def test_nothing_a_spool_took_is_lost_in_a_power_cut(tmp_path: Path) -> None:
    lost, taken, broken = _lose_spools(tmp_path, "FULL")
    assert taken > CUTS * 10
    assert broken == []
    assert lost == 0


def test_the_trial_of_the_spool_would_notice_a_missing_sync(tmp_path: Path) -> None:
    lost, _, _ = _lose_spools(tmp_path, "NORMAL")
    assert lost > 0


def test_every_connection_that_keeps_scans_waits_for_the_disk(tmp_path: Path) -> None:
    """The trials hand in connections of their own: this is what ours are made with."""
    database = Database(f"sqlite:///{tmp_path}/passerelle.db")
    spool = Spool.open(tmp_path / "spool.db")
    assert spool is not None
    with database.engine.connect() as session, closing(connect_sqlite(tmp_path / "log.db")) as log:
        session_s = session.exec_driver_sql("PRAGMA synchronous").scalar_one()
        others = [one.execute("PRAGMA synchronous").fetchone()[0] for one in (log, spool._connection)]
    spool.close()
    database.close()
    assert [session_s, *others] == [2, 2, 2]  # FULL


def _lose_spools(folder: Path, synchronous: str) -> tuple[int, int, list[str]]:
    lost = taken = 0
    broken: list[str] = []
    for trial in _trials(folder, synchronous, "spool"):
        spool = Spool.open(Path(trial["path"]))
        assert spool is not None
        broken += [row[0] for row in spool._connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
        kept = [entry for _, entry in spool.first(10_000)]
        spool.close()
        scans = {entry.id for entry in kept if isinstance(entry, ScanRow)}
        confirmed = {entry.scan_id for entry in kept if isinstance(entry, Confirmation)}
        lost += len(set(trial["answered"]) - scans) + len(set(trial["confirmed"]) - confirmed)
        taken += len(trial["answered"])
    return lost, taken, broken


def _trials(folder: Path, synchronous: str, what: str) -> list[dict[str, Any]]:
    command = [sys.executable, str(Path(__file__).with_name("power_cut.py"))]
    command += [str(folder), str(CUTS), "7", synchronous, what]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    said = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True).stdout
    return [json.loads(line) for line in said.splitlines()]


def _lose_power(folder: Path, synchronous: str) -> tuple[int, int, list[str]]:
    template = Database(f"sqlite:///{folder}/template.db")
    migrations.upgrade(template)
    with template.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    template.close()  # the last connection writes the WAL back into the file
    lost = answered = 0
    broken: list[str] = []
    for trial in _trials(folder, synchronous, "log"):
        with closing(sqlite3.connect(trial["path"])) as connection:
            broken += [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            stored = {row[0] for row in connection.execute("SELECT id FROM scans")}
            confirmed = {row[0] for row in connection.execute("SELECT scan_id FROM scan_confirmations")}
        lost += len(set(trial["answered"]) - stored) + len(set(trial["confirmed"]) - confirmed)
        answered += len(trial["answered"])
        database = open_migrated(f"sqlite:///{trial['path']}")
        broken += verify(database)
        database.close()
    return lost, answered, broken
