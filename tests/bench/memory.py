"""What 100,000 tokens take in the directory: `python -m tests.bench.memory` reads a database URL, then codes."""

import gc
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from campaigns.storage import Database
from campaigns.tokens.directory import Directory
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import ROOT, add_codes, shop_on

TOKENS = 100_000
CHUNK = 10_000
RESIDENT_MB = 200.0


def memory(bench: Bench, kind: str) -> Iterator[Line]:
    """Resident memory of a fresh process, before and after it loads every code."""
    with shop_on(kind) as shop:
        codes = [one.code for _ in range(TOKENS // CHUNK) for one in add_codes(shop.database, shop.hot, CHUNK)]
        asked = "\n".join([shop.database.url, *codes])
        command = [sys.executable, "-m", "tests.bench.memory"]
        done = subprocess.run(command, input=asked, cwd=ROOT, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        if found["known"] != TOKENS:
            bench.faults.append(f"memory {kind}: {found['known']} of {TOKENS} tokens are in the directory")
        grown = Figure(f"directory of {TOKENS:,} tokens", found["after_mb"] - found["before_mb"], "MB")
        whole = Figure("the process with it", found["after_mb"], "MB", at_most=RESIDENT_MB)
        yield Line("memory", kind, "directory", None, [grown, whole])


def _load(url: str, codes: list[str]) -> None:
    database, directory = Database(url), Directory()
    with database.snapshot() as session:
        directory.load(session, codes[0])
        before_mb = _resident_mb()
        for code in codes:
            directory.load(session, code)
    known = sum(directory.find(code) is not None for code in codes)
    database.close()
    print(json.dumps({"before_mb": before_mb, "after_mb": _resident_mb(), "known": known}))


def _resident_mb() -> float:
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    address, *wanted = sys.stdin.read().split()
    _load(address, wanted)
