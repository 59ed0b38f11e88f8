"""Lists: `?limit=25&cursor=`, newest first, `{"data": [...], "next_cursor": ...}`; and the ids of paths and bodies."""

from collections.abc import Callable, Sequence
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Query
from pydantic import BaseModel

from campaigns import ids
from campaigns.errors import Invalid, NotFound

Limit = Annotated[int, Query(ge=1, le=200, description="How many, 1 to 200.")]
Cursor = Annotated[str | None, Query(max_length=80, description="`next_cursor` of the page before.")]

Row = TypeVar("Row")


class Page(BaseModel):
    """A page of a list, newest first."""

    data: list[Any]
    next_cursor: str | None


def before(cursor: str | None) -> UUID | None:
    """The id a cursor stands for; Invalid for anything else."""
    if cursor is None:
        return None
    try:
        return ids.parse("cur", cursor)
    except NotFound as error:
        raise Invalid("This cursor is not one of ours.", pointer="/cursor") from error


def page(rows: Sequence[Row], limit: int, show: Callable[[Row], Any], id_of: Callable[[Row], UUID]) -> Page:
    """A page of `rows`, which were read with `limit + 1`."""
    more = len(rows) > limit
    kept = rows[:limit]
    return Page(data=[show(row) for row in kept], next_cursor=ids.show("cur", id_of(kept[-1])) if more else None)
