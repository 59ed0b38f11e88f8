"""Killed with -9 between any two statements of accrual, posting, voiding and payout: nothing is half done."""

import os
import subprocess
import sys

from campaigns import migrations
from campaigns.storage import Database
from tests.conftest import ROOT

STRIDE = 1 if os.environ.get("PASSERELLE_SOAK") else 7  # statements between two kills; of a payout three
PATIENCE_S = 600 if STRIDE > 1 else 2400


def test_money_that_is_killed_on_its_way_leaves_the_books_whole(database_url: str) -> None:
    database = Database(database_url)
    migrations.upgrade(database)
    database.close()
    command = [sys.executable, "-m", "tests.faults.money_kill_points", database_url, str(STRIDE)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 0, done.stderr
