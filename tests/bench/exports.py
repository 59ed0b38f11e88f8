"""What an export takes of a running server: rows a second, CPU and memory, of all of a campaign's scans.

Memory is what the process has of its own (RssAnon of /proc: heaps, stacks, SQLite's pages; it maps no file of the
database), at its highest beyond what it had when idle. What is shown beside it as resident has the mapped pages of
libraries too, of which duckdb's are 35 MB. Looked at every 50 ms; each export has a server of its own.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple

from api.cli_export import Format
from campaigns import clock, ids
from tests.bench.cpu import CpuOf, tree_of
from tests.bench.long_log import write_long_log
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on

MEMORY_MB = 150.0
SPREAD = timedelta(days=90)
EVERY_S = 0.05


class _Export(NamedTuple):
    rows: int
    seconds: float
    cpu_us: float  # a row
    own_mb: float
    resident_mb: float
    file_mb: float


def exports(bench: Bench, kind: str) -> Iterator[Line]:
    """Each format, of a tenth of the rows and of all: memory must not grow with them."""
    with shop_on(kind) as shop:
        start = time.monotonic()
        write_long_log(shop, bench.rows, over=SPREAD)
        filled_s = time.monotonic() - start
        for file_format in Format:
            tenth, whole = (_export(bench, shop, file_format, share) for share in (0.1, 1.0))
            figures = [
                Figure("rows", whole.rows / whole.seconds, "a second"),
                Figure("CPU of the server a row", whole.cpu_us, "us"),
                Figure("own memory above an idle server", whole.own_mb, "MB", at_most=MEMORY_MB),
                Figure("the same of a tenth of the rows", tenth.own_mb, "MB"),
                Figure("resident above an idle server", whole.resident_mb, "MB", at_most=MEMORY_MB),
            ]
            note = (
                f"{whole.rows:,} scans, {whole.seconds:.0f} s, {whole.file_mb:.0f} MB; log written in {filled_s:.0f} s"
            )
            yield Line("exports", kind, file_format.value, None, figures, note)


def _export(bench: Bench, shop: Shop, file_format: Format, share: float) -> _Export:
    campaign = ids.show("cmp", shop.wide[0].campaign_id)
    until = (clock.utc_now() - SPREAD * (1 - share)).isoformat()
    with shop.serving() as pid, shop.api() as api, _Memory(pid).watched() as memory:
        cpu, start, lines, size = CpuOf(pid), time.perf_counter(), 0, 0
        path = f"/v1/campaigns/{campaign}/export.{file_format.value}"
        with api.stream("GET", path, params={"until": until}, timeout=None) as answer:  # Parquet comes late
            assert answer.status_code == 200, answer.read()
            rows = int(answer.headers["X-Total-Count"])
            for chunk in answer.iter_bytes():
                lines, size = lines + chunk.count(b"\n"), size + len(chunk)
        seconds = time.perf_counter() - start
        told = _Export(rows, seconds, cpu.seconds() * 1e6 / rows, memory.own_mb, memory.resident_mb, size / 1e6)
    if file_format is not Format.PARQUET and lines != rows + (file_format is Format.CSV):
        bench.faults.append(f"exports {shop.kind}: {lines} lines of {rows} scans as {file_format}")
    return told


class _Memory:
    """The most that a server's processes had beyond what they had at first, in MB."""

    def __init__(self, pid: int) -> None:
        self._pids = tree_of(pid)
        self._idle = self._now()
        self.own_mb = self.resident_mb = 0.0

    @contextmanager
    def watched(self) -> Iterator["_Memory"]:
        """Look at it until the end of the block."""
        done = threading.Event()

        def watch() -> None:
            while not done.wait(EVERY_S):
                own, resident = self._now()
                self.own_mb = max(self.own_mb, own - self._idle[0])
                self.resident_mb = max(self.resident_mb, resident - self._idle[1])

        watcher = threading.Thread(target=watch)
        watcher.start()
        try:
            yield self
        finally:
            done.set()
            watcher.join()

    def _now(self) -> tuple[float, float]:
        fields = [_status(pid) for pid in self._pids]
        return sum(one["RssAnon"] for one in fields), sum(one["VmRSS"] for one in fields)


def _status(pid: int) -> dict[str, Any]:
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {line[0][:-1]: int(line[1]) / 1000 for line in lines if line[0] in ("RssAnon:", "VmRSS:")}
