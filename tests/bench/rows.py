"""What a scan costs when the log is short, and when it is long."""

from collections import deque
from collections.abc import Iterator
from datetime import timedelta

from tests.bench import wrk
from tests.bench.history import write_history
from tests.bench.measure import Bench, scan_run, warm_up
from tests.bench.report import Figure, Line, Run
from tests.bench.servers import WIDE_CODES, Shop, shop_on

FEW = 10_000
MANY = 1_000_000
VERIFIED = 100_000  # scans: `verify` takes 0.1 ms of each, and the other parts run it too
SPREAD = timedelta(days=90)
COST_RATIO = 1.3


def rows(bench: Bench, kind: str) -> Iterator[Line]:
    """The same two workloads at 10,000 scans in the log and at as many as were asked for, of the past 90 days.

    The ratio is of CPU, the server's and the database's together.
    """
    with shop_on(kind) as shop:
        grow(shop, FEW)
        few = dict(measured(bench, shop))
        for name, run in few.items():
            yield Line("rows", kind, f"{name}, {FEW:.0e}", run)
        grow(shop, bench.rows - FEW)
        for name, run in measured(bench, shop):
            ratio = run.whole_cpu_us / few[name].whole_cpu_us
            figure = Figure(f"CPU a scan / {FEW:.0e}", ratio, at_most=COST_RATIO)
            yield Line("rows", kind, f"{name}, {bench.rows:.0e}", run, [figure])
        if bench.rows <= VERIFIED:
            bench.faults += shop.verify()


def grow(shop: Shop, number: int) -> None:
    """So many scans more."""
    deque(write_history(shop, number, over=SPREAD), maxlen=0)


def measured(bench: Bench, shop: Shop) -> Iterator[tuple[str, Run]]:
    """Hot and wide on a server started anew."""
    with shop.serving() as pid:
        warm_up(shop.url, wrk.wide([one.code for one in shop.wide]), WIDE_CODES)
        for work in (wrk.hot(shop.hot), wrk.wide([one.code for one in shop.wide])):
            yield work.name, scan_run(bench, shop, pid, work)
