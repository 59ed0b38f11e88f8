"""Scans beside 2,000 sockets that drip a byte a second."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from tests.bench import wrk
from tests.bench.measure import Bench, scan_run, warm_up
from tests.bench.report import Figure, Line
from tests.bench.servers import ROOT, Shop, shop_on

DRIPPING = 2_000
P99_RATIO = 2.0


def slow(bench: Bench, kind: str) -> Iterator[Line]:
    """The p99 of hot scans alone, then beside them. That they are all dropped in time is the soak's to prove."""
    with shop_on(kind) as shop, shop.serving() as pid:
        work = wrk.hot(shop.hot)
        warm_up(shop.url, work)
        alone = scan_run(bench, shop, pid, work)
        yield Line("slow", kind, "hot alone", alone)
        with dripping(shop) as connected:
            beside = scan_run(bench, shop, pid, work)
        ratio = Figure("p99 / alone", beside.p99_ms / alone.p99_ms, at_most=P99_RATIO)
        yield Line("slow", kind, f"beside {connected:,} dripping", beside, [ratio])
        bench.faults += shop.verify()


@contextmanager
def dripping(shop: Shop) -> Iterator[int]:
    """The sockets of the soak, in a process of its own: how many are connected when the block begins."""
    address = urlsplit(shop.url)
    command = [sys.executable, "-m", "tests.faults.test_slow_clients"]
    command += [address.hostname or "", str(address.port), str(DRIPPING)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdout is not None
        try:
            yield int(crowd.stdout.readline().split()[0])
        finally:
            crowd.kill()
