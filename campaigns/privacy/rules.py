"""A rule of retention: how a table's rows are told to have reached their term, and how they go."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Table, and_, delete, false, func, select, tuple_, update
from sqlmodel import Session, SQLModel

from campaigns import clock, ids
from campaigns.privacy.service import due_people, erase_due

CHUNK = 500  # rows of a transaction: no scan waits longer for it than for a batch of its own
PEOPLE_A_CHUNK = 20  # each with all they did


class Kind(StrEnum):
    """The classes of what is kept."""

    NONE = "none"
    OPERATIONS = "operations"
    SCAN_LOG = "scan_log"
    POSITION = "position"
    SALT = "salt"
    AGGREGATE = "aggregate"
    PARTICIPANT = "participant"
    ACT = "act"
    CONTACT = "contact"
    STAFF = "staff"
    REPORT = "report"
    MEMBER = "member"
    AUDIT = "audit"


class Unit(StrEnum):
    """How a column tells a row's age."""

    INSTANT = "instant"
    ID = "id"
    HOUR = "hour"
    DAY = "day"


Cutoff = Callable[[datetime, bool], datetime]  # now, and whether the log goes by whole months


@dataclass(frozen=True)
class Rule:
    """What a table keeps, or why it keeps nothing of a person; and, with `before`, when a row has reached its term.

    `age` makes the expression that tells a row's age, `only` narrows the rows, `blank` empties columns instead of
    deleting the row. `by_worker`: something else than `purge` here drops it; the report still looks.
    """

    table: str
    kind: Kind
    keeps: str
    term: str = ""
    age: Callable[[Any], ColumnElement[Any]] | None = None
    unit: Unit = Unit.INSTANT
    before: Cutoff | None = None
    only: Callable[[Any], ColumnElement[bool]] | None = None
    blank: tuple[tuple[str, Any], ...] = ()
    by_worker: bool = False

    def purge(self, session: Session, *, now: datetime, limit: int = CHUNK) -> int:
        """Drop at most `limit` rows that have reached their term; how many there were."""
        if self.before is None or self.by_worker:
            return 0
        if self.kind is Kind.PARTICIPANT:
            return erase_due(session, now=now, limit=PEOPLE_A_CHUNK) * (limit // PEOPLE_A_CHUNK)
        keys = tuple_(*self._table.primary_key.columns)
        due = select(*self._table.primary_key.columns).where(self._is_due(now, session)).limit(limit)
        chosen = keys.in_(due)
        statement = (
            update(self._table).where(chosen).values(dict(self.blank))
            if self.blank
            else delete(self._table).where(chosen)
        )
        return int(session.execute(statement).rowcount)  # type: ignore[attr-defined]  # a CursorResult

    def rows(self, session: Session) -> int:
        """How many rows are held."""
        count = select(func.count()).select_from(self._table)
        return int(session.execute(count.where(*self._narrowed())).scalar_one())

    def oldest(self, session: Session) -> datetime | None:
        """The instant of the oldest row held; None without one, or where a row has no age."""
        if self.age is None:
            return None
        age = self.age(self._table.c)
        first = session.execute(
            select(age).select_from(self._table).where(*self._narrowed()).order_by(age).limit(1)
        ).scalar()
        return None if first is None else _instant(first, self.unit)

    def is_overdue(self, session: Session, *, now: datetime) -> bool:
        """Whether a row is held that had reached its term at `now`."""
        if self.before is None:
            return False
        if self.kind is Kind.PARTICIPANT:
            return session.execute(due_people(now).limit(1)).first() is not None
        due = select(*self._table.primary_key.columns).where(self._is_due(now, session)).limit(1)
        return session.execute(due).first() is not None

    @property
    def _table(self) -> Table:
        return SQLModel.metadata.tables[self.table]

    def _narrowed(self) -> list[ColumnElement[bool]]:
        return [self.only(self._table.c)] if self.only else []

    def _is_due(self, now: datetime, session: Session) -> ColumnElement[bool]:
        if self.before is None or self.age is None:
            return false()
        before = self.before(now, session.get_bind().dialect.name == "postgresql")
        return and_(self.age(self._table.c) < _value(before, self.unit), *self._narrowed())


def months_before(now: datetime, number: int) -> datetime:
    """The same day and time so many calendar months before; the 28th where that month is shorter."""
    years, month = divmod(now.month - 1 - number, 12)
    return now.replace(year=now.year + years, month=month + 1, day=min(now.day, 28))


def _value(instant: datetime, unit: Unit) -> Any:
    values: dict[Unit, Callable[[datetime], Any]] = {
        Unit.INSTANT: lambda at: at,
        Unit.ID: ids.first_of,
        Unit.HOUR: clock.hour_of,
        Unit.DAY: clock.day_of,
    }
    return values[unit](instant)


def _instant(value: Any, unit: Unit) -> datetime:
    if unit is Unit.ID:
        return ids.instant_of(value if isinstance(value, UUID) else UUID(str(value)))
    if unit is Unit.HOUR:
        return clock.instant_of_hour(value)
    if unit is Unit.DAY:
        return clock.EPOCH + timedelta(days=value)
    at: datetime = value
    return at if at.tzinfo else at.replace(tzinfo=UTC)
