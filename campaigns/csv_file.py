"""Reading CSV files as people and spreadsheets write them (RFC 4180, and what Excel makes of it).

The separator is the one that makes columns of the header. A line number is that of the line on which a row begins,
whatever line breaks its cells hold.
"""

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from campaigns.errors import Invalid

MOST_ROWS = 10_000
_SEPARATORS = (",", ";", "\t")
_FORMULA = re.compile(r"=|#(?:REF|N/A|NAME\?|VALUE|DIV/0|NOM\?|VALEUR)")  # or what one leaves when it fails


class Fault(NamedTuple):
    """Why a row cannot be taken: the line it begins on, the column if one is to blame, and the reason."""

    line: int
    column: str | None
    reason: str


class Cells(NamedTuple):
    """A row that could be read: its cells, trimmed, by the names of the file's columns."""

    line: int
    given: dict[str, str]


class CsvFile:
    """A file with known columns. Invalid, for the whole file, when it is not UTF-8 or its header does not fit."""

    def __init__(self, file: bytes, *, columns: Sequence[str], required: Sequence[str], of: str) -> None:
        self._known, self._required, self._of = columns, required, of
        text = _decoded(file)
        first = next((line for line in text.splitlines() if line.strip()), "")
        self.separator = max(_SEPARATORS, key=lambda one: len(self._among(_names_in(first, one))))
        self._reader = csv.reader(io.StringIO(text, newline=""), delimiter=self.separator, strict=True)
        self.columns = self._read_header()

    def rows(self) -> Iterator[Cells | Fault]:
        """Row after row, a Fault for one that cannot be read. Invalid beyond 10,000. Empty lines are no rows."""
        number = 0
        for line, cells in self._lines():
            if isinstance(cells, list) and not any(cell.strip() for cell in cells):
                continue
            number += 1
            if number > MOST_ROWS:
                raise Invalid(f"A file has at most {MOST_ROWS:,} {self._of}; cut this one in parts.")
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
                self._require_fitting(names)
                return names
        raise Invalid(f"The file is empty. Its first line names the columns: {', '.join(self._required)}, ...")

    def _require_fitting(self, names: Sequence[str]) -> None:
        unknown = [name[:40] for name in names if name and name not in self._known]
        twice = sorted({name for name in names if name and names.count(name) > 1})
        missing = [name for name in self._required if name not in names]
        if missing:
            raise Invalid(f"The first line lacks the columns {', '.join(missing)}.")
        if unknown:
            raise Invalid(f"There are no columns {', '.join(unknown)!r}; known are {', '.join(self._known)}.")
        if twice:
            raise Invalid(f"The columns {', '.join(twice)} are there twice.")

    def _row(self, line: int, cells: list[str]) -> Cells | Fault:
        width = max((at + 1 for at, cell in enumerate(cells) if cell.strip()), default=0)
        named = [name if name else None for name in self.columns]
        beyond = [at for at in range(width) if cells[at].strip() and (at >= len(named) or named[at] is None)]
        if beyond:
            number = len(self._among(self.columns))
            return Fault(line, None, f"The row has {width} cells, and there are {number} columns.")
        given = {name: cells[at].strip() if at < len(cells) else "" for at, name in enumerate(named) if name}
        for name, cell in given.items():
            if _FORMULA.match(cell):
                return Fault(line, name, "This is a formula, not its value. Save the values.")
        return Cells(line, given)

    def _among(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if name in self._known]


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
