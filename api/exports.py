"""Lists of any length as CSV or NDJSON: written page by page, so that memory stays the same."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from fastapi.responses import StreamingResponse

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the start of a formula

Rows = Iterable[Sequence[Mapping[str, Any]]]  # page by page; column -> text, for CSV


def csv_file(name: str, columns: Sequence[str], pages: Rows, *, dialect: str = "rfc4180") -> StreamingResponse:
    """A CSV download (RFC 4180, UTF-8). A cell that would start a formula gets an apostrophe before it.

    `excel-fr`: what a French Excel opens as a table: a byte order mark, semicolons.
    """
    return _file(f"{name}.csv", "text/csv; charset=utf-8", _csv(columns, pages, dialect))


def ndjson_file(name: str, pages: Rows) -> StreamingResponse:
    """A download of one JSON object a line."""
    return _file(f"{name}.ndjson", "application/x-ndjson", _ndjson(pages))


def defused(cell: str) -> str:
    """The cell as text to a spreadsheet, whatever it starts with (OWASP, CSV injection)."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def _csv(columns: Sequence[str], pages: Rows, dialect: str) -> Iterator[str]:
    is_french = dialect == "excel-fr"
    separator = ";" if is_french else ","
    yield ("\ufeff" if is_french else "") + _lines([columns], separator)
    for page in pages:
        yield _lines(([defused(row[column]) for column in columns] for row in page), separator)


def _lines(rows: Iterable[Sequence[str]], separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue()


def _ndjson(pages: Rows) -> Iterator[str]:
    for page in pages:
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in page)


def _file(name: str, media_type: str, body: Iterator[str]) -> StreamingResponse:
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return StreamingResponse(body, media_type=media_type, headers=headers)
