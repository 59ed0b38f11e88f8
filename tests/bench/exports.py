"""What an export takes: rows a second and memory, of a fresh process that exports all of a campaign's scans.

`python -m tests.bench.exports` reads a database URL, a campaign and a format. Ten million rows are told from how memory
grows between a tenth of the log and all of it.
"""

import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from sqlmodel import select

from api.cli_export import Format, write_file
from campaigns import clock, ids
from campaigns.planning import Campaign
from campaigns.stats import exporting
from campaigns.stats.exporting import Wanted
from campaigns.storage import Database
from tests.bench.history import write_history
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import ROOT, Shop, shop_on

MEMORY_MB = 150.0
SPREAD = timedelta(days=90)


def exports(bench: Bench, kind: str) -> Iterator[Line]:
    """Each format, of a tenth of the rows and of all: memory must not grow with them."""
    with shop_on(kind) as shop:
        deque(write_history(shop, bench.rows, over=SPREAD), maxlen=0)
        for file_format in Format:
            tenth, whole = (_run(shop, file_format.value, share) for share in (0.1, 1.0))
            figures = [
                Figure("rows", whole["rows"] / whole["seconds"], "a second"),
                Figure("memory above an idle process", whole["grown_mb"], "MB", at_most=MEMORY_MB),
                Figure("the same of a tenth of the rows", tenth["grown_mb"], "MB"),
                Figure("the whole process", whole["peak_mb"], "MB"),
            ]
            note = f"{whole['rows']:,.0f} scans, {whole['seconds']:.1f} s, {whole['file_mb']:.0f} MB"
            yield Line("exports", kind, file_format.value, None, figures, note)


def _run(shop: Shop, file_format: str, share: float) -> dict[str, float]:
    with shop.database.snapshot() as session:
        campaign_id = session.exec(select(Campaign.id).where(Campaign.id == shop.wide[0].campaign_id)).one()
    until = clock.utc_now() - SPREAD * (1 - share)
    asked = json.dumps([shop.database.url, campaign_id.hex, file_format, ids.first_of(until).hex])
    command = [sys.executable, "-m", "tests.bench.exports"]
    done = subprocess.run(command, input=asked, cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def _export(url: str, campaign_id: str, file_format: str, until: str) -> None:
    from uuid import UUID

    from api.exports import Dialect

    with closing(Database(url)) as database, tempfile.TemporaryDirectory(dir="/tmp") as folder:
        with database.snapshot() as session:
            campaign = session.get_one(Campaign, UUID(campaign_id))
            wanted = Wanted(campaign, UUID(until))
            number = exporting.number(session, wanted)
        before, start = _peak_mb(), time.perf_counter()
        out = Path(folder) / "scans"
        rows = write_file(database, wanted, number, out, Format(file_format), Dialect.PLAIN)
        told = {"rows": rows, "seconds": time.perf_counter() - start, "grown_mb": _peak_mb() - before}
        print(json.dumps({**told, "peak_mb": _peak_mb(), "file_mb": out.stat().st_size / 1e6}))


def _peak_mb() -> float:
    """Of this process since it began; `ru_maxrss` would be that of the one that started it, if larger."""
    (peak,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(peak.split()[1]) / 1000


if __name__ == "__main__":
    _export(*json.loads(sys.stdin.read()))
