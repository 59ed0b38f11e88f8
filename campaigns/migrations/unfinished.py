"""The mark of a restore under way: a database that has it is not served, for erasures may still have to be replayed.

On SQLite a file beside the database, on PostgreSQL a table, whose row names the schema where what was there is kept.
"""

from pathlib import Path

from sqlalchemy import Connection, text

from campaigns.errors import Conflict
from campaigns.storage import Database, sync_file

TABLE = "passerelle_unfinished_restore"


def require_finished(database: Database) -> None:
    """Conflict, in words, when a restore was begun and has not ended."""
    if database.path is not None:
        is_marked = _mark_of(database.path).exists()
    else:
        with database.engine.connect() as connection:
            is_marked = is_marked_in(connection)
    if is_marked:
        raise Conflict("A restore of this database has not finished: run `passerelle restore FILE` again first.")


def is_marked_in(connection: Connection) -> bool:
    """Whether the PostgreSQL database has the mark."""
    return connection.execute(text("SELECT to_regclass(:name)"), {"name": f"public.{TABLE}"}).scalar() is not None


def mark_file(path: Path) -> None:
    """Mark a SQLite file. On disk when this returns."""
    _mark_of(path).touch(mode=0o600)
    sync_file(path.parent)


def unmark_file(path: Path) -> None:
    """Take the mark away."""
    _mark_of(path).unlink(missing_ok=True)
    sync_file(path.parent)


def _mark_of(path: Path) -> Path:
    return path.with_name(path.name + ".unfinished-restore")
