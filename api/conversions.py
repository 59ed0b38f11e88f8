"""Conversions: sales that a shop's own systems tell of, one by one, as a list, or in a CSV file."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Body, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from pydantic import BaseModel, Field, ValidationError
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Services, Session
from api.etags import Tagged
from api.exports import Dialect, csv_file, in_pages
from api.faults import words_of
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, planning, stats
from campaigns.csv_file import Fault
from campaigns.errors import Conflict, Invalid
from campaigns.identity import Right
from campaigns.stats import Clerk, Conversion, Fate, Taken, Told

router = APIRouter(prefix="/v1/conversions", tags=["money"])
CHUNK = 200  # conversions a transaction: every scan on SQLite waits for it

Source = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^[A-Za-z0-9._:-]+$")]
Given = Annotated[str | None, Query(max_length=90, description="for rows whose file has no such column")]


class ConversionCreate(schemas.Request):
    """A sale, or another thing worth counting (`amount_minor` 0). `source` and `external_id` name it, once for all.

    `place_id`, `token` (its id or printed code), `scan_id` and `coupon` (its code) say where it belongs, as far as that
    is known; scan and coupon are looked up for that, and not kept. `external_id` shall name no person.
    """

    source: Source = Field(description="the system that tells of it, e.g. shopify")
    external_id: schemas.ExternalId = Field(description="its id there, e.g. the number of the receipt")
    campaign_id: schemas.Name
    amount_minor: Annotated[int, Field(strict=True, ge=0, le=stats.MOST_MINOR)]
    currency: str = Field(pattern="^[A-Z]{3}$")
    occurred_at: schemas.Instant = Field(description="with its offset: 2026-10-25T18:04:00+02:00")
    place_id: schemas.Name | None = None
    token: schemas.Name | None = None
    scan_id: schemas.Name | None = None
    coupon: Annotated[str, Field(min_length=1, max_length=40)] | None = None

    @property
    def told(self) -> Told:
        return Told(**self.model_dump())


class ConversionRead(BaseModel):
    """A conversion as counted. `civil_day` is that of the campaign's zone; what is of a pilot or a holdout, as `phase`
    says, is told apart.
    """

    id: str
    campaign_id: str
    source: str
    external_id: str
    amount_minor: int
    currency: str
    occurred_at: datetime
    civil_day: str
    phase: str
    place_id: str | None
    token_id: str | None
    recorded_at: datetime


class RefusedRow(BaseModel):
    """A conversion that was not taken: its line in the file, or its number in the list from 0; the field, and why."""

    line: int
    column: str | None
    reason: str


class TakenRead(BaseModel):
    """What became of many. A conflict, another conversion under an id that is known, is among the rejected too."""

    accepted: int
    duplicates: int
    conflicts: int
    rejected: list[RefusedRow]


COLUMNS = tuple(ConversionRead.model_fields)
MOST = 500  # conversions of a list
_ONE = ConversionCreate.model_json_schema()
_ONE_OR_MANY = {"anyOf": [_ONE, {"type": "array", "items": _ONE, "minItems": 1, "maxItems": MOST}]}


def show(one: Conversion) -> ConversionRead:
    shown = one.model_dump(include={"source", "external_id", "amount_minor", "currency", "phase"})
    return ConversionRead(
        id=ids.show("cnv", one.id),
        campaign_id=ids.show("cmp", one.campaign_id),
        occurred_at=one.occurred_at,
        civil_day=one.civil_day.isoformat(),
        place_id=ids.show("plc", one.place_id) if one.place_id else None,
        token_id=ids.show("tok", one.token_id) if one.token_id else None,
        recorded_at=one.recorded_at,
        **shown,
    )


@router.post(
    "",
    dependencies=[may(Right.CONVERSIONS_WRITE)],
    status_code=201,
    responses={200: {"model": ConversionRead | TakenRead}},
    openapi_extra={"requestBody": {"required": True, "content": {"application/json": {"schema": _ONE_OR_MANY}}}},
)
def tell_conversions(
    body: Annotated[Any, Body()], actor: Actor, session: Session, now: Now, response: Response
) -> ConversionRead | TakenRead:
    """Tell of one conversion, or of up to 500 as a list.

    One: 201; 200 with the same conversion when it was told of before; 409 `conversion_differs` when another one was,
    under the same source and id. A list: 200, with what became of it; what cannot be taken comes back with its number,
    from 0, and the reason, and the rest is counted.
    """
    clerk = Clerk(session, actor.organisation_id, now=now)
    if not isinstance(body, list):
        fate, found = clerk.take(_parsed(body))
        if fate is Fate.CONFLICT:
            detail = f"{found.source} told of {found.external_id!r} before, and otherwise: the first one stands."
            raise Conflict(detail, code="conversion_differs", pointer="/external_id")
        response.status_code = 201 if fate is Fate.ACCEPTED else 200
        return show(found)
    if not 1 <= len(body) <= MOST:
        raise Invalid(f"A list has 1 to {MOST} conversions; send more as a CSV file.")
    judged = [_as_told(number, one) for number, one in enumerate(body)]
    taken = Taken()
    clerk.take_all([(at, one) for at, one in enumerate(judged) if isinstance(one, Told)], taken)
    response.status_code = 200
    return _taken(taken, [one for one in judged if isinstance(one, Fault)])


def _parsed(body: Any) -> Told:
    """The body of one conversion; refused like that of any other route."""
    try:
        return ConversionCreate.model_validate(body).told
    except ValidationError as error:
        faults = error.errors(include_url=False, include_input=False)
        raise RequestValidationError([{**one, "loc": ("body", *one["loc"])} for one in faults]) from error


@router.post(
    "/import",
    dependencies=[may(Right.CONVERSIONS_WRITE)],
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {}}}},
)
async def import_conversions(
    request: Request, actor: Actor, core: Core, now: Now, campaign_id: Given = None, source: Given = None
) -> TakenRead:
    """Tell of many conversions in a CSV file (`text/csv`, UTF-8, at most 2 MB and 10,000 rows).

    The first line names the columns: `source, external_id, campaign_id, currency, occurred_at`, then `amount_minor`
    (whole minor units) or `amount` (`12.50`, `12,50`), and where known `place_id, token, scan_id, coupon`. Commas or
    semicolons. `occurred_at` has its offset. Good rows are counted, once however often the file is sent; the others
    come back with line and reason. 422 for a file that lacks a column or is not UTF-8: then nothing is done.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
        raise Invalid("Send the file as text/csv.")
    file = await request.body()
    usual = {name: one for name, one in (("campaign_id", campaign_id), ("source", source)) if one is not None}
    return await run_in_threadpool(_import, core, actor, file, usual, now)


