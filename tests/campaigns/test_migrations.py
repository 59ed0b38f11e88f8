"""Migrations, on both databases."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text
from sqlmodel import SQLModel

from campaigns import migrations
from campaigns.migrations import tables
from campaigns.storage import Database
from tests.conftest import new_postgres_url
from tests.factories import make_organisation
from tests.racing import race


def test_the_migrated_schema_is_that_of_the_models(database: Database) -> None:
    with database.engine.connect() as connection:
        options: dict[str, Any] = {
            "compare_type": True,
            "include_object": lambda obj, name, type_, reflected, compare_to: tables.is_ours(name, type_),
        }
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, SQLModel.metadata) == []


def test_upgrading_twice_is_upgrading_once(database: Database) -> None:
    with database.transaction() as session:
        make_organisation(session)
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        assert migrations.current_version(connection) == migrations.newest_version()
        assert connection.execute(text("SELECT count(*) FROM organisations")).scalar_one() == 1
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


def test_servers_that_start_together_upgrade_once(postgres: str) -> None:
    url = new_postgres_url(postgres)

    def start(_: int) -> None:
        database = Database(url)
        try:
            migrations.upgrade(database)
        finally:
            database.close()

    assert race(4, start) == [None] * 4


def test_foreign_keys_hold_after_a_migration(database: Database) -> None:
    with (
        database.engine.connect() as connection,
        connection.begin(),
        pytest.raises(Exception, match=r"(?i)foreign key"),
    ):
        connection.execute(
            text("INSERT INTO visits (participant_id, token_id, civil_day, check_in_id) VALUES (:id, :id, 'x', :id)"),
            {"id": "0" * 32},
        )


def test_salts_live_where_backups_do_not_reach(postgres: str) -> None:
    database = Database(new_postgres_url(postgres))
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        rows = connection.execute(text("SELECT relname, relpersistence FROM pg_class WHERE relkind IN ('r', 'p')"))
        kinds = {row[0]: row[1] for row in rows}
    database.close()
    assert kinds["visitor_salts"] == "u"
    assert kinds["scans"] == "p"


def test_visitors_are_kept_without_a_row_id(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/passerelle.db")
    migrations.upgrade(database)
    with database.engine.connect() as connection:
        made = connection.execute(text("SELECT sql FROM sqlite_master WHERE name = 'scan_visitors'")).scalar_one()
        assert "WITHOUT ROWID" in made
        assert "visitor_key" in {column["name"] for column in inspect(connection).get_columns("scan_visitors")}
    database.close()


def test_a_sqlite_file_is_copied_before_it_is_migrated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "passerelle.db"
    database = Database(f"sqlite:///{path}")
    migrations.upgrade(database)
    assert list(tmp_path.glob("*.before-*")) == []
    with database.transaction() as session:
        organisation = make_organisation(session)
    # A file of an older version: as far as Alembic knows, its one migration is still to come.
    newest = migrations.newest_version()
    monkeypatch.setattr(migrations, "newest_version", lambda: "next")
    migrations.upgrade(database)
    database.close()
    copy = sqlite3.connect(f"{path}.before-next")
    assert copy.execute("SELECT name FROM organisations").fetchall() == [(organisation.name,)]
    assert copy.execute("SELECT version_num FROM alembic_version").fetchall() == [(newest,)]
    copy.close()
