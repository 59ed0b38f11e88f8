"""Several processes on one hot code (PostgreSQL): what a scan costs them and the database together.

Each has its 64 connections: a batch is as large as what arrives while the one before it is written, and what a batch
costs is shared by its scans. With 64 in all the batches of four processes are a quarter as large.
"""

from collections.abc import Iterator

from tests.bench import wrk
from tests.bench.measure import Bench, scan_run, warm_up
from tests.bench.report import Figure, Line
from tests.bench.servers import shop_on

PROCESSES = (1, 2, 4)
COST_RATIO = 1.2


def processes(bench: Bench, kind: str) -> Iterator[Line]:
    """`serve --workers N` for each N."""
    with shop_on(kind) as shop:
        alone_us = 0.0
        for number in PROCESSES:
            with shop.serving(number) as pid:
                work = wrk.hot(shop.hot, connections=number * wrk.CONNECTIONS)
                warm_up(shop.url, work)
                run = scan_run(bench, shop, pid, work)
            alone_us = alone_us or run.whole_cpu_us
            cost = Figure("CPU a scan / one process", run.whole_cpu_us / alone_us, at_most=COST_RATIO)
            yield Line("processes", kind, f"hot, {number}", run, [cost] if number > 1 else ())
        bench.faults += shop.verify()
