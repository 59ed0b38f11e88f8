"""A reading that passes once leaves SQLite's pages with nobody."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from campaigns.storage import Database

_READ = text("SELECT sum(unicode(content)) FROM pages WHERE rowid > :first AND rowid <= :last")


def test_a_reading_that_passes_once_gives_its_pages_back(tmp_path: Path) -> None:
    """A connection would keep up to 32 MB of what it read, and so would each that a long reading takes in turn."""
    url = f"sqlite:///{tmp_path}/pages.db"
    with closing(Database(url)) as database, database.transaction() as session:
        session.execute(text("CREATE TABLE pages (content BLOB)"))
        rows = [{"number": one} for one in range(5_000)]
        session.execute(text("INSERT INTO pages SELECT randomblob(3000) FROM (SELECT :number)"), rows)
    grown = []
    for keep_pages in ("", "keep"):  # a fresh process each: what an older one has free in its heap hides what it takes
        command = [sys.executable, "-m", "tests.campaigns.test_export_memory", url, keep_pages]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        grown.append(float(done.stdout))
    assert grown[0] < 6 < 12 < grown[1], grown


def _read_all(url: str, *, keep_pages: bool) -> float:
    """By how many MB this process grows."""
    with closing(Database(url)) as database:
        before = _own_mb()
        for first in range(0, 5_000, 250):
            with database.snapshot(keep_pages=keep_pages) as session:
                session.execute(_READ, {"first": first, "last": first + 250}).all()
        return _own_mb() - before


def _own_mb() -> float:
    (own,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(own.split()[1]) / 1000


if __name__ == "__main__":
    sys.stdout.write(str(_read_all(sys.argv[1], keep_pages=bool(sys.argv[2]))))
