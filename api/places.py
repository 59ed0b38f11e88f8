"""Places and the staff links of their phones."""

from collections.abc import Iterator
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Services, Session
from api.etags import Tagged
from api.faults import words_of
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, places
from campaigns.csv_file import Fault
from campaigns.errors import Invalid
from campaigns.identity import Right
from campaigns.places import Kept, Place, StaffRole, StaffSession
from campaigns.places.importing import CHUNK
from campaigns.places.phones import LINK_LIFE
from campaigns.places.sheet import Sheet, SheetRow
from campaigns.sealing import new_secret
from campaigns.tokens import qr

router = APIRouter(prefix="/v1/places", tags=["places"])

Hours = dict[str, list[list[str]]]


class PlaceCreate(schemas.Request):
    """A shop or spot. Without `lat` and `lon` the address is geocoded, when a geocoder is configured."""

    name: schemas.Name
    lat: schemas.Number | None = Field(None, description="degrees WGS84, -90 to 90")
    lon: schemas.Number | None = Field(None, description="degrees WGS84, -180 to 180")
    radius_m: schemas.Whole = Field(100, description="geofence radius in metres, 10 to 50,000")
    time_zone: str = Field(max_length=64, description="IANA name, e.g. Europe/Paris")
    address: schemas.Text | None = Field(None, max_length=500)
    opening_hours: Hours | None = Field(None, description='{"mon": [["09:00", "19:30"]], ...}; none: always open')
    external_id: schemas.ExternalId | None = None


class PlacePatch(schemas.Request):
    """JSON merge patch: what is not named stays."""

    name: Annotated[schemas.Name | None, schemas.Kept] = None
    lat: Annotated[schemas.Number | None, schemas.Kept] = None
    lon: Annotated[schemas.Number | None, schemas.Kept] = None
    radius_m: Annotated[schemas.Whole | None, schemas.Kept] = None
    time_zone: Annotated[str | None, schemas.Kept] = Field(None, max_length=64)
    address: schemas.Text | None = Field(None, max_length=500)
    opening_hours: Hours | None = None


class PlaceRead(BaseModel):
    """A place as stored."""

    id: str
    external_id: str | None
    name: str
    lat: float | None
    lon: float | None
    radius_m: int
    time_zone: str
    address: str | None
    opening_hours: Hours | None
    created_at: datetime


class RejectedRow(BaseModel):
    """A row of the file that was not taken: its first line, the column if one is to blame, and why."""

    line: int
    column: str | None
    reason: str


class ImportRead(BaseModel):
    """What an import did, or would do."""

    dry_run: bool
    created: int
    updated: int
    unchanged: int
    rejected: list[RejectedRow]


class StaffLinkCreate(schemas.Request):
    """What the phone that uses the link may do."""

    role: StaffRole = Field(StaffRole.STAFF, description="a manager's phone also signs others of its place in and out")


class StaffLinkRead(BaseModel):
    """A one-time sign-in link and its QR: the only moment they are shown."""

    role: StaffRole
    url: str
    qr_svg: str
    expires_at: datetime


def show(place: Place) -> PlaceRead:
    return PlaceRead(id=ids.show("plc", place.id), **place.model_dump(exclude={"id", "organisation_id", "changed_at"}))


@router.post("", dependencies=[may(Right.PLACES_WRITE)], status_code=201)
def open_place(body: PlaceCreate, actor: Actor, session: Session, core: Core, now: Now) -> PlaceRead:
    """Create a place. 422 names a field out of its range; 409 for an `external_id` already used."""
    fields = body.model_dump()
    fields["lat"], fields["lon"] = places.locate(body.address, body.lat, body.lon, core.geocode)
    return show(places.open_place(session, actor.organisation_id, now=now, **fields))


