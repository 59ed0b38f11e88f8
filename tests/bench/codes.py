"""Codes: one drawn alone, many in two processes, 100,000 of a batch made and sent as a ZIP, and printed as labels.

CPU a code stands beside each rate: on a machine that does other things too it is the truer figure.
"""

import os
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from random import Random
from threading import Event, Thread
from typing import Any

from campaigns.tokens import codes as token_codes
from campaigns.tokens import qr
from campaigns.tokens.bulk_drawing import CHUNK, Order
from campaigns.tokens.workshop import PROCESSES, Workshop
from tests.bench.cpu import CpuOf, tree_of
from tests.bench.measure import Bench
from tests.bench.mixed import BATCH, Job
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on

ALONE = 100  # codes; each is some 4 ms
IN_BULK = 10_000
TO_MATRIX = 1.2  # and half a millisecond
MORE_MS = 0.5
BULK_RATE = 1_500.0
ROWS_S = 20.0
RESIDENT_MB = 300.0
_WAITING_S = 0.1  # between two looks at the memory


def codes(bench: Bench, kind: str) -> Iterator[Line]:
    """A plain SVG against its matrix, bulk drawing, then the batch on a running server."""
    texts = tuple(
        f"HTTPS://SHOP.EXAMPLE/T/{code}" for code in token_codes.new_serials(IN_BULK, Random(IN_BULK).randbytes)
    )
    yield Line("codes", kind, "one SVG", None, alone(texts[:ALONE]))
    yield Line("codes", kind, f"in {PROCESSES} processes", None, in_bulk(texts))
    with shop_on(kind) as shop, shop.serving() as pid:
        batch, rows = a_batch(bench, shop)
        yield Line("codes", kind, f"a batch of {BATCH['count']:,}", None, [rows])
        yield Line("codes", kind, "its ZIP", None, sent(bench, shop, pid, batch))
        yield Line("codes", kind, "a file of its labels", None, printed(shop, pid, batch))


def alone(texts: tuple[str, ...]) -> list[Figure]:
    """CPU of a matrix as the library makes it, and of the whole image: chosen mask, drawn, read back from its bytes."""
    matrix_ms = _cpu_ms(lambda text: qr.matrix(text, qr.ErrorCorrection.M), texts)
    image_ms = _cpu_ms(lambda text: qr.svg(text, module_px=8), texts)
    allowed_ms = TO_MATRIX * matrix_ms + MORE_MS
    return [
        Figure("bare matrix", matrix_ms, "ms"),
        Figure("plain SVG, read back", image_ms, "ms"),
        Figure(f"SVG / ({TO_MATRIX:g} matrix + {MORE_MS:g} ms)", image_ms / allowed_ms, at_most=1.0),
    ]


def in_bulk(texts: tuple[str, ...]) -> list[Figure]:
    """Codes a second of a workshop whose processes are there already."""
    with Workshop().open() as draw:
        for one in [draw(_order(texts[:CHUNK])) for _ in range(2 * PROCESSES)]:
            one.result()
        used, start = CpuOf(os.getpid()), time.monotonic()
        orders = [draw(_order(texts[first : first + CHUNK], first)) for first in range(0, len(texts), CHUNK)]
        drawn = sum(len(order.result()) for order in orders)
        seconds = time.monotonic() - start
        cpu_ms = used.seconds() * 1000 / drawn
    return [Figure("drawn", drawn / seconds, "codes/s", at_least=BULK_RATE), Figure("CPU", cpu_ms, "ms a code")]


def a_batch(bench: Bench, shop: Shop) -> tuple[str, Figure]:
    """The id of a batch made by its job, and how long the job was at work."""
    job = Job(shop)
    job.wait()
    bench.faults += [f"codes {shop.kind}: {fault}" for fault in job.faults]
    done = job.progress()
    started, ended = (datetime.fromisoformat(done[name]) for name in ("started_at", "ended_at"))
    took = Figure("made and stored", (ended - started).total_seconds(), "s", at_most=ROWS_S)
    return done["result_url"].split("/")[3], took


def sent(bench: Bench, shop: Shop, pid: int, batch: str) -> list[Figure]:
    """A whole download, read as fast as it comes: its rate, and the most memory server and drawing processes had."""
    path, size, last = f"/v1/token-batches/{batch}/codes.zip", 0, b""
    used, start = CpuOf(pid), time.monotonic()
    with Memory(pid) as memory, shop.api() as api, api.stream("GET", path) as answer:
        for piece in answer.raise_for_status().iter_raw():
            size, last = size + len(piece), piece
    seconds, number = time.monotonic() - start, int(str(BATCH["count"]))
    if b"PK\x05\x06" not in last:
        bench.faults.append(f"codes {shop.kind}: the ZIP ends before its directory")
    return [
        Figure("sent", number / seconds, "codes/s", at_least=BULK_RATE),
        Figure("CPU", used.seconds() * 1000 / number, "ms a code"),
        Figure("size", size / number, "bytes a code"),
        Figure("most memory, all processes", memory.most_mb, "MB", at_most=RESIDENT_MB),
    ]


def printed(shop: Shop, pid: int, batch: str) -> list[Figure]:
    """The largest file of labels there is, each code of it read back, and the server's most memory meanwhile."""
    start = time.monotonic()
    with Memory(pid) as memory, shop.api() as api:
        answer = api.get(f"/v1/token-batches/{batch}/sheet.pdf?format=labels", timeout=120).raise_for_status()
    number, seconds = int(answer.headers["sheet-codes"]), time.monotonic() - start
    return [
        Figure("codes", number),
        Figure("drawn and read back", seconds, "s"),
        Figure("size", len(answer.content) / number, "bytes a code"),
        Figure("most memory", memory.most_mb, "MB", at_most=RESIDENT_MB),
    ]


class Memory:
    """The most that a process and its descendants had resident together within the block, shared pages once."""

    def __init__(self, pid: int) -> None:
        self.most_mb = 0.0
        self._pid = pid
        self._ended = Event()
        self._thread = Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Memory":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._ended.wait(_WAITING_S):
            self.most_mb = max(self.most_mb, sum(map(_proportional_mb, tree_of(self._pid))))


def _proportional_mb(pid: int) -> float:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):  # it ended while we looked
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) / 1000


def _order(texts: tuple[str, ...], first: int = 0) -> Order:
    return Order(texts, qr.Look(), qr.Format.SVG, qr.Size(), first)


def _cpu_ms(draw: Callable[[str], Any], texts: tuple[str, ...]) -> float:
    draw(texts[0])
    start = time.process_time()
    for text in texts:
        draw(text)
    return (time.process_time() - start) * 1000 / len(texts)