def _import(core: Services, actor: Acting, file: bytes, usual: dict[str, str], now: datetime) -> TakenRead:
    """All rows are read first; then some hundreds a transaction, so that no scan waits behind the file."""
    good: list[tuple[int, Told]] = []
    faults: list[Fault] = []
    for row in stats.conversion_rows(file, usual):
        judged = row if isinstance(row, Fault) else _as_told(row.line, row.fields)
        if isinstance(judged, Fault):
            faults.append(judged)
        else:
            good.append((row.line, judged))
    taken = Taken()
    for start in range(0, len(good), CHUNK):
        with core.database.transaction(author=actor.author) as session:
            Clerk(session, actor.organisation_id, now=now).take_all(good[start : start + CHUNK], taken)
    if taken.accepted:
        with core.database.transaction(author=actor.author) as session:
            stats.note_import(session, actor.organisation_id, taken, now=now)
    return _taken(taken, faults)


def _as_told(number: int, given: Any) -> Told | Fault:
    """A row judged like the body of POST /v1/conversions."""
    try:
        return ConversionCreate.model_validate(given).told
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        return Fault(number, str(fault["loc"][0])[:60] if fault["loc"] else None, words_of(fault))


def _taken(taken: Taken, faults: list[Fault]) -> TakenRead:
    refused = [*faults, *(Fault(*one) for one in taken.refused)]
    return TakenRead(
        accepted=taken.accepted,
        duplicates=taken.duplicates,
        conflicts=taken.conflicts,
        rejected=[RefusedRow(**one._asdict()) for one in sorted(refused, key=lambda one: one.line)],
    )


@router.get("", dependencies=[may(Right.FIGURES_READ)])
def list_conversions(
    actor: Actor, session: ReadSession, campaign_id: str | None = None, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Conversions of the organisation, or of one campaign, newest told first; those of the last 13 months."""
    found = planning.campaign_by_name(session, actor.organisation_id, campaign_id) if campaign_id else None
    rows = stats.list_conversions(
        session,
        actor.organisation_id,
        campaign_id=found.id if found else None,
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, show, lambda one: one.id)


@router.get("/export.csv", dependencies=[may(Right.FIGURES_READ)], response_class=StreamingResponse)
def export_conversions(
    actor: Actor,
    core: Core,
    session: ReadSession,
    campaign_id: str,
    dialect: Annotated[Dialect, Query(description="`excel-fr` for a French Excel")] = Dialect.PLAIN,
) -> StreamingResponse:
    """The conversions of a campaign as CSV, newest told first, streamed."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    found = campaign.id

    def read(session: DbSession, last: UUID | None, limit: int) -> Sequence[Any]:
        return stats.list_conversions(session, actor.organisation_id, campaign_id=found, before=last, limit=limit)

    return csv_file("conversions", COLUMNS, in_pages(core.database, read, show), dialect=dialect)


@router.get("/{conversion_id}", dependencies=[may(Right.FIGURES_READ)], response_model=ConversionRead)
def read_conversion(conversion_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One conversion."""
    found = stats.conversion_by_id(session, actor.organisation_id, ids.parse("cnv", conversion_id))
    return tags.read(show(found))
