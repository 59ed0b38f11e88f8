"""Batches: many tokens at once, and the list of their codes for the printer."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator, Mapping, Sequence
from concurrent.futures import Future
from contextlib import aclosing
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from fastapi.concurrency import iterate_in_threadpool
from pydantic import BaseModel, Field, StrictBool
from sqlmodel import Session as DbSession

from api import schemas
from api.archives import ZipResponse
from api.bulk import JobRead, accept, show_job
from api.dependencies import Acting, Core, Now, ReadSession, Services, Session
from api.etags import Tagged
from api.exports import csv_file, ndjson_file
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from api.qr_options import PlainQr
from campaigns import ids, places, planning, tokens
from campaigns.errors import Invalid, NotFound
from campaigns.identity import Right
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.tokens import Good, Kind, Medium, Purpose, TokenBatch, qr
from campaigns.tokens.batches import MOST_SERIALS, MOST_STATICS
from campaigns.tokens.bulk_drawing import CHUNK, Order
from campaigns.tokens.codes import SERIAL_LENGTH

router = APIRouter(prefix="/v1", tags=["tokens"])

AHEAD = 6  # orders of a download that are drawn or wait to be, whose images wait for a slow client: some 1 MB
COLUMNS = ("code", "url", "label", "place", "state")
_FIELDS: dict[Kind, tuple[str, ...]] = {
    Kind.SERIAL: ("count", "medium", "place_id", "good", "handed_over", "purpose"),
    Kind.STATIC: ("media", "place_ids"),
}
_REQUIRED: dict[Kind, tuple[str, ...]] = {Kind.SERIAL: ("count", "medium"), Kind.STATIC: ("media", "place_ids")}


class TokenBatchCreate(schemas.Request):
    """Many tokens at once.

    `serial`: `count` codes of one `medium` for mass print, each good once. `static`: one code for each of `place_ids`
    and each of `media`.
    """

    kind: Literal[Kind.SERIAL, Kind.STATIC]
    count: schemas.Whole | None = Field(None, ge=1, le=MOST_SERIALS, description="serial: how many, 1 to 100,000")
    medium: Medium | None = Field(None, description="serial: what carries the code")
    place_id: str | None = Field(None, max_length=90, description="serial: the place they belong to, if any")
    good: Good = Field(Good.ONCE, description="serial: once in all, or once for each person")
    handed_over: StrictBool = Field(
        False, description="serial: the staff of place_id give them out, so an unused one proves presence 2"
    )
    purpose: Purpose | None = Field(
        None,
        description="serial: `cards` for paper cards, each a person without a phone: a shop's phone records their acts",
    )
    media: list[Medium] | None = Field(None, min_length=1, max_length=3, description="static: one code of each")
    place_ids: Literal["all"] | list[str] | None = Field(
        None, description="static: the places, `plc_...` or `ext_...`; all: every place there is"
    )
    label: schemas.Text | None = Field(None, max_length=200)
    channel: schemas.Text | None = Field(None, max_length=80)


class ZipAsked(PlainQr):
    """How the codes of a batch are to look: plain, all alike."""

    format: Literal[qr.Format.SVG, qr.Format.PNG] = Field(qr.Format.SVG, description="a vector or pixels")

    @property
    def look(self) -> qr.Look:
        """The same for the domain."""
        return qr.Look(error_correction=self.ec, **self.model_dump(include={"quiet_zone", "dark", "light"}))


class TokenBatchRead(BaseModel):
    """A batch. `made` of `count` codes are there; `job` makes the others, when there were too many to wait for."""

    id: str
    campaign_id: str
    kind: Kind
    count: int
    made: int
    medium: Medium | None
    place_id: str | None
    good: Good | None
    handed_over: bool
    purpose: Purpose | None
    label: str | None
    channel: str | None
    job: JobRead | None
    codes_url: str
    created_at: datetime


def show(session: DbSession, batch: TokenBatch) -> TokenBatchRead:
    job = tokens.job_of(session, batch)
    shown = ids.show("tbt", batch.id)
    return TokenBatchRead(
        id=shown,
        campaign_id=ids.show("cmp", batch.campaign_id),
        place_id=ids.show("plc", batch.place_id) if batch.place_id else None,
        made=job.done if job else batch.count,
        job=show_job(job) if job else None,
        codes_url=f"/v1/token-batches/{shown}/codes.csv",
        **batch.model_dump(
            include={"kind", "count", "medium", "good", "handed_over", "purpose", "label", "channel", "created_at"}
        ),
    )


@router.post(
    "/campaigns/{campaign_id}/token-batches",
    dependencies=[may(Right.TOKENS_WRITE)],
    status_code=201,
    responses={202: {"model": TokenBatchRead, "description": "More than 500: `Location` is the job that makes them."}},
)
def issue_batch(
    campaign_id: str,
    body: TokenBatchCreate,
    actor: Actor,
    reading: ReadSession,
    session: Session,
    now: Now,
    response: Response,
) -> TokenBatchRead:
    """Make many tokens. 201 when they are there; 202 with `Location: /v1/jobs/{id}` above 500.

    Serial codes have sixteen characters. Each is spent by the check-in it counts for, never by a scan; a second use is
    409 `serial_used`. A serial proves possession only; `handed_over` with a `place_id` makes its first use presence 2.
    409 on a campaign that is over, 404 for a place that is not yours.
    """
    _require_fields(body)
    where = _places(reading, actor, body)  # up to thousands of look-ups, before the writing transaction begins
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    batch = _issue(session, campaign, body, where, now)
    shown = show(session, batch)
    if shown.job is not None:
        accept(response, shown.job)
    return shown


@router.get("/campaigns/{campaign_id}/token-batches", dependencies=[may(Right.TOKENS_READ)])
def list_batches(
    campaign_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Batches of a campaign, newest first."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = tokens.list_batches(session, campaign.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(session, one), lambda one: one.id)


@router.get("/token-batches/{batch_id}", dependencies=[may(Right.TOKENS_READ)], response_model=TokenBatchRead)
def read_batch(batch_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One batch, and how far its job has come."""
    return tags.read(show(session, _batch(session, actor, batch_id)))


