"""Deadlines by the opening days of a place: weekends, closed days, nights, and the days on which clocks change."""

from datetime import UTC, datetime

import pytest

from campaigns.care.opening_days import Hours, due_at

SHOP: Hours = {day: [["09:00", "12:30"], ["14:00", "18:00"]] for day in ("tue", "wed", "thu", "fri", "sat")}
SUNDAYS: Hours = {"sun": [["10:00", "18:00"]]}
BAR: Hours = {day: [["18:00", "02:30"]] for day in ("fri", "sat")}
NEVER: Hours = {"mon": [], "tue": []}
PARIS = "Europe/Paris"


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("hours", "received", "due"),
    [
        (SHOP, "2026-10-14T10:00", "2026-10-16T16:00"),  # Wednesday noon -> Friday 18:00
        (SHOP, "2026-10-14T21:59", "2026-10-16T16:00"),  # one minute before Paris's midnight
        (SHOP, "2026-10-14T22:01", "2026-10-17T16:00"),  # Thursday there already
        (SHOP, "2026-10-17T10:00", "2026-10-21T16:00"),  # Saturday: closed on Sunday and Monday
        (None, "2026-10-15T10:00", "2026-10-19T22:00"),  # Thursday -> Friday, Monday, to midnight
        (None, "2026-10-17T10:00", "2026-10-20T22:00"),  # Saturday -> Monday, Tuesday
        (NEVER, "2026-10-17T10:00", "2026-10-20T22:00"),  # hours that are all empty are none
        (SHOP, "2026-10-23T10:00", "2026-10-27T17:00"),  # over the night of 25 October: 18:00 is at 17:00 UTC
        (SUNDAYS, "2026-10-12T10:00", "2026-10-25T17:00"),  # on that day itself
        (SHOP, "2027-03-26T10:00", "2027-03-30T16:00"),  # over the night of 28 March
        (SUNDAYS, "2027-03-15T10:00", "2027-03-28T16:00"),
        (BAR, "2026-10-22T10:00", "2026-10-25T00:30"),  # 02:30 happens twice that night: the first
        (BAR, "2027-03-25T10:00", "2027-03-28T01:30"),  # 02:30 does not happen: an hour later by the clock
    ],
)
def test_a_case_is_due_at_the_closing_of_the_second_opening_day(hours: Hours | None, received: str, due: str) -> None:
    assert due_at(utc(received), hours, PARIS) == utc(due)


def test_the_day_is_the_places_own() -> None:
    received = utc("2026-10-14T10:30")  # Thursday already on Kiritimati, Tuesday evening nowhere: Wednesday in Honolulu
    assert due_at(received, None, "Pacific/Kiritimati") == utc("2026-10-19T10:00")
    assert due_at(received, None, "Pacific/Honolulu") == utc("2026-10-17T10:00")
