"""From when on the scan log is whole: older scans reached their term, and only their counters are left."""

from datetime import UTC, date, datetime, timedelta

from sqlmodel import Session, col, select

from campaigns.scans import partitions
from campaigns.scans.models import LogStart
from campaigns.storage import changed, upsert

MONTHS_KEPT = 13  # of scan rows, at most


def log_start(now: datetime, by_month: bool) -> datetime:
    """The first instant of which scans are kept: thirteen months back, rounded up to a UTC day or a whole month."""
    last = partitions.month_after(now.date().replace(day=1), -MONTHS_KEPT)
    day = last.replace(day=min(now.day, 28))
    at = datetime(day.year, day.month, day.day, tzinfo=UTC)
    if at + (now - now.replace(hour=0, minute=0, second=0, microsecond=0)) > at:
        at += timedelta(days=1)
    if by_month and at.day > 1:
        return _start_of(partitions.month_after(at.date().replace(day=1)))
    return at


def move_log_start(session: Session, *, to: datetime) -> bool:
    """Note that older scans are about to go, before the first of them does; the start never moves back."""
    insert = upsert(session, LogStart).values(id=1, whole_from=to)
    moved = insert.on_conflict_do_update(
        index_elements=["id"], set_={"whole_from": to}, where=col(LogStart.whole_from) < to
    )
    return changed(session, moved) > 0


def whole_from(session: Session) -> datetime:
    """What `verify` recounts begins here. Also the oldest month that PostgreSQL's log still has."""
    moved = session.exec(select(LogStart.whole_from)).first()
    connection = session.connection()
    months: list[date] = []
    if connection.dialect.name == "postgresql":
        months = partitions.attached(connection.exec_driver_sql)
    first = _start_of(months[0] if months else date(1970, 1, 1))
    return first if moved is None else max(first, moved)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
