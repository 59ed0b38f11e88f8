"""The public record of a mission's community as rows of a file: the API's and the console's download."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from api.dependencies import Services
from campaigns.community.record import Entry, public_record
from campaigns.missions import Mission

COLUMNS = Entry._fields


def record_pages(core: Services, mission: Mission, now: datetime, *, as_text: bool) -> Iterator[list[dict[str, Any]]]:
    """The record, page by page, from a session of its own: this one outlives the request's."""
    with core.database.snapshot() as session:
        for page in public_record(session, mission, now=now):
            yield [_row(one, as_text) for one in page]


def _row(entry: Entry, as_text: bool) -> dict[str, Any]:
    row = entry._asdict() | {"at": entry.at.astimezone(UTC).isoformat() if entry.at else ""}
    if as_text:
        return row | {"number": "" if entry.number is None else str(entry.number)}
    return {name: None if value == "" else value for name, value in row.items()}
