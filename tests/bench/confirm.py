"""The page's confirm: a receipt of another scan in every request, beside the judge that reads them."""

import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from uuid import UUID

from sqlmodel import col, select

from campaigns import clock, ids
from campaigns.events import Event
from campaigns.scans import Verdict
from campaigns.scans.models import ScanConfirmation
from tests.bench import wrk
from tests.bench.history import write_history
from tests.bench.measure import Bare, Bench, drive_with_cpu, run_of, scan_run, warm_up
from tests.bench.report import Figure, Line, Run
from tests.bench.servers import WIDE_CODES, Shop, bare_server, shop_on

CONFIRM_TO_HOT = 0.8
LAG_S = 5.0  # DOMAIN section 4: judged within
PATIENCE_S = 60.0
LOOK_S = 0.25
VISITORS = 50_000  # some two scans each a day, as people make
A_SECOND = 20_000  # receipts: more than any server here confirms
SPREAD = timedelta(hours=24)  # of the scans: a receipt is good for 48


def confirm(bench: Bench, kind: str) -> Iterator[Line]:
    """The confirm between two bare runs, then the judge until it has caught up."""
    with shop_on(kind) as shop, tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        receipts = mint(shop, round(A_SECOND * max(bench.seconds, 1)))
        file.write("\n".join(receipts))
        file.flush()
        with shop.serving() as pid, bare_server() as bare_address:
            warm_up(shop.url, wrk.wide([one.code for one in shop.wide]), WIDE_CODES)
            bare = Bare(*bare_address, bench.seconds)
            hot = bare.around(lambda: scan_run(bench, shop, pid, wrk.hot(shop.hot)))
            yield Line("confirm", kind, "hot", hot)
            with watched_judge(shop) as watch:
                run = bare.around(lambda: confirm_run(bench, shop, pid, Path(file.name), len(receipts), watch))
            assert run.stored is not None
            repeats = max(0, run.requests - run.stored)
            yield Line(
                "confirm",
                kind,
                "confirm",
                run,
                [Figure("confirm / hot 302", run.rate / hot.rate, at_least=CONFIRM_TO_HOT), *watch.figures(run.stored)],
                f"{run.stored} of {run.requests} were new" if repeats else "every one was new",
            )
            bench.faults += watch.faults
            bench.faults += shop.verify()


def mint(shop: Shop, number: int) -> list[str]:
    """Store scans of the last day and make their receipts: a code and a receipt each, oldest first."""
    book = shop.receipts()
    known = {one.id.hex: one for one in shop.wide}
    made = []
    for batch in write_history(shop, number, over=SPREAD, visitors=VISITORS):
        for row in batch:
            token = known[row.token_id or ""]
            receipt = book.mint(row.id, token.id, token.place_id, row.visitor_key, Verdict(row.verdict), row.score, 0)
            made.append(f"{token.code} {receipt.decode()}")
    return made


def confirm_run(bench: Bench, shop: Shop, pid: int, receipts: Path, number: int, watch: "JudgeWatch") -> Run:
    """Confirm each once, and again from the first when there are no more; then let the judge catch up."""
    held = shop.confirmations()
    load, cpu_us, database_us = drive_with_cpu(shop.url, wrk.confirm(receipts), bench.seconds, pid, shop.postmaster)
    watch.wait()
    stored = shop.confirmations() - held
    if load.requests < number:
        bench.check_stored(f"{shop.kind} confirm", load, stored)
    elif load.errors or stored < number - 1:  # wrk makes one request that it does not send
        bench.faults.append(f"{shop.kind} confirm: {load} but {stored} of {number} stored")
    return run_of(load, cpu_us, database_us, stored)


class JudgeWatch:
    """How far the judge is behind: the age of the oldest event that waits for it, read four times a second."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._stopping = threading.Event()
        self._busy: list[float] = []  # when something waited
        self.longest_lag_s = 0.0
        self.waiting = 0
        self.faults: list[str] = []
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Until nothing waits any more, a minute at most."""
        time.sleep(0.5)  # what was cut off from its answer is on its way
        end = time.monotonic() + PATIENCE_S
        while (oldest := self._oldest()) is not None and time.monotonic() < end:
            time.sleep(0.1)
        self.waiting = self._shop.count(ScanConfirmation.scan_id, col(ScanConfirmation.is_judged).is_(False))
        if oldest is None and self.waiting:
            self.faults.append(f"{self._shop.kind}: {self.waiting} confirmations have no event and are not judged")

    def stop(self) -> None:
        self._stopping.set()
        self._thread.join()

    def figures(self, stored: int) -> list[Figure]:
        """Its rate while something waited, and its longest lag."""
        rate = (stored - self.waiting) / max(LOOK_S, self._busy[-1] - self._busy[0]) if self._busy else 0
        found = [
            Figure("judged", rate, "a second"),
            Figure("longest lag of the judge", self.longest_lag_s, "s", at_most=LAG_S),
        ]
        return [*found, Figure("still to judge", self.waiting, at_most=0)] if self.waiting else found

    def _look(self) -> None:
        while not self._stopping.wait(LOOK_S):
            oldest = self._oldest()
            if oldest is not None:
                self._busy.append(time.monotonic())
                lag_s = (clock.utc_now() - ids.instant_of(oldest)).total_seconds()
                self.longest_lag_s = max(self.longest_lag_s, lag_s)

    def _oldest(self) -> UUID | None:
        with self._shop.database.snapshot() as session:
            waiting = select(Event.id).where(Event.name == "scans.confirmed").order_by(col(Event.id)).limit(1)
            return session.exec(waiting).first()


@contextmanager
def watched_judge(shop: Shop) -> Iterator[JudgeWatch]:
    """Watch it until the end of the block."""
    watch = JudgeWatch(shop)
    try:
        yield watch
    finally:
        watch.stop()