@router.get("/token-batches/{batch_id}/codes.csv", dependencies=[may(Right.TOKENS_READ)], response_class=Response)
def export_codes_csv(batch_id: str, actor: Actor, session: ReadSession, core: Core) -> Response:
    """The codes in the order they were made: `code, url, label, place, state`. Starts at once, at any length.

    Cells that a spreadsheet would take for a formula begin with an apostrophe. 409 `job_running`, naming the job, while
    the codes are being made; those of a cancelled job are all that were made.
    """
    batch = _made(session, actor, batch_id)
    return csv_file(f"codes-{ids.show('tbt', batch.id)}", COLUMNS, _pages(core, batch))


@router.get("/token-batches/{batch_id}/codes.ndjson", dependencies=[may(Right.TOKENS_READ)], response_class=Response)
def export_codes_ndjson(batch_id: str, actor: Actor, session: ReadSession, core: Core) -> Response:
    """The same, one JSON object a line."""
    batch = _made(session, actor, batch_id)
    return ndjson_file(f"codes-{ids.show('tbt', batch.id)}", _pages(core, batch))


@router.get(
    "/token-batches/{batch_id}/codes.zip",
    dependencies=[may(Right.TOKENS_READ)],
    response_class=Response,
    responses={200: {"content": {"application/zip": {}}}},
)
def export_codes_zip(
    batch_id: str, asked: Annotated[ZipAsked, Query()], actor: Actor, session: ReadSession, core: Core
) -> Response:
    """The QR codes, one image each, named by the code: `7K3Q9XABW4.svg`. Starts at once, at any length.

    Every code is read back from its modules, one image in 1,000 from its bytes; should one not read, the download
    breaks off before it. 409 `job_running` as for `codes.csv`; 422 for a look that would not read.
    """
    batch = _made(session, actor, batch_id)
    # A code like the others: what is wrong with the look is said before the download begins.
    sample = tokens.url_of("0" * SERIAL_LENGTH, core.settings.base_url)
    core.gallery.drawn(sample, asked.look, asked.format, asked.size)
    name = f"codes-{ids.show('tbt', batch.id)}"
    return ZipResponse(name, _images(core, batch, asked), made_at=batch.created_at)


def _require_fields(body: TokenBatchCreate) -> None:
    """Invalid when a field of this kind is missing, or one of the other kind is given."""
    for field in _REQUIRED[body.kind]:
        if getattr(body, field) is None:
            raise Invalid(f"A {body.kind} batch needs {field}.", pointer=f"/{field}")
    for kind, fields in _FIELDS.items():
        for field in fields if kind != body.kind else ():
            if field in body.model_fields_set:
                raise Invalid(f"{field} belongs to a {kind} batch, not to a {body.kind} one.", pointer=f"/{field}")


