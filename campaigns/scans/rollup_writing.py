"""How rows of the rollups are written: added to what is there, some thousands a second, with the driver's statement."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

from sqlmodel import Session

from campaigns import prepared
from campaigns.scans.verdict import Verdict

DIMENSIONS: Final = ("token", "place", "channel", "medium", "device", "language", "country")
COUNTED: Final = tuple(one.value for one in Verdict if one not in (Verdict.ORPHAN, Verdict.TEST))
COLUMNS: Final = (*COUNTED, "confirmed", "verified", "visitors")
KEY: Final = ("campaign_id", "dimension", "span", "phase", "period", "value", "other_value")
CELL_KEY: Final = ("campaign_id", "phase", "day", *DIMENSIONS)
VISITOR_KEY: Final = ("campaign_id", "dimension", "day", "value")
_TABLES: Final = {
    "rollups": ("scan_rollups", KEY, COLUMNS),
    "cells": ("rollup_cells", CELL_KEY, COLUMNS[:-1]),
    "visitors": ("rollup_visitors", (*VISITOR_KEY, "visitor_key"), ()),
}


def add(session: Session, what: str, rows: Mapping[tuple[Any, ...], Sequence[int]]) -> int:
    """Add these numbers, as `COLUMNS` go, to the rows of `what`, in the order of their keys; how many were written."""
    if not rows:
        return 0
    connection = session.connection()
    width = len(_TABLES[what][2])
    values = [(key[0].hex, *key[1:], *rows[key][:width]) for key in sorted(rows)]
    statement = _statement(what, connection.dialect.name)
    return int(prepared.execute(connection, statement, values, is_many=True).rowcount)


@cache
def _statement(what: str, dialect: str) -> str:
    mark = "?" if dialect == "sqlite" else "%s"
    id = mark if dialect == "sqlite" else "%s::uuid"
    table, key, sums = _TABLES[what]
    marks = ", ".join([id, *[mark] * (len(key) + len(sums) - 1)])
    added = ", ".join(f"{name} = {table}.{name} + excluded.{name}" for name in sums)
    then = f"({', '.join(key)}) DO UPDATE SET {added}" if added else "DO NOTHING"
    insert = f"INSERT INTO {table} ({', '.join((*key, *sums))}) VALUES ({marks})"  # noqa: S608  # names of our own columns
    return f"{insert} ON CONFLICT {then}"
