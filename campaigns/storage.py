"""The database: engine, transactions and the lock that SQLite writers queue on.

SQLite runs with WAL, `synchronous=FULL`, foreign keys and `BEGIN IMMEDIATE`; writers take one in-process lock,
first come first served, except that the scan log is always next. SQLite before 3.51.3 can corrupt a WAL when two
connections write and checkpoint at once, so checkpoints, which happen inside a commit, run under the same lock.
"""

import fcntl
import logging
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

import psycopg
from psycopg import conninfo, pq
from sqlalchemy import (
    JSON,
    BigInteger,
    Column,
    Connection,
    Engine,
    bindparam,
    create_engine,
    event,
    func,
    text,
    update,
)
from sqlalchemy import select as columns
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.pool import ConnectionPoolEntry
from sqlmodel import Field, Session, SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from campaigns import prepared
from campaigns.errors import Conflict, Invalid
from campaigns.ids import NIL, uuid7
from campaigns.write_lock import WriteLock

SQLITE_PRAGMAS = (
    "PRAGMA journal_mode=WAL",
    "PRAGMA synchronous=FULL",
    "PRAGMA foreign_keys=ON",
    "PRAGMA busy_timeout=10000",
    "PRAGMA mmap_size=0",
    # What is deleted is overwritten with zeros, where that costs no further write.
    "PRAGMA secure_delete=FAST",
    "PRAGMA cache_size=-32000",
    "PRAGMA temp_store=MEMORY",
    # 16 MB of WAL, not 4: over 10,000 codes the same pages are copied back less often (a sixth less CPU a scan).
    "PRAGMA wal_autocheckpoint=4000",
)

# A host that vanished without a word is noticed after seconds, not after two hours.
LIVENESS: dict[str, Any] = {"tcp_user_timeout": 5000, "keepalives_idle": 5, "keepalives_interval": 2}

OUTBOX_LOCK = 0x50535257  # "PSRW": the advisory lock of the one that drains the outbox

START_ROUND_S = 0.5  # between two looks whether PostgreSQL is there
START_TOLD_S = 3.0  # between two lines on the log while it is not

log = logging.getLogger("passerelle.storage")

SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


class Row(SQLModel):
    """What every table with an id of its own shares: a UUIDv7 made by us, never by the database."""

    id: UUID = Field(default_factory=uuid7, primary_key=True)


AnyRow = TypeVar("AnyRow", bound=Row)


def newest(
    session: Session, query: SelectOfScalar[AnyRow], table: type[AnyRow], *, before: UUID | None, limit: int
) -> Sequence[AnyRow]:
    """A page of a list of rows, newest first: those older than `before`, at most `limit`."""
    if before is not None:
        query = query.where(table.id < before)
    return session.exec(query.order_by(col(table.id).desc()).limit(limit)).all()


def find_own(
    session: Session, table: type[AnyRow], organisation_id: UUID, id: UUID, *, lock: bool = False
) -> AnyRow | None:
    """A row of an organisation, read anew under a lock if asked; None for another's as for none.

    One statement that names both: another's row is not even fetched, so an answer takes as long as for nobody's.
    """
    owner: Any = table.organisation_id  # type: ignore[attr-defined]  # every table it is asked for has one
    query = select(table).where(table.id == id, owner == organisation_id)
    if lock:
        query = query.with_for_update().execution_options(populate_existing=True)
    return session.exec(query).first()


def json_column(*, nullable: bool = False) -> Any:
    """A column of JSON text, the same on both databases."""
    return Field(default=None if nullable else ..., sa_column=Column(JSON, nullable=nullable))


