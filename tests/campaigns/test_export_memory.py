"""A reading that passes once leaves SQLite's pages with nobody."""

from contextlib import closing
from pathlib import Path

from sqlalchemy import text

from campaigns.storage import Database

_READ = text("SELECT sum(unicode(content)) FROM pages WHERE rowid > :first AND rowid <= :last")


def test_a_reading_that_passes_once_gives_its_pages_back(tmp_path: Path) -> None:
    """A connection would keep up to 32 MB of what it read, and so would each that a long reading takes in turn."""
    with closing(Database(f"sqlite:///{tmp_path}/pages.db")) as database:
        with database.transaction() as session:
            session.execute(text("CREATE TABLE pages (content BLOB)"))
            rows = [{"number": one} for one in range(5_000)]
            session.execute(text("INSERT INTO pages SELECT randomblob(3000) FROM (SELECT :number)"), rows)
        database.engine.dispose()  # the pages that were written are in nobody's cache
        kept = []
        for keep_pages in (False, True):
            before = _own_mb()
            for first in range(0, 5_000, 250):
                with database.snapshot(keep_pages=keep_pages) as session:
                    some = {"first": first, "last": first + 250}
                    session.execute(_READ, some).all()
            kept.append(_own_mb() - before)
        assert kept[0] < 5 < 12 < kept[1], kept


def _own_mb() -> float:
    (own,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(own.split()[1]) / 1000