def _places(session: DbSession, actor: Acting, body: TokenBatchCreate) -> list[Place]:
    if body.kind is Kind.SERIAL:
        return [_place(session, actor, body.place_id, "/place_id")] if body.place_id is not None else []
    if body.place_ids == "all":
        return list(places.list_places(session, actor.organisation_id, before=None, limit=MOST_STATICS + 1))
    names = list(dict.fromkeys(body.place_ids or ()))
    if len(names) > MOST_STATICS:
        raise Invalid(f"A batch names at most {MOST_STATICS:,} places.", pointer="/place_ids")
    return [_place(session, actor, name, f"/place_ids/{at}") for at, name in enumerate(names)]


def _place(session: DbSession, actor: Acting, name: str, pointer: str) -> Place:
    try:
        return places.place_by_name(session, actor.organisation_id, name)
    except NotFound as error:
        raise NotFound("There is no such place.", pointer=pointer) from error


def _issue(
    session: DbSession, campaign: Campaign, body: TokenBatchCreate, where: list[Place], now: datetime
) -> TokenBatch:
    if body.kind is Kind.SERIAL:
        fields = body.model_dump(include={"count", "medium", "good", "handed_over", "purpose", "label", "channel"})
        return tokens.issue_serials(session, campaign, place=where[0] if where else None, now=now, **fields)
    media = list(dict.fromkeys(body.media or ()))
    fields = body.model_dump(include={"label", "channel"})
    return tokens.issue_statics(session, campaign, media=media, places=where, now=now, **fields)


def _batch(session: DbSession, actor: Acting, batch_id: str) -> TokenBatch:
    return tokens.batch_by_id(session, actor.organisation_id, ids.parse("tbt", batch_id))


def _made(session: DbSession, actor: Acting, batch_id: str) -> TokenBatch:
    batch = _batch(session, actor, batch_id)
    tokens.require_made(session, batch)
    return batch


def _pages(core: Services, batch: TokenBatch) -> Iterator[Sequence[Mapping[str, str]]]:
    """The codes a page at a time, each read in a session of its own: a slow client holds no transaction open."""
    after = None
    while True:
        with core.database.snapshot() as session:
            lines = tokens.lines_of(session, batch.id, after=after)
        if not lines:
            return
        after = lines[-1].token_id
        yield [
            {
                "code": line.code,
                "url": tokens.url_of(line.code, core.settings.base_url),
                "label": line.label or "",
                "place": line.place or "",
                "state": line.state,
            }
            for line in lines
        ]


async def _images(core: Services, batch: TokenBatch, asked: ZipAsked) -> AsyncGenerator[list[tuple[str, bytes]], None]:
    """The files of the ZIP in the order of the codes, some at a time; only so many are drawn ahead of the reader."""
    waiting: deque[tuple[Sequence[str], Future[list[bytes]]]] = deque()
    with core.workshop.open() as draw:
        try:
            async with aclosing(_orders(core, batch, asked)) as orders:
                async for codes, order in orders:
                    waiting.append((codes, draw(order)))
                    if len(waiting) == AHEAD:
                        yield await _drawn(*waiting.popleft(), asked.format)
            while waiting:
                yield await _drawn(*waiting.popleft(), asked.format)
        finally:
            for _, future in waiting:
                future.cancel()


async def _orders(
    core: Services, batch: TokenBatch, asked: ZipAsked
) -> AsyncGenerator[tuple[Sequence[str], Order], None]:
    first = 0
    async for listed in iterate_in_threadpool(_pages(core, batch)):
        for start in range(0, len(listed), CHUNK):
            rows = listed[start : start + CHUNK]
            texts = tuple(row["url"] for row in rows)
            yield [row["code"] for row in rows], Order(texts, asked.look, asked.format, asked.size, first)
            first += len(rows)


async def _drawn(codes: Sequence[str], drawing: Future[list[bytes]], format: qr.Format) -> list[tuple[str, bytes]]:
    images = await asyncio.wrap_future(drawing)
    return [(f"{code}.{format}", image) for code, image in zip(codes, images, strict=True)]