class Database:
    """One database, how to write and read it, and who wants to hear of changes after they are committed."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.dsn = url.replace("postgresql+psycopg://", "postgresql://", 1)  # for psycopg itself
        self.is_sqlite = url.startswith("sqlite")
        self.path = Path(url.removeprefix("sqlite:///")) if self.is_sqlite else None
        self.write_lock = WriteLock()
        self.turn = threading.Lock()  # of draining the outbox; on PostgreSQL an advisory lock is
        self.writer = 0  # of counters split by process: the number this one took, 0 for whoever took none
        self.is_away = False  # PostgreSQL was away when it was last asked: the scan path need not ask again
        self.engine = self._sqlite_engine() if self.is_sqlite else _postgres_engine(url)
        self._reading = self.engine.execution_options(passerelle_reading=True)
        self._listeners: list[Callable[[str, UUID], None]] = []

    def listen(self, listener: Callable[[str, UUID], None]) -> None:
        """Call `listener(kind, id)` after each commit that announced a change."""
        self._listeners.append(listener)

    def tell(self, kind: str, id: UUID) -> None:
        """Tell the listeners of this process that an object changed, here or elsewhere."""
        for listener in self._listeners:
            listener(kind, id)

    def forget_all(self) -> None:
        """Tell them that anything may have changed."""
        self.tell("everything", NIL)

    @contextmanager
    def transaction(self, *, author: object = None) -> Generator[Session, None, None]:
        """A writing transaction: committed at the end of the block, rolled back on any exception.

        It begins, and waits for its turn on SQLite, at its first statement. `author` is who makes its changes, for the
        audit log.
        """
        with Session(self.engine, expire_on_commit=False) as session:
            session.info["author"] = author
            session.info["writer"] = self.writer
            with session.begin():
                yield session
            for kind, id in session.info.get("announcements", ()):
                self.tell(kind, id)

    @contextmanager
    def between_rounds(self, *, author: object = None) -> Generator[Session, None, None]:
        """A writing transaction that no round of the outbox overlaps: no judge judges what it judges meanwhile."""
        if self.is_sqlite:
            with self.turn, self.transaction(author=author) as session:
                yield session
            return
        with self.transaction(author=author) as session:
            session.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": OUTBOX_LOCK})
            yield session

    @contextmanager
    def erasing(self) -> Generator[Session, None, None]:
        """A writing transaction whose deleted and overwritten bytes SQLite fills with zeros, whatever that costs."""
        with self.transaction() as session:
            if not self.is_sqlite:
                yield session
                return
            connection = session.connection()
            connection.exec_driver_sql("PRAGMA secure_delete=ON")
            try:
                yield session
                session.flush()
            finally:
                connection.exec_driver_sql("PRAGMA secure_delete=FAST")

    @contextmanager
    def snapshot(self, *, keep_pages: bool = True) -> Generator[Session, None, None]:
        """A read-only session that waits for nobody. SQLite shows it one moment, PostgreSQL a moment a statement.

        `keep_pages=False` for what is gone through once: the connection gives SQLite's pages back, of which it would
        keep 32 MB, and so would each that a long reading takes in turn.
        """
        with Session(self._reading, expire_on_commit=False) as session:
            yield session
            if self.is_sqlite and not keep_pages:
                session.connection().exec_driver_sql("PRAGMA shrink_memory")

    @contextmanager
    def moment(self) -> Generator[Session, None, None]:
        """A read-only session that shows one moment on PostgreSQL too: for figures that are read in several places."""
        with self.snapshot() as session:
            if not self.is_sqlite:
                session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
            yield session

    def forget_overwritten(self) -> bool:
        """Empty SQLite's WAL, which still holds pages as they were. A reader at work puts it off: then False."""
        if self.path is None:
            return True
        self.write_lock.acquire()
        try:
            with closing(sqlite3.connect(self.path, timeout=0)) as connection, suppress(sqlite3.OperationalError):
                busy, _, __ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                return not busy
            return False
        finally:
            self.write_lock.release()

    def vacuum(self, tables: Sequence[str]) -> None:
        """Let PostgreSQL throw away what rows of these tables were before, outside a transaction."""
        with self.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for table in tables:
                connection.exec_driver_sql(f"VACUUM {table}")

    def await_server(self, patience_s: float) -> None:
        """Return once PostgreSQL takes our connections; on SQLite at once. The log says what is waited for.

        A server that starts cannot live from the spool: without the database it knows no code, and neither its writer
        number nor whose spool is whose. Conflict when nobody answers in time; Invalid, at once, when PostgreSQL is
        there and refuses the password, the role or the database of the URL.
        """
        if self.is_sqlite:
            return
        end = time.monotonic() + patience_s
        told = float("-inf")
        while (reason := self._absence()) is not None:
            left = end - time.monotonic()
            if left <= 0:
                raise Conflict(
                    f"PostgreSQL did not answer within {patience_s:g} s ({reason}). Start it, or correct "
                    "PASSERELLE_DATABASE_URL; PASSERELLE_START_PATIENCE_S says how long to wait."
                )
            if time.monotonic() - told >= START_TOLD_S:
                told = time.monotonic()
                log.warning("PostgreSQL does not answer (%s): waiting for it, %.0f s more at most", reason, left)
            time.sleep(min(START_ROUND_S, left))

    def _absence(self) -> str | None:
        """Why PostgreSQL cannot be used yet, or None. Invalid when it answers and will not have us.

        libpq's ping tells a server that is away or still starting from one that is there, in any language: what a
        refused connection says is translated by the server, and carries no code.
        """
        try:
            address = conninfo.make_conninfo(self.dsn, connect_timeout=5)
        except psycopg.ProgrammingError as error:
            raise Invalid("PASSERELLE_DATABASE_URL cannot be read as the address of a PostgreSQL database.") from error
        was_there = pq.PGconn.ping(address.encode()) == pq.Ping.OK
        try:
            psycopg.connect(address).close()
        except psycopg.OperationalError as error:
            reason = " ".join(str(error).split())
            if was_there and pq.PGconn.ping(address.encode()) == pq.Ping.OK:
                raise Invalid(f"PostgreSQL refuses PASSERELLE_DATABASE_URL: {reason}") from error
            return reason
        return None

    def close(self) -> None:
        self.engine.dispose()

    def _sqlite_engine(self) -> Engine:
        engine = create_engine(
            self.url,
            pool_size=24,
            max_overflow=24,
            hide_parameters=True,  # a message of a failed statement is logged: what people gave stays out of it
            connect_args={"check_same_thread": False, "timeout": 10},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", self._begin_sqlite)
        event.listen(engine, "checkin", self._release_sqlite)
        return engine

    def _begin_sqlite(self, connection: Connection) -> None:
        if connection.get_execution_options().get("passerelle_reading"):
            prepared.execute(connection, "BEGIN")
            return
        self.write_lock.acquire()
        connection.info["passerelle_writing"] = True
        # A deferred transaction that reads first fails at once with SQLITE_BUSY, whatever the timeout.
        prepared.execute(connection, "BEGIN IMMEDIATE")

    def _release_sqlite(self, _: DBAPIConnection | None, entry: ConnectionPoolEntry) -> None:
        if entry.info.pop("passerelle_writing", False):
            self.write_lock.release()


def connect_sqlite(path: Path) -> sqlite3.Connection:
    """A plain SQLite connection with our pragmas, in autocommit: the caller writes BEGIN and COMMIT."""
    # The scan log's statements differ by their number of rows: some 250 are worth keeping prepared.
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=10, cached_statements=300)
    for pragma in SQLITE_PRAGMAS:
        connection.execute(pragma)
    return connection


