"""Time: aware UTC instants, hours and days as integers, and the civil day of a place."""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo

from campaigns.errors import Invalid

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def utc_now() -> datetime:
    """The present instant, aware, in UTC."""
    return datetime.now(UTC)


def hour_of(instant: datetime) -> int:
    """Whole hours since 1970-01-01T00:00Z."""
    return int(instant.timestamp()) // 3600


def day_of(instant: datetime) -> int:
    """Whole UTC days since 1970-01-01."""
    return int(instant.timestamp()) // 86400


def instant_of_hour(hour: int) -> datetime:
    """The instant at which an hour counted since 1970 begins."""
    return EPOCH + timedelta(hours=hour)


@lru_cache(1024)
def zone(name: str) -> ZoneInfo:
    """The IANA zone of that name; Invalid when there is none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise Invalid(
            f"There is no time zone {name[:60]!r}; use an IANA name such as Europe/Paris.",
            pointer="/time_zone",
        ) from error


def civil_day(instant: datetime, time_zone: str) -> date:
    """The calendar day of an instant where the place is."""
    return instant.astimezone(zone(time_zone)).date()


def start_of_day(instant: datetime, time_zone: str) -> datetime:
    """The UTC instant at which the civil day of `instant` began there."""
    local = instant.astimezone(zone(time_zone)).replace(hour=0, minute=0, second=0, microsecond=0)
    return local.astimezone(UTC)
