"""An answered scan is a stored scan, also when the power goes: our own writer over a disk that forgets."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from campaigns import migrations
from campaigns.storage import Database
from campaigns.verify import verify
from tests.conftest import ROOT

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


def _lose_power(folder: Path, synchronous: str) -> tuple[int, int, list[str]]:
    template = Database(f"sqlite:///{folder}/template.db")
    migrations.upgrade(template)
    with template.engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    template.close()  # the last connection writes the WAL back into the file
    command = [sys.executable, str(Path(__file__).with_name("power_cut.py")), str(folder), str(CUTS), "7", synchronous]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    trials = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=600, check=True)
    lost = answered = 0
    broken: list[str] = []
    for line in trials.stdout.splitlines():
        trial = json.loads(line)
        with closing(sqlite3.connect(trial["path"])) as connection:
            broken += [row[0] for row in connection.execute("PRAGMA integrity_check") if row[0] != "ok"]
            stored = {row[0] for row in connection.execute("SELECT id FROM scans")}
            confirmed = {row[0] for row in connection.execute("SELECT scan_id FROM scan_confirmations")}
        lost += len(set(trial["answered"]) - stored) + len(set(trial["confirmed"]) - confirmed)
        answered += len(trial["answered"])
        database = Database(f"sqlite:///{trial['path']}")
        broken += verify(database)
        database.close()
    return lost, answered, broken