def columns_of(table: type[SQLModel]) -> Any:
    """The columns of a table for statements of Core: built once and past the unit of work, they take a third."""
    return table.__table__.c  # type: ignore[attr-defined]  # SQLModel does not type it


def upsert(session: Session, table: type[SQLModel]) -> Any:
    """A Core INSERT of this session's dialect, for its ON CONFLICT clause."""
    return insert_into(session.get_bind().dialect.name, table)


def store(session: Session, table: type[SQLModel], **values: Any) -> None:
    """Insert a row now, at a tenth of what the unit of work takes: for what every act writes."""
    prepared.change(session, insert_into(session.get_bind().dialect.name, table), values)


def store_all(session: OrmSession, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> None:
    """The same for rows with the same columns."""
    if rows:
        prepared.change_all(session, insert_into(session.get_bind().dialect.name, table), rows)


def insert_once(session: Session, table: type[SQLModel], **values: Any) -> bool:
    """Insert a row unless a UNIQUE refuses it; whether it went in. The database settles the race."""
    statement = _insert_if_absent(session.get_bind().dialect.name, table)
    return prepared.change(session, statement, values) > 0


def insert_many_once(session: Session, table: type[SQLModel], rows: Sequence[dict[str, Any]]) -> int:
    """Insert rows with the same columns unless a UNIQUE refuses them; how many went in."""
    if not rows:
        return 0
    statement = _insert_if_absent(session.get_bind().dialect.name, table)
    return prepared.change_all(session, statement, rows)


def changed(session: Session, statement: Any) -> int:
    """Run a conditional statement; how many rows it changed."""
    return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]  # a CursorResult, typed as Result


