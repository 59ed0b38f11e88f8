"""API keys at the console: issued, shown once, rotated, revoked."""

from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_names import Names
from api.pages.console_session import Form, Posted, Seat, member_may, show_once
from api.pagination import before
from api.policies import MEMBER
from campaigns import clock, identity, ids, places
from campaigns.errors import CampaignError, Conflict, Forbidden, Gone, Invalid
from campaigns.identity import ApiKey, Right, Role
from campaigns.identity.rights import KEY_ROLES, rights_of_key

router = APIRouter(prefix="/console/keys", include_in_schema=False, dependencies=[MEMBER])
KEYS_SHOWN = 50
PLACES_SHOWN = 200  # to tick; beyond that the API issues keys
Reader = Annotated[Seat, member_may(Right.KEYS_READ)]
Writer = Annotated[Seat, member_may(Right.KEYS_WRITE)]
_REFUSALS = (Conflict, Forbidden, Gone, Invalid)


class KeyForm(schemas.Request):
    """What is typed of a new key. The last day counts whole, in UTC."""

    name: schemas.Name
    role: Role
    last_day: datetime | None = None
    is_test: bool = False


class KeyPlaces(schemas.Request):
    """The boxes that were ticked."""

    scopes: list[schemas.Name] = Field(max_length=40)
    place_ids: list[schemas.Name] = Field(max_length=PLACES_SHOWN)


@dataclass(frozen=True)
class KeyView:
    """A key as the list shows it."""

    id: str
    name: str
    prefix: str
    role: str
    scopes: list[str] | None
    places: list[str] | None
    is_test: bool
    is_live: bool
    issuer: str
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None
    revoked_at: datetime | None


@router.get("", response_class=HTMLResponse)
def list_keys(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """The organisation's keys, newest first, its test keys too."""
    return _list(seat, cursor=cursor)


@router.get("/new", response_class=HTMLResponse)
def new_key(seat: Writer) -> HTMLResponse:
    """The form of a new key."""
    return _form(seat, {"role": Role.MARKETER.value})


@router.post("")
def issue_key(seat: Writer, form: Form) -> Response:
    """Issue a key, and show it once."""
    try:
        asked: KeyForm = form.read(
            KeyForm, without=("scopes", "place_ids", "last_day"), last_day=_end_of(form["last_day"])
        )
        ticked = KeyPlaces(scopes=form.all("scopes"), place_ids=form.all("place_ids"))
        with seat.writing() as session:
            _, whole = identity.issue_key(
                session,
                seat.organisation.id,
                role=asked.role,
                name=asked.name,
                scopes=ticked.scopes or None,
                place_ids=_places(session, seat, ticked.place_ids) or None,
                expires_at=asked.last_day,
                is_test=asked.is_test,
                member_id=seat.member.id,
                most=seat.member.rights,
                now=seat.now,
            )
    except (*_REFUSALS, ValueError) as error:
        return _form(seat, _typed(form), error=_as_refusal(error))
    return show_once(seat, "key", whole, asked.name)


@router.post("/{key_id}/rotation")
def rotate_key(seat: Writer, form: Form, key_id: str) -> Response:
    """Make a key's successor, and show it once. The old one lives until it is revoked."""
    try:
        with seat.writing() as session:
            key = _key(session, seat, key_id)
            _, whole = identity.rotate_key(
                session, key, most=seat.member.rights, member_id=seat.member.id, now=seat.now
            )
    except _REFUSALS as error:
        return _list(seat, error=error)
    return show_once(seat, "key", whole, key.name)


@router.get("/{key_id}/revocation", response_class=HTMLResponse)
def show_revocation(seat: Writer, key_id: str) -> HTMLResponse:
    """A key that is revoked stops at once: a page that asks once more."""
    with seat.reading() as session:
        key = _key(session, seat, key_id)
    name = key.name or f"{key.prefix}…"
    return seat.page("console_sure.html", what="revoke", whom=name, action=f"/console/keys/{key_id}/revocation")


@router.post("/{key_id}/revocation")
def revoke_key(seat: Writer, form: Form, key_id: str) -> Response:
    """End a key, from the next request on. Twice is once."""
    with seat.writing() as session:
        identity.revoke_key(session, _key(session, seat, key_id), now=seat.now)
    return seat.see("/console/keys", done="revoked")


def _key(session: DbSession, seat: Seat, key_id: str) -> ApiKey:
    return identity.key_by_id(session, seat.organisation.id, ids.parse("key", key_id))


def _places(session: DbSession, seat: Seat, named: list[str]) -> list[UUID]:
    return [places.place_by_id(session, seat.organisation.id, ids.parse("plc", one)).id for one in named]


def _end_of(day: str) -> datetime | None:
    """The instant at which a typed last day is over. Invalid for what is no day."""
    if not day.strip():
        return None
    try:
        begins = datetime.combine(date.fromisoformat(day.strip()), time(), clock.zone("UTC"))
        return schemas.in_our_time(begins + timedelta(days=1))
    except (ValueError, OverflowError) as error:
        raise Invalid("A day is written 2027-01-31.", pointer="/last_day") from error


def _as_refusal(error: Exception) -> CampaignError:
    """What pydantic says of the boxes is a refusal like the others."""
    return error if isinstance(error, CampaignError) else Invalid("Tick the boxes again.", pointer="/scopes")


def _typed(form: Posted) -> dict[str, Any]:
    plain = {name: form[name] for name in ("name", "role", "last_day", "is_test")}
    return plain | {"scopes": form.all("scopes"), "place_ids": form.all("place_ids")}


def _form(seat: Seat, typed: dict[str, Any], *, error: CampaignError | None = None) -> HTMLResponse:
    with seat.reading() as session:
        found = places.list_places(session, seat.organisation.id, before=None, limit=PLACES_SHOWN)
    blank: dict[str, Any] = {"name": "", "role": "", "last_day": "", "is_test": "", "scopes": [], "place_ids": []}
    return seat.page(
        "console_key.html",
        error=error,
        typed=blank | typed,
        roles=[one.value for one in KEY_ROLES if rights_of_key(one, None) <= seat.member.rights],
        scopes=[one.value for one in Right if one in rights_of_key(Role.OWNER, None) and seat.may(one)],
        all_places=[(ids.show("plc", one.id), one.name) for one in found],
    )


def _list(seat: Seat, *, cursor: str | None = None, error: CampaignError | None = None) -> HTMLResponse:
    with seat.reading() as session:
        names = Names(session, seat.language)
        rows = identity.list_keys(session, seat.organisation.id, before=before(cursor), limit=KEYS_SHOWN + 1)
        shown = [_view(names, one, seat.now) for one in rows[:KEYS_SHOWN]]
    more = ids.show("cur", rows[KEYS_SHOWN - 1].id) if len(rows) > KEYS_SHOWN else ""
    return seat.page("console_keys.html", error=error, keys=shown, more=more)


def _view(names: Names, key: ApiKey, now: datetime) -> KeyView:
    return KeyView(
        id=ids.show("key", key.id),
        places=None if key.places is None else sorted(names.place(one) for one in key.places),
        is_live=key.is_live(now),
        issuer=names.member(key.issued_by_member_id),
        **key.model_dump(
            include={
                "name",
                "prefix",
                "role",
                "scopes",
                "is_test",
                "created_at",
                "expires_at",
                "last_used_at",
                "revoked_at",
            }
        ),
    )
