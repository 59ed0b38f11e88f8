"""One workload on one running server, alone or between two runs of the bare one."""

import time
from collections.abc import Callable
from dataclasses import replace

import httpx2

from campaigns import clock, ids
from tests.bench.cpu import CpuOf
from tests.bench.report import Run
from tests.bench.servers import Shop
from tests.bench.wrk import CONNECTIONS, PLAIN, Load, Workload, drive


class Bench:
    """The options of a run, and what was wrong in it."""

    def __init__(self, seconds: float, rows: int) -> None:
        self.seconds = seconds
        self.rows = rows
        self.faults: list[str] = []

    def check_stored(self, what: str, load: Load, stored: int, others: int = 0, connections: int = CONNECTIONS) -> None:
        """As many stored as wrk counted answers, but for those it cut off when it stopped; `others` are not wrk's."""
        if load.errors or not load.requests <= stored - others <= load.requests + connections:
            self.faults.append(f"{what}: {load} but {stored} stored, {others} of them by others")


class Bare:
    """The bare server, measured between the workloads: the mean of the runs before and after one is its measure."""

    def __init__(self, url: str, pid: int, seconds: float) -> None:
        self._url, self._pid, self._seconds = url, pid, seconds
        drive(url, PLAIN, 1)
        self._last = self._measure()

    def around(self, measured: Callable[[], Run]) -> Run:
        before, run, self._last = self._last, measured(), self._measure()
        rate = (before.rate + self._last.rate) / 2
        return replace(run, ratio=run.rate / rate, bare_rate=rate, bare_cpu_us=(before.cpu_us + self._last.cpu_us) / 2)

    def _measure(self) -> Run:
        load, cpu_us, _ = drive_with_cpu(self._url, PLAIN, self._seconds, self._pid, None)
        return run_of(load, cpu_us, None, None)


def scan_run(bench: Bench, shop: Shop, pid: int, work: Workload) -> Run:
    """Scans for a while, each stored."""
    probe(shop.url, work)
    mark = ids.first_of(clock.utc_now())
    load, cpu_us, database_us = drive_with_cpu(shop.url, work, bench.seconds, pid, shop.postmaster)
    stored = shop.scans_since(mark)
    bench.check_stored(f"{shop.kind} {work.name}", load, stored, connections=work.connections)
    return run_of(load, cpu_us, database_us, stored)


def drive_with_cpu(
    url: str, work: Workload, seconds: float, pid: int, postmaster: int | None
) -> tuple[Load, float, float | None]:
    """Run wrk; what it saw, and the CPU of the server and of the database in microseconds a request."""
    server, database = CpuOf(pid), CpuOf(postmaster)
    load = drive(url, work, seconds)
    a_request = 1e6 / max(load.requests, 1)
    return load, server.seconds() * a_request, database.seconds() * a_request if postmaster else None


def run_of(load: Load, cpu_us: float, database_cpu_us: float | None, stored: int | None) -> Run:
    return Run(load.rate, cpu_us, database_cpu_us, load.p50_ms, load.p99_ms, load.errors, load.requests, stored)


def probe(url: str, work: Workload) -> None:
    """One request by hand: the workload is what it says it is."""
    answer = httpx2.get(url + work.path, headers=dict(work.headers), follow_redirects=False)
    assert answer.status_code == work.status, f"{work.name} answers {answer.status_code}"
    if work.status == 200:
        assert answer.headers["content-encoding"] == "gzip"
        assert 'name="receipt"' in answer.text
    time.sleep(0.01)  # its scan lies before the mark


def warm_up(url: str, work: Workload, least: int = 1) -> None:
    """Until every code was met once: a cold one reads the database."""
    seconds = 2.0
    while drive(url, work, seconds).requests < least:
        seconds *= 2
    time.sleep(1)
