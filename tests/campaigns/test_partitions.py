"""The scan log by months, on PostgreSQL."""

import threading
from datetime import UTC, date, datetime, timedelta
from uuid import UUID

import psycopg
import pytest
from alembic import command
from alembic.script import ScriptDirectory
from sqlmodel import select

from campaigns import ids, migrations, worker
from campaigns.errors import Invalid
from campaigns.scans import partitions
from campaigns.scans.models import Scan
from campaigns.scans.recount import recount
from campaigns.scans.writers import open_writer
from campaigns.storage import Database
from tests.conftest import new_postgres_url, run_passerelle
from tests.factories import NOON, make_scan, write
from tests.racing import race

ROW = make_scan(None)


def pour(database: Database, *instants: datetime) -> list[UUID]:
    made = [ids.uuid7_at(at) for at in instants]
    write(database, *(ROW._replace(id=id.hex, token_id=UUID(int=7).hex, verdict="valid") for id in made))
    return made


def pour_by_hand(database: Database, *instants: datetime) -> list[UUID]:
    """Scans with their counters and visitors in the columns every revision has."""
    made = [ids.uuid7_at(at) for at in instants]
    with psycopg.connect(database.dsn) as connection:
        for id in made:
            hour = (id.int >> 80) // 3_600_000
            connection.execute(
                "INSERT INTO scans (id, token_id, visitor_key, phase, verdict, score, reasons, rules_version, device,"
                " language) VALUES (%s, %s, 7, 'live', 'valid', 0, '', 1, 'iphone', 'fr')",
                (id, UUID(int=7)),
            )
            connection.execute(
                "INSERT INTO scan_counters VALUES (%s, %s, 'live', 'valid', 1, 1, 0)", (UUID(int=7), hour)
            )
            connection.execute("INSERT INTO scan_visitors VALUES (%s, %s, 7)", (UUID(int=7), hour // 24))
    return made


@pytest.fixture
def fresh(postgres: str) -> Database:
    database = Database(new_postgres_url(postgres))
    migrations.upgrade(database)
    return database


def months(database: Database) -> list[date]:
    with database.engine.connect() as connection:
        return partitions.attached(connection.exec_driver_sql)


def problems(database: Database) -> list[str]:
    with database.snapshot() as session:
        return recount(session)


def test_months_are_made_ahead(fresh: Database) -> None:
    now = datetime.now(UTC)
    assert months(fresh) == partitions.months_ahead(now)
    worker.make_months(fresh, now=now + timedelta(days=62))
    assert len(months(fresh)) >= 6
    fresh.close()


def test_a_start_makes_the_months_that_are_missing(fresh: Database) -> None:
    """A server that was down for months, or whose worker never ran, begins with them."""
    ahead = partitions.months_ahead(datetime.now(UTC))
    with fresh.engine.begin() as connection:
        connection.exec_driver_sql(f"DROP TABLE scans_{ahead[-1]:%Y_%m}")
    assert months(fresh) == ahead[:-1]
    migrations.upgrade(fresh)
    assert months(fresh) == ahead
    fresh.close()


def test_a_month_ends_where_the_next_begins() -> None:
    assert partitions.month_after(date(2026, 12, 1)) == date(2027, 1, 1)
    assert partitions.month_after(date(2026, 1, 1), 14) == date(2027, 3, 1)
    assert partitions.month_of(ids.uuid7_at(datetime(2026, 1, 31, 23, 59, 59, 999_000, tzinfo=UTC))) == date(2026, 1, 1)
    with pytest.raises(Invalid):
        partitions.parse_month("2026-13")


def test_a_scan_of_any_month_finds_its_table(fresh: Database) -> None:
    edge = datetime(2031, 2, 1, tzinfo=UTC)
    made = pour(fresh, NOON - timedelta(days=800), NOON, edge - timedelta(milliseconds=1), edge)
    with fresh.snapshot() as session:
        assert sorted(session.exec(select(Scan.id)).all()) == sorted(made)
    assert {date(2031, 1, 1), date(2031, 2, 1)} <= set(months(fresh))
    assert problems(fresh) == []
    fresh.close()


def test_writers_that_need_the_same_month_make_it_once(fresh: Database) -> None:
    writers = [open_writer(fresh, number + 1, lambda: NOON) for number in range(4)]
    at = datetime(2019, 5, 5, tzinfo=UTC)

    def start(number: int) -> None:
        writers[number].write([ROW._replace(id=ids.uuid7_at(at).hex, token_id=UUID(int=7).hex)])

    assert race(4, start) == [None] * 4
    for writer in writers:
        writer.close()
    assert months(fresh).count(date(2019, 5, 1)) == 1
    assert problems(fresh) == []
    fresh.close()


def test_old_months_leave_while_scans_come_in_and_return_when_asked(fresh: Database) -> None:
    old, kept = datetime(2025, 11, 3, tzinfo=UTC), datetime(2026, 2, 3, tzinfo=UTC)
    pour(fresh, old, old, kept)
    stop = threading.Event()
    failures: list[BaseException] = []

    def keep_scanning() -> None:
        try:
            while not stop.is_set():
                pour(fresh, kept, datetime.now(UTC))
        except BaseException as error:
            failures.append(error)

    scanning = threading.Thread(target=keep_scanning)
    scanning.start()
    environment = {"PASSERELLE_DATABASE_URL": fresh.url, "PATH": ""}
    done = run_passerelle(environment, "scans", "detach", "--before", "2026-01")
    stop.set()
    scanning.join()
    assert failures == []
    assert done.stdout.strip() == "detached scans_2025_11", done.stderr
    assert problems(fresh) == []
    with fresh.snapshot() as session:
        assert all(id > ids.first_of(kept) for id in session.exec(select(Scan.id)).all())
    assert run_passerelle(environment, "scans", "detach", "--before", "2026-01").stdout.startswith("No month")
    pour(fresh, old)  # a late scan: its month comes back with what it held
    with fresh.snapshot() as session:
        assert len([id for id in session.exec(select(Scan.id)).all() if id < ids.first_of(kept)]) == 3
    assert problems(fresh) == []
    fresh.close()


def test_a_log_that_was_one_table_is_cut_into_months(postgres: str) -> None:
    database = Database(new_postgres_url(postgres))
    with database.engine.begin() as connection:
        config = migrations._config()
        config.attributes["connection"] = connection
        before = ScriptDirectory.from_config(config).get_revision("0003").down_revision
        assert isinstance(before, str)
        command.upgrade(config, before)
    made = pour_by_hand(database, NOON - timedelta(days=100), NOON, NOON + timedelta(days=1))
    migrations.upgrade(database)
    with database.snapshot() as session:
        assert sorted(session.exec(select(Scan.id)).all()) == sorted(made)
    assert problems(database) == []
    with psycopg.connect(database.dsn) as connection_:
        kind = connection_.execute("SELECT relkind FROM pg_class WHERE relname = 'scans'").fetchone()
        assert kind == ("p",)
        left = connection_.execute("SELECT count(*) FROM pg_class WHERE relname LIKE '%scans%whole%'").fetchone()
        assert left == (0,)
    database.close()
