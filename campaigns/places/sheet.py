"""Reading places from a CSV file, as people and spreadsheets write them (RFC 4180, and what Excel makes of it).

The separator is the one that makes columns of the header; where it is a semicolon, as in French Excel, numbers may
have a decimal comma. A line number is that of the line on which a row begins, whatever line breaks its cells hold.
"""

import csv
import io
import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from campaigns.errors import Invalid
from campaigns.places.models import DAYS

MOST_ROWS = 10_000
REQUIRED = ("name", "lat", "lon", "time_zone")
COLUMNS = (*REQUIRED, "radius_m", "address", "opening_hours", *DAYS, "external_id")
_NUMBERS = ("lat", "lon", "radius_m")
_SEPARATORS = (",", ";", "\t")
_NUMBER = re.compile(r"[+-]?\d{1,20}(?:\.\d{1,20})?\Z", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?\d{1,20},\d{1,20}\Z", re.ASCII)
_SPAN = re.compile(r"(\d{1,2}:\d\d)\s?[-–]\s?(\d{1,2}:\d\d)(?:[\s,]+|\Z)", re.ASCII)
_CLOSED = ("", "-", "closed", "fermé", "ferme")
_FORMULA = re.compile(r"=|#(?:REF|N/A|NAME\?|VALUE|DIV/0|NOM\?|VALEUR)")  # or what one leaves when it fails


class Fault(NamedTuple):
    """Why a row cannot be taken: the line it begins on, the column if one is to blame, and the reason."""

    line: int
    column: str | None
    reason: str


class SheetRow(NamedTuple):
    """A row that could be read: the fields of a place, those of the file's columns only."""

    line: int
    fields: dict[str, Any]


class Sheet:
    """A file of places. Invalid, for the whole file, when it is not UTF-8 or its header does not fit."""

    def __init__(self, file: bytes) -> None:
        text = _decoded(file)
        first = next((line for line in text.splitlines() if line.strip()), "")
        self.separator = max(_SEPARATORS, key=lambda one: len(_known(_names_in(first, one))))
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator, strict=True)
        self.columns = self._read_header()

    def rows(self) -> Iterator[SheetRow | Fault]:
        """Row after row, a Fault for one that cannot be read. Invalid beyond 10,000. Empty lines are no rows."""
        number = 0
        for line, cells in self._lines():
            if isinstance(cells, list) and not any(cell.strip() for cell in cells):
                continue
            number += 1
            if number > MOST_ROWS:
                raise Invalid(f"A file has at most {MOST_ROWS:,} places; cut this one in parts.")
            yield self._row(line, cells) if isinstance(cells, list) else Fault(line, None, cells)

    def _lines(self) -> Iterator[tuple[int, list[str] | str]]:
        """The line a record begins on, and its cells; or, in words, why it has none."""
        while True:
            line = self._reader.line_num + 1
            try:
                cells = next(self._reader)
            except StopIteration:
                return
            except csv.Error:
                yield line, "A quotation mark opens or closes in the wrong place, or is not closed."
            else:
                yield line, cells

    def _read_header(self) -> list[str]:
        for _, cells in self._lines():
            if isinstance(cells, list) and any(cell.strip() for cell in cells):
                names = [_folded(cell) for cell in cells]
                _require_fitting(names)
                return names
        raise Invalid(f"The file is empty. Its first line names the columns: {', '.join(REQUIRED)}, ...")

    def _row(self, line: int, cells: list[str]) -> SheetRow | Fault:
        width = max((at + 1 for at, cell in enumerate(cells) if cell.strip()), default=0)
        named = [name if name else None for name in self.columns]
        beyond = [at for at in range(width) if cells[at].strip() and (at >= len(named) or named[at] is None)]
        if beyond:
            return Fault(line, None, f"The row has {width} cells, and there are {len(_known(self.columns))} columns.")
        given = {name: cells[at].strip() if at < len(cells) else "" for at, name in enumerate(named) if name}
        try:
            return SheetRow(line, _fields(given, self.separator))
        except Invalid as error:
            return Fault(line, error.context["pointer"].lstrip("/"), error.detail)


def _decoded(file: bytes) -> str:
    try:
        return file.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = file.count(b"\n", 0, error.start) + 1
        raise Invalid(
            f"The file is not UTF-8 (line {line}). In Excel, save it as “CSV UTF-8”; elsewhere choose UTF-8.",
        ) from error


def _names_in(line: str, separator: str) -> list[str]:
    return [_folded(cell.strip('"')) for cell in line.split(separator)]


def _folded(name: str) -> str:
    return name.strip().lower().replace(" ", "_")


def _known(names: Sequence[str]) -> list[str]:
    return [name for name in names if name in COLUMNS]


def _require_fitting(names: Sequence[str]) -> None:
    unknown = [name[:40] for name in names if name and name not in COLUMNS]
    twice = sorted({name for name in names if name and names.count(name) > 1})
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise Invalid(f"The first line lacks the columns {', '.join(missing)}.")
    if unknown:
        raise Invalid(f"There are no columns {', '.join(unknown)!r}; known are {', '.join(COLUMNS)}.")
    if twice:
        raise Invalid(f"The columns {', '.join(twice)} are there twice.")
    if "opening_hours" in names and any(day in names for day in DAYS):
        raise Invalid("Give opening_hours or the days mon to sun, not both.")


def _fields(given: dict[str, str], separator: str) -> dict[str, Any]:
    """The fields of a row. An empty cell gives nothing: no address, no hours, the radius there is or the usual one.

    Invalid for an empty cell of a required column, and for a formula.
    """
    fields: dict[str, Any] = {}
    for name, cell in given.items():
        if _FORMULA.match(cell):
            raise Invalid("This is a formula, not its value. Save the values.", pointer=f"/{name}")
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
