"""Places of an organisation, and the tries at their till codes."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import clock, prepared
from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound, TooMany
from campaigns.ids import external, parse, uuid7_at
from campaigns.places import till
from campaigns.places.models import DAYS, Place, TillCodeTries
from campaigns.storage import add_up, add_up_below, columns_of, find_own, newest

RADIUS_M = range(10, 50_001)
_HOUR = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]\Z|24:00\Z")

Geocode = Callable[[str], tuple[float, float] | None]


def locate(address: str | None, lat: float | None, lon: float | None, geocode: Geocode | None) -> tuple[float, float]:
    """The position of a place: what was given, else its geocoded address. Invalid says what is missing."""
    if lat is not None and lon is not None:
        return lat, lon
    if lat is not None or lon is not None:
        raise Invalid("Give both lat and lon, or neither and an address.", pointer="/lat")
    if not address:
        raise Invalid("A place needs a position (lat, lon) or an address.", pointer="/lat")
    if geocode is None:
        raise Invalid(
            "This place has only an address and no geocoder is configured: give lat and lon, "
            "or set PASSERELLE_GEOCODER.",
            pointer="/address",
        )
    found = geocode(address)
    if found is None:
        raise Invalid("The geocoder does not know this address: give lat and lon.", pointer="/address")
    return found


def check_place(*, lat: float, lon: float, radius_m: int, time_zone: str, opening_hours: Any) -> None:
    """Invalid when a field is out of its range; it names the field."""
    if not -90 <= lat <= 90:
        raise Invalid("lat is from -90 to 90 degrees.", pointer="/lat")
    if not -180 <= lon <= 180:
        raise Invalid("lon is from -180 to 180 degrees.", pointer="/lon")
    if radius_m not in RADIUS_M:
        raise Invalid("radius_m is from 10 to 50,000 metres.", pointer="/radius_m")
    clock.zone(time_zone)
    for day, spans in (opening_hours or {}).items():
        if day not in DAYS:
            raise Invalid(f"opening_hours has the days {', '.join(DAYS)}.", pointer="/opening_hours")
        if any(len(span) != 2 or not all(_HOUR.match(hour) for hour in span) for span in spans):
            raise Invalid('Hours are pairs such as ["09:00", "19:30"].', pointer=f"/opening_hours/{day}")


def open_place(session: Session, organisation_id: UUID, *, now: datetime, **fields: Any) -> Place:
    """Create a place. Invalid for a field out of range, Conflict for an `external_id` already used."""
    check_place(**{key: fields.get(key) for key in ("lat", "lon", "radius_m", "time_zone", "opening_hours")})  # type: ignore[arg-type]  # checked there
    external_id = fields.get("external_id")
    if external_id and find_place(session, organisation_id, external_id=external_id):
        raise Conflict(f"A place with external_id {external_id!r} is there already.", pointer="/external_id")
    place = Place(id=uuid7_at(now), organisation_id=organisation_id, created_at=now, changed_at=now, **fields)
    session.add(place)
    session.flush()
    return place


def change_place(session: Session, place: Place, *, now: datetime, **fields: Any) -> Place:
    """Change fields of a place; the scan path hears of it after the commit."""
    for key, value in fields.items():
        setattr(place, key, value)
    check_place(
        lat=place.lat or 0.0,
        lon=place.lon or 0.0,
        radius_m=place.radius_m,
        time_zone=place.time_zone,
        opening_hours=place.opening_hours,
    )
    place.changed_at = now
    session.add(place)
    announce(session, "place", place.id)
    return place


def find_place(session: Session, organisation_id: UUID, *, external_id: str) -> Place | None:
    return session.exec(
        select(Place).where(Place.organisation_id == organisation_id, Place.external_id == external_id)
    ).first()


def place_by_id(session: Session, organisation_id: UUID, place_id: UUID) -> Place:
    """The organisation's place; NotFound for another's."""
    place = find_own(session, Place, organisation_id, place_id)
    if place is None:
        raise NotFound("There is no such place.")
    return place


def place_by_name(session: Session, organisation_id: UUID, name: str) -> Place:
    """The place a path or body names: `plc_...` or `ext_<external_id>`. NotFound else."""
    theirs = external(name)
    found = find_place(session, organisation_id, external_id=theirs) if theirs else None
    return found if found is not None else place_by_id(session, organisation_id, parse("plc", name))


def place_as_it_stands(session: Session, organisation_id: UUID, name: str) -> Place:
    """The same read anew, to look at: what every use of a coupon asks for."""
    theirs, owner = external(name), {"organisation": organisation_id}
    found = prepared.load(session, _BY_EXTERNAL_ID, Place, **owner, external_id=theirs) if theirs else None
    found = found or prepared.load(session, _BY_ID, Place, **owner, place=parse("plc", name))
    if found is None:
        raise NotFound("There is no such place.")
    return found


_PLACES = columns_of(Place)
_OWN = columns(*_PLACES).where(_PLACES.organisation_id == bindparam("organisation"))
_BY_ID = _OWN.where(_PLACES.id == bindparam("place"))
_BY_EXTERNAL_ID = _OWN.where(_PLACES.external_id == bindparam("external_id"))


def list_places(
    session: Session,
    organisation_id: UUID,
    *,
    among: frozenset[UUID] | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[Place]:
    """Newest first, older than `before`; of certain places alone if asked."""
    query = select(Place).where(Place.organisation_id == organisation_id)
    if among is not None:
        query = query.where(col(Place.id).in_(among))
    return newest(session, query, Place, before=before, limit=limit)


def reserve_till_try(session: Session, place: Place, *, now: datetime) -> None:
    """Count a wrong till code against the place's civil day, before it is compared; take it back if it was right.

    TooMany after a hundred: the other ways up stay open.
    """
    day = clock.civil_day(now, place.time_zone).isoformat()
    of_today = {"place_id": place.id, "civil_day": day}
    if not add_up_below(session, TillCodeTries, of_today, till.WRONG_PER_DAY, wrong=1):
        raise TooMany(
            "Too many wrong codes were typed for this shop today. Share your position instead, or ask the staff.",
            code="till_code_tries",
            retry_after_s=3600,
        )


def give_back_till_try(session: Session, place: Place, *, now: datetime) -> None:
    """The code was right: it was no wrong try."""
    day = clock.civil_day(now, place.time_zone).isoformat()
    add_up(session, TillCodeTries, {"place_id": place.id, "civil_day": day}, wrong=-1)
