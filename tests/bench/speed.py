"""Scans of one code, of 10,000 codes, and the hosted page, each between two runs of a bare 302."""

from collections.abc import Iterator

from tests.bench import wrk
from tests.bench.measure import Bare, Bench, scan_run, warm_up
from tests.bench.report import Figure, Line
from tests.bench.servers import WIDE_CODES, bare_server, shop_on

PAGE_TO_HOT = 0.8


def speed(bench: Bench, kind: str) -> Iterator[Line]:
    """Every switch on, nothing else going on."""
    with shop_on(kind) as shop, shop.serving() as pid, bare_server() as bare_address:
        bare = Bare(*bare_address, bench.seconds)
        hot_rate = 0.0
        works = [(wrk.hot(shop.hot), 1), (wrk.wide([one.code for one in shop.wide]), WIDE_CODES)]
        for work, codes in [*works, (wrk.page(shop.hosted), 1)]:
            warm_up(shop.url, work, codes)
            run = bare.around(lambda work=work: scan_run(bench, shop, pid, work))  # type: ignore[misc]  # a default is not inferred
            hot_rate = hot_rate or run.rate
            page = [Figure("page / hot 302", run.rate / hot_rate, at_least=PAGE_TO_HOT)]
            yield Line("speed", kind, work.name, run, page if work.name == "page" else ())
        bench.faults += shop.verify()
