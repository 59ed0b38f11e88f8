"""What a transaction writes last: rows nobody reads before the commit, and counters that many acts meet in.

At the end they take one statement a table, and a counter is held from there to the commit, not from the first step of
an act on. Tables go in the order of their names and counters in the order of their keys, so that no two acts wait for
each other. What a savepoint gathered is written before its release, and is gone with it when it is rolled back.
Rows that go because of what else changed are taken after all of that, before the commit alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

from sqlalchemy import delete, event
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import SessionTransaction
from sqlmodel import Session, SQLModel

from campaigns.storage import add_up_all, hold, store_all

_ROWS, _SUMS, _REMOVED = "rows_to_write_last", "sums_to_add_last", "rows_to_remove_last"
_Sums = dict[tuple[type[SQLModel], tuple[str, ...]], dict[tuple[Any, ...], dict[str, int]]]


def store_last(session: Session, table: type[SQLModel], **values: Any) -> None:
    """Insert a row before the commit. All rows of a table have the same columns."""
    session.info.setdefault(_ROWS, {}).setdefault(table, []).append(values)


def add_up_last(session: Session, table: type[SQLModel], key: dict[str, Any], **amounts: int) -> None:
    """Add to the counters of one row before the commit, making it when it is not there."""
    sums: _Sums = session.info.setdefault(_SUMS, {})
    row = sums.setdefault((table, tuple(key)), {}).setdefault(tuple(key.values()), dict.fromkeys(amounts, 0))
    for name, amount in amounts.items():
        row[name] += amount


def remove_last(session: Session, held: UUID, table: type[SQLModel], which: Any) -> None:
    """Remove rows before the commit, holding an id that whoever writes them holds too."""
    session.info.setdefault(_REMOVED, {}).setdefault(held, []).append((table, which))


def write_last(session: OrmSession) -> None:
    """Write what was gathered. Runs by itself before each commit."""
    rows = session.info.pop(_ROWS, None)
    sums: _Sums | None = session.info.pop(_SUMS, None)
    if rows is None and sums is None:
        return
    session.flush()
    for table in sorted(rows or {}, key=_name):
        store_all(session, table, (rows or {})[table])
    for table, key in sorted(sums or {}, key=lambda one: _name(one[0])):
        gathered = sorted((sums or {})[table, key].items(), key=lambda one: [str(part) for part in one[0]])
        moved = [dict(zip(key, at, strict=True)) | amounts for at, amounts in gathered if any(amounts.values())]
        add_up_all(session, table, key, moved)


@contextmanager
def savepoint(session: Session) -> Iterator[None]:
    """A part of a transaction that may fail alone. What was gathered before it is written first, and stays."""
    write_last(session)
    with session.begin_nested():
        yield


def _name(table: type[SQLModel]) -> str:
    return str(table.__tablename__)


def _remove(session: OrmSession) -> None:
    removed = {} if session.in_nested_transaction() else session.info.pop(_REMOVED, {})
    for held in sorted(removed):
        session.flush()
        hold(session, held)
        for table, which in removed[held]:
            session.execute(delete(table).where(which).execution_options(synchronize_session=False))


def _forget(session: OrmSession, ended: SessionTransaction) -> None:
    session.info.pop(_ROWS, None)
    session.info.pop(_SUMS, None)
    if not ended.nested:  # a savepoint that failed may have found them gathered before it
        session.info.pop(_REMOVED, None)


event.listen(OrmSession, "before_commit", write_last)
event.listen(OrmSession, "before_commit", _remove)
event.listen(OrmSession, "after_soft_rollback", _forget)
