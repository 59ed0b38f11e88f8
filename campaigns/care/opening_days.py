"""Deadlines in the opening days of a place: civil days of its time zone on which it opens.

A shop that gives no opening hours is taken to be open five days a week, to midnight. Instants are reckoned from the
wall clock of the place, so a deadline at 18:00 is at 18:00 on both days on which the clocks change.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta

from campaigns.clock import zone
from campaigns.places.models import DAYS

ANSWERED_WITHIN = 2  # opening days after the one on which a case came
WEEKDAYS = 5  # of a place without hours
_LONGEST = 400  # days that are looked at: hours that are all empty count as none

Hours = Mapping[str, Sequence[Sequence[str]]]


def due_at(received: datetime, hours: Hours | None, time_zone: str, *, days: int = ANSWERED_WITHIN) -> datetime:
    """When the place closes on its second opening day after the civil day of `received`; an instant in UTC."""
    known = hours if hours and any(hours.get(day) for day in DAYS) else None
    day = received.astimezone(zone(time_zone)).date()
    left = days
    for _ in range(_LONGEST):
        day += timedelta(days=1)
        if _is_open(day, known):
            left -= 1
        if left == 0:
            break
    return _closing(day, known, time_zone)


def _is_open(day: date, hours: Hours | None) -> bool:
    return day.weekday() < WEEKDAYS if hours is None else bool(hours.get(DAYS[day.weekday()]))


def _closing(day: date, hours: Hours | None, time_zone: str) -> datetime:
    """The last closing of that day; of a span past midnight, on the next morning."""
    spans = hours.get(DAYS[day.weekday()], []) if hours is not None else [["00:00", "24:00"]]
    return max(_instant(day if start < end else day + timedelta(days=1), end, time_zone) for start, end in spans)


def _instant(day: date, minute: str, time_zone: str) -> datetime:
    if minute == "24:00":
        day, minute = day + timedelta(days=1), "00:00"
    wall = datetime.combine(day, time.fromisoformat(minute), zone(time_zone))
    return wall.astimezone(UTC)
