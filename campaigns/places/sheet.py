"""Reading places from a CSV file, as people and spreadsheets write them.

Where the separator is a semicolon, as in French Excel, numbers may have a decimal comma.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from campaigns.csv_file import CsvFile, Fault
from campaigns.errors import Invalid
from campaigns.places.models import DAYS

REQUIRED = ("name", "lat", "lon", "time_zone")
COLUMNS = (*REQUIRED, "radius_m", "address", "opening_hours", *DAYS, "external_id")
_NUMBERS = ("lat", "lon", "radius_m")
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?\Z", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,20},\d{1,20}\Z", re.ASCII)
_SPAN = re.compile(r"(\d{1,2}:\d\d)\s?[-–]\s?(\d{1,2}:\d\d)(?:[\s,]+|\Z)", re.ASCII)
_CLOSED = ("", "-", "closed", "fermé", "ferme")


class SheetRow(NamedTuple):
    """A row that could be read: the fields of a place, those of the file's columns only."""

    line: int
    fields: dict[str, Any]


class Sheet:
    """A file of places. Invalid, for the whole file, when it is not UTF-8 or its header does not fit."""

    def __init__(self, file: bytes) -> None:
        self._file = CsvFile(file, columns=COLUMNS, required=REQUIRED, of="places")
        self.columns = self._file.columns
        if "opening_hours" in self.columns and any(day in self.columns for day in DAYS):
            raise Invalid("Give opening_hours or the days mon to sun, not both.")

    def rows(self) -> Iterator[SheetRow | Fault]:
        """Row after row, a Fault for one that cannot be read. Invalid beyond 10,000. Empty lines are no rows."""
        for row in self._file.rows():
            if isinstance(row, Fault):
                yield row
                continue
            try:
                yield SheetRow(row.line, _fields(row.given, self._file.separator))
            except Invalid as error:
                yield Fault(row.line, error.context["pointer"].lstrip("/"), error.detail)


def _fields(given: dict[str, str], separator: str) -> dict[str, Any]:
    """The fields of a row. An empty cell gives nothing: no address, no hours, the radius there is or the usual one.

    Invalid for an empty cell of a required column.
    """
    fields: dict[str, Any] = {}
    for name, cell in given.items():
        if not cell and name in REQUIRED:
            hint = " An address alone is not enough here." if name in ("lat", "lon") else ""
            raise Invalid(f"{name} is empty.{hint}", pointer=f"/{name}")
        if name in _NUMBERS and cell:
            fields[name] = _number(name, cell, separator)
        elif name == "opening_hours":
            fields[name] = _json(cell) if cell else None
        elif name not in _NUMBERS and name not in DAYS:
            fields[name] = cell or None
    if any(day in given for day in DAYS):
        fields["opening_hours"] = _hours({day: given.get(day, "") for day in DAYS})
    return fields


def _number(name: str, cell: str, separator: str) -> float | int:
    if separator == ";" and _DECIMAL_COMMA.match(cell):
        cell = cell.replace(",", ".")
    if not _NUMBER.match(cell):
        raise Invalid(f"{name} is a number such as {'45.7578' if name != 'radius_m' else '100'}.", pointer=f"/{name}")
    return float(cell) if "." in cell else int(cell)


def _json(cell: str) -> Any:
    try:
        return json.loads(cell)
    except (ValueError, RecursionError) as error:
        detail = 'opening_hours is JSON such as {"mon": [["09:00", "19:30"]]}.'
        raise Invalid(detail, pointer="/opening_hours") from error


def _hours(week: dict[str, str]) -> dict[str, list[list[str]]] | None:
    """Opening hours of a row with a column a day: an empty cell is a closed day; all empty: always open."""
    if not any(week.values()):
        return None
    return {day: _spans(day, cell) for day, cell in week.items()}


def _spans(day: str, cell: str) -> list[list[str]]:
    if cell.lower() in _CLOSED:
        return []
    spans, at = [], 0
    while at < len(cell):
        found = _SPAN.match(cell, at)
        if found is None:
            raise Invalid("Hours are written as 09:00-12:30 14:00-19:00.", pointer=f"/{day}")
        spans.append([found[1].zfill(5), found[2].zfill(5)])
        at = found.end()
    return spans