def is_shared(session: OrmSession) -> bool:
    """Whether others may write beside this transaction. On SQLite whoever writes is alone, and need hold no row."""
    return session.get_bind().dialect.name == "postgresql"


def hold(session: OrmSession, id: UUID) -> None:
    """Hold an id until the transaction ends, where no row of it can be held."""
    if is_shared(session):
        prepared.row(session, _HOLD, lock=id.int >> 1 & (1 << 63) - 1)


_HOLD = columns(func.pg_advisory_xact_lock(bindparam("lock", type_=BigInteger)))


def hand_over(session: Session, columns: Sequence[Any], old: UUID, new: UUID) -> None:
    """Put one id in the place of another in these columns."""
    for column in columns:
        moved = update(column.class_).where(column == old).values({column.key: new})
        session.execute(moved.execution_options(synchronize_session=False))


def add_up(session: Session, table: type[SQLModel], key: dict[str, Any], **amounts: int) -> None:
    """Add to the counters of one row, making it when it is not there: one statement, so nobody's sum is lost."""
    add_up_all(session, table, tuple(key), [{**key, **amounts}])


def add_up_below(session: Session, table: type[SQLModel], key: dict[str, Any], limit: int, **one: int) -> bool:
    """Add one to the counter of a row that stands below a limit, making it when it is not there; whether it did."""
    (counter,) = one
    statement = _sum_below(session.get_bind().dialect.name, table, tuple(key), counter)
    return prepared.change(session, statement, {**key, **one, "below": limit}) > 0


def add_up_all(
    session: OrmSession, table: type[SQLModel], key: tuple[str, ...], rows: Sequence[dict[str, Any]]
) -> None:
    """The same for many rows with the same columns. Sort them: two processes then lock in one order."""
    if rows:
        amounts = tuple(name for name in rows[0] if name not in key)
        prepared.change_all(session, _sum(session.get_bind().dialect.name, table, key, amounts), rows)


@cache
def insert_into(dialect: str, table: type[SQLModel]) -> Any:
    """A Core INSERT of a dialect that knows how many rows went in."""
    kind = sqlite if dialect == "sqlite" else postgresql
    # Without the option SQLAlchemy closes psycopg's cursor first and says -1 for every INSERT, done or refused.
    statement = kind.insert(table.__table__)  # type: ignore[attr-defined]  # SQLModel does not type it
    return statement.execution_options(preserve_rowcount=True)


@cache
def _insert_if_absent(dialect: str, table: type[SQLModel]) -> Any:
    return insert_into(dialect, table).on_conflict_do_nothing()


@cache
def _sum(dialect: str, table: type[SQLModel], key: tuple[str, ...], amounts: tuple[str, ...]) -> Any:
    insert = insert_into(dialect, table)
    columns = columns_of(table)
    sums = {name: columns[name] + insert.excluded[name] for name in amounts}
    return insert.on_conflict_do_update(index_elements=list(key), set_=sums)


@cache
def _sum_below(dialect: str, table: type[SQLModel], key: tuple[str, ...], counter: str) -> Any:
    column = columns_of(table)[counter]
    insert = insert_into(dialect, table)
    return insert.on_conflict_do_update(
        index_elements=list(key), set_={counter: column + 1}, where=column < bindparam("below", type_=column.type)
    )


def sync_file(path: Path) -> None:
    """Return when what was written to a file, or done in a folder, is on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def sole_process(path: Path) -> Iterator[None]:
    """Hold `<file>.lock`: one process writes a SQLite file. Conflict, in words, when another one does."""
    descriptor = os.open(f"{path}.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise Conflict(
            f"Another Passerelle process is writing {path.name}. Stop it first, or use PostgreSQL "
            "(PASSERELLE_DATABASE_URL) to run several."
        ) from error
    try:
        yield
    finally:
        os.close(descriptor)


def _prepare_sqlite(connection: DBAPIConnection, _: ConnectionPoolEntry) -> None:
    connection.isolation_level = None
    cursor = connection.cursor()
    for pragma in SQLITE_PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _postgres_engine(url: str) -> Engine:
    return create_engine(
        url,
        pool_size=16,
        max_overflow=32,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={"options": "-c timezone=utc", "connect_timeout": 10, **LIVENESS},
    )