@router.post(
    "/import",
    dependencies=[may(Right.PLACES_WRITE)],
    openapi_extra={"requestBody": {"required": True, "content": {"text/csv": {}}}},
)
async def import_places(
    request: Request,
    actor: Actor,
    core: Core,
    now: Now,
    dry_run: Annotated[bool, Query(description="Only say what would be done.")] = False,
) -> ImportRead:
    """Make or change many places from a CSV file (`text/csv`, UTF-8, at most 2 MB and 10,000 rows).

    The first line names the columns: `name, lat, lon, time_zone`, and where wanted `radius_m, address, external_id`,
    and `opening_hours` as JSON or a column a day, `mon` to `sun`, such as `09:00-12:30 14:00-19:00` (empty: closed).
    Commas, or semicolons, with which numbers may have a decimal comma. A row with a known `external_id` changes its
    place; what the file has no column for stays. Good rows are kept, the others come back with line and reason. 422
    for a file that lacks a column or is not UTF-8: then nothing is done.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "text/csv":
        raise Invalid("Send the file as text/csv.")
    file = await request.body()
    return await run_in_threadpool(_import, core, actor, file, now, dry_run)


def _import(core: Services, actor: Acting, file: bytes, now: datetime, dry_run: bool) -> ImportRead:
    """All rows are judged first; then some hundreds a transaction, so that no scan waits behind the file."""
    good: list[dict[str, Any]] = []
    rejected: list[RejectedRow] = []
    for row in _judged(Sheet(file)):
        if isinstance(row, Fault):
            rejected.append(RejectedRow(**row._asdict()))
        else:
            good.append(row.fields)
    kept = Kept()
    for start in range(0, len(good), CHUNK):
        writing = core.database.snapshot() if dry_run else core.database.transaction(author=actor.author)
        with writing as session:
            chunk = good[start : start + CHUNK]
            places.keep_places(session, actor.organisation_id, chunk, now=now, dry_run=dry_run, kept=kept)
    return ImportRead(dry_run=dry_run, rejected=rejected, **vars(kept))


def _judged(sheet: Sheet) -> Iterator[SheetRow | Fault]:
    """The rows of a file as the API would take them, one by one; of two with one external_id the first."""
    seen: dict[str, int] = {}
    for row in sheet.rows():
        judged = row if isinstance(row, Fault) else _as_place(row, sheet)
        if isinstance(judged, SheetRow) and (name := judged.fields.get("external_id")):
            if name in seen:
                yield Fault(row.line, "external_id", f"Line {seen[name]} has this external_id already.")
                continue
            seen[name] = row.line
        yield judged


def _as_place(row: SheetRow, sheet: Sheet) -> SheetRow | Fault:
    """A row judged like the body of POST /v1/places."""
    try:
        whole = PlaceCreate.model_validate(row.fields)
        places.check_place(**whole.model_dump(include={"lat", "lon", "radius_m", "time_zone", "opening_hours"}))
    except ValidationError as error:
        fault = error.errors(include_url=False, include_input=False)[0]
        return Fault(row.line, str(fault["loc"][0]), words_of(fault))
    except Invalid as error:
        field, _, day = error.context["pointer"][1:].partition("/")
        return Fault(row.line, day if day in sheet.columns else field, error.detail)
    return SheetRow(row.line, whole.model_dump(include=set(row.fields)))


@router.get("", dependencies=[may(Right.PLACES_READ, placed=True)])
def list_places(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Places of the organisation, newest first; those of the key, when it is bound to some."""
    rows = places.list_places(
        session, actor.organisation_id, among=actor.place_ids, before=before(cursor), limit=limit + 1
    )
    return page(rows, limit, show, lambda place: place.id)


@router.get("/{place_id}", dependencies=[may(Right.PLACES_READ, placed=True)], response_model=PlaceRead)
def read_place(place_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One place, by id or `ext_<external_id>`."""
    place = places.place_by_name(session, actor.organisation_id, place_id)
    actor.require_place(place.id)
    return tags.read(show(place))


@router.patch("/{place_id}", dependencies=[may(Right.PLACES_WRITE)])
def change_place(place_id: str, body: PlacePatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> PlaceRead:
    """Change a place; printed codes follow at the next scan. 412 when `If-Match` names another state of it."""
    place = places.place_by_name(session, actor.organisation_id, place_id)
    tags.require(session, place, show)
    fields = body.model_dump(exclude_unset=True)
    return tags.changed(show(places.change_place(session, place, now=now, **fields)))


@router.post("/{place_id}/staff-links", dependencies=[may(Right.STAFF_WRITE)], status_code=201)
def issue_staff_link(
    place_id: str, actor: Actor, session: Session, core: Core, now: Now, body: StaffLinkCreate | None = None
) -> StaffLinkRead:
    """A one-time link that signs a shop's phone in, and its QR to show to that phone. Good for 14 days, used once."""
    role, secret = (body or StaffLinkCreate()).role, new_secret()
    url = f"{core.settings.base_url}/staff/sign-in/{secret}"
    drawn = qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=6)  # before the transaction begins
    place = places.place_by_name(session, actor.organisation_id, place_id)
    places.issue_staff_link(session, place, role=role, secret=secret, now=now)
    return StaffLinkRead(role=role, url=url, qr_svg=drawn.decode(), expires_at=now + LINK_LIFE)


@router.get("/{place_id}/staff-sessions", dependencies=[may(Right.STAFF_WRITE)])
def list_staff_sessions(place_id: str, actor: Actor, session: ReadSession, now: Now) -> Page:
    """The phones signed in at a place, newest first, locked ones too."""
    place = places.place_by_name(session, actor.organisation_id, place_id)
    rows = places.list_staff_sessions(session, place.id, now=now)
    return Page(data=[_show_session(one, now) for one in rows], next_cursor=None)


@router.post(
    "/{place_id}/staff-sessions/{session_id}/revocation", dependencies=[may(Right.STAFF_WRITE)], status_code=204
)
def revoke_staff_session(place_id: str, session_id: str, actor: Actor, session: Session, now: Now) -> Response:
    """Sign a phone out. Twice is once."""
    place = places.place_by_name(session, actor.organisation_id, place_id)
    places.revoke_staff_session(session, place.id, ids.parse("ses", session_id), now=now)
    return Response(status_code=204)


def _show_session(staff: StaffSession, now: datetime) -> dict[str, Any]:
    shown = staff.model_dump(include={"role", "label", "created_at", "last_seen_at", "expires_at"})
    return {"id": ids.show("ses", staff.id), "is_locked": staff.is_locked(now), **shown}
