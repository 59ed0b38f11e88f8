"""Lists of any length as CSV or NDJSON: written page by page, so that memory stays the same."""

import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any
from uuid import UUID

from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlmodel import Session

from campaigns.storage import Database

PAGE = 500  # rows of an export that are in memory at once

_FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n")  # what a spreadsheet takes for the start of a formula
_BOM = "\ufeff"  # without it French spreadsheets take UTF-8 for another encoding


class Dialect(StrEnum):
    """How a CSV file is written. `excel-fr`: semicolons, decimal commas and a byte order mark."""

    PLAIN = "plain"
    EXCEL_FR = "excel-fr"


Rows = Iterable[Sequence[Mapping[str, Any]]]  # page by page; column -> text, for CSV


def csv_file(name: str, columns: Sequence[str], pages: Rows, *, dialect: Dialect = Dialect.PLAIN) -> StreamingResponse:
    """A CSV download (RFC 4180, UTF-8). A cell that would start a formula gets an apostrophe before it.

    `excel-fr`: what a French Excel opens as a table: a byte order mark, semicolons.
    """
    cells = ([[defused(row[column]) for column in columns] for row in page] for page in pages)
    body = csv_text(columns, cells, excel_fr=dialect is Dialect.EXCEL_FR)
    return file_of(f"{name}.csv", "text/csv; charset=utf-8", body)


def ndjson_file(name: str, pages: Rows) -> StreamingResponse:
    """A download of one JSON object a line."""
    return file_of(f"{name}.ndjson", "application/x-ndjson", ndjson_text(pages))


def in_pages(
    database: Database, read: Callable[[Session, UUID | None, int], Sequence[Any]], show: Callable[[Any], BaseModel]
) -> Iterator[list[dict[str, str]]]:
    """All rows that `read(session, before, limit)` finds, as text; each page in a short read of its own."""
    last: UUID | None = None
    while True:
        with database.snapshot() as session:
            rows = read(session, last, PAGE)
        yield [_as_text(show(row)) for row in rows]
        if len(rows) < PAGE:
            return
        last = rows[-1].id


def _as_text(shown: BaseModel) -> dict[str, str]:
    return {name: "" if one is None else str(one) for name, one in shown.model_dump(mode="json").items()}


def defused(cell: str) -> str:
    """The cell as text to a spreadsheet, whatever it starts with (OWASP, CSV injection)."""
    return f"'{cell}" if cell.startswith(_FORMULAS) else cell


def text_file(name: str, columns: Sequence[str], rows: Iterable[Sequence[str]], dialect: Dialect) -> StreamingResponse:
    """A CSV download in a dialect, of cells as they are; those that would start a formula are defused here."""
    cells = ([defused(cell) for cell in row] for row in rows)
    body = csv_text(columns, [cells], excel_fr=dialect is Dialect.EXCEL_FR)
    return file_of(f"{name}.csv", "text/csv; charset=utf-8", body)


def csv_text(
    columns: Sequence[str], pages: Iterable[Iterable[Sequence[str]]], *, excel_fr: bool = False
) -> Iterator[str]:
    """CSV, page by page, of cells that are defused already. `excel_fr`: with semicolons and a byte order mark."""
    separator = ";" if excel_fr else ","
    yield (_BOM if excel_fr else "") + _lines([columns], separator)
    for page in pages:
        yield _lines(page, separator)


def ndjson_text(pages: Rows) -> Iterator[str]:
    """A JSON object a line, page by page."""
    for page in pages:
        yield "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in page)


def _lines(rows: Iterable[Sequence[str]], separator: str) -> str:
    text = io.StringIO()
    csv.writer(text, delimiter=separator).writerows(rows)
    return text.getvalue()


def file_of(name: str, media_type: str, body: Iterator[str] | Iterator[bytes]) -> StreamingResponse:
    """A download under a name, which nobody keeps."""
    headers = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "private, no-store"}
    return StreamingResponse(body, media_type=media_type, headers=headers)
