"""Migrations, from the first table on. `serve` upgrades by itself, under a lock, after a backup on SQLite.

Alembic is imported by the functions that need it: it is a fifth of the time `import api.app` takes.
"""

import sqlite3
from contextlib import closing
from importlib import resources
from typing import TYPE_CHECKING

from sqlalchemy import Connection, text

from campaigns import clock
from campaigns.errors import Conflict
from campaigns.migrations import unfinished
from campaigns.scans import partitions
from campaigns.storage import Database

if TYPE_CHECKING:
    from alembic.config import Config

_LOCK = 0x5053524D  # "PSRM": the advisory lock of migrations on PostgreSQL


def upgrade(database: Database, *, unfinished_too: bool = False) -> None:
    """Bring the schema to the newest version; nothing happens when it is there already.

    On PostgreSQL the months of the scan log are made ahead.

    A SQLite file that holds data is copied to `<file>.before-<version>` first. Conflict when a foreign key is
    broken afterwards: nothing is kept then; and when a restore
    has not finished, unless it is that restore which asks.
    """
    if not unfinished_too:
        unfinished.require_finished(database)
    if database.is_sqlite:
        _upgrade_sqlite(database)
    else:
        with database.engine.begin() as connection:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
            _run(connection)
            partitions.make_months(connection.exec_driver_sql, partitions.months_ahead(clock.utc_now()))


def current_version(connection: Connection) -> str | None:
    """The version a database is at; None for an empty one."""
    from alembic.migration import MigrationContext

    return MigrationContext.configure(connection).get_current_revision()


def newest_version() -> str | None:
    """The version this code needs."""
    from alembic.script import ScriptDirectory

    return ScriptDirectory.from_config(_config()).get_current_head()


def is_known(version: str) -> bool:
    """Whether this code knows a version of the schema: one it does not is newer."""
    from alembic.script import ScriptDirectory

    return version in {one.revision for one in ScriptDirectory.from_config(_config()).walk_revisions()}


def _upgrade_sqlite(database: Database) -> None:
    with database.engine.connect() as connection:
        before = current_version(connection)
        if before == newest_version():
            return
        connection.rollback()
        if before is not None and database.path is not None:
            _copy(str(database.path), f"{database.path}.before-{newest_version()}")
    # foreign_keys can only be changed outside a transaction: with it on, rebuilding a table empties its children.
    with database.engine.connect() as connection:
        raw = connection.connection.driver_connection
        raw.execute("PRAGMA foreign_keys=OFF")  # type: ignore[union-attr]  # a sqlite3 connection
        try:
            with connection.begin():
                _run(connection)
                broken = connection.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
                if broken:
                    raise Conflict(f"The migration would break {len(broken)} references; nothing was changed.")
        finally:
            raw.execute("PRAGMA foreign_keys=ON")  # type: ignore[union-attr]  # a sqlite3 connection


def _run(connection: Connection) -> None:
    from alembic import command

    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def _config() -> "Config":
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(resources.files("campaigns") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


def _copy(source: str, target: str) -> None:
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)
