"""Places of an organisation, and the staff links and sessions of their phones."""

import re
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import clock
from campaigns.announcements import announce
from campaigns.errors import Conflict, Forbidden, Gone, Invalid, NotFound, TooMany
from campaigns.ids import external, parse, uuid7_at
from campaigns.places import till
from campaigns.places.models import DAYS, Place, StaffLink, StaffSession, TillCodeTries
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import add_up, changed, find_own, newest, upsert

RADIUS_M = range(10, 50_001)
LINK_LIFE = timedelta(days=14)
SESSION_LIFE = timedelta(days=90)
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


def issue_staff_link(session: Session, place: Place, *, secret: str | None = None, now: datetime) -> str:
    """Make a one-time link's secret, good for 14 days. A caller that draws it first passes its own."""
    secret = secret or new_secret()
    session.add(
        StaffLink(
            id=uuid7_at(now),
            place_id=place.id,
            secret_hash=hash_secret(secret),
            created_at=now,
            expires_at=now + LINK_LIFE,
        )
    )
    return secret


def link_by_secret(session: Session, secret: str, *, now: datetime) -> StaffLink:
    """The unused link. NotFound for none, Gone for a used or expired one."""
    link = session.exec(select(StaffLink).where(StaffLink.secret_hash == hash_secret(secret))).first()
    if link is None:
        raise NotFound("This sign-in link is not one of ours. Ask for a new one.", code="unknown_link")
    if link.used_at is not None or link.expires_at <= now:
        raise Gone("This sign-in link was used already or is too old. Ask for a new one.", code="link_used")
    return link


def sign_in(session: Session, secret: str, *, label: str, now: datetime) -> tuple[StaffSession, str]:
    """Use a staff link once: the session and its secret, for the cookie. Two phones at once: one gets in."""
    link = link_by_secret(session, secret, now=now)
    used = changed(
        session,
        update(StaffLink).where(col(StaffLink.id) == link.id, col(StaffLink.used_at).is_(None)).values(used_at=now),
    )
    if not used:
        raise Gone("This sign-in link was used already. Ask for a new one.", code="link_used")
    fresh = new_secret()
    staff = StaffSession(
        id=uuid7_at(now),
        place_id=link.place_id,
        secret_hash=hash_secret(fresh),
        role=link.role,
        label=label[:80],
        created_at=now,
        expires_at=now + SESSION_LIFE,
    )
    session.add(staff)
    return staff, fresh


def staff_session_by_secret(session: Session, secret: str, *, now: datetime) -> StaffSession:
    """The live session behind a cookie; Forbidden for none, a revoked or an expired one."""
    found = session.exec(select(StaffSession).where(StaffSession.secret_hash == hash_secret(secret))).first()
    if found is None or found.revoked_at is not None or found.expires_at <= now:
        raise Forbidden("This phone is not signed in. Open a staff link of your shop.", code="not_signed_in")
    return found


def list_staff_sessions(session: Session, place_id: UUID, *, now: datetime) -> Sequence[StaffSession]:
    """Live sessions of a place, newest first."""
    return session.exec(
        select(StaffSession)
        .where(
            StaffSession.place_id == place_id,
            col(StaffSession.revoked_at).is_(None),
            StaffSession.expires_at > now,
        )
        .order_by(col(StaffSession.id).desc())
    ).all()


def revoke_staff_session(session: Session, place_id: UUID, session_id: UUID, *, now: datetime) -> None:
    """End one session of this place; NotFound for another place's."""
    staff = session.get(StaffSession, session_id)
    if staff is None or staff.place_id != place_id:
        raise NotFound("There is no such session.")
    staff.revoked_at = staff.revoked_at or now
    session.add(staff)


def reserve_till_try(session: Session, place: Place, *, now: datetime) -> None:
    """Count a wrong till code against the place's civil day, before it is compared; take it back if it was right.

    TooMany after a hundred: the other ways up stay open.
    """
    day = clock.civil_day(now, place.time_zone).isoformat()
    insert = upsert(session, TillCodeTries).values(place_id=place.id, civil_day=day, wrong=1)
    reserved = changed(
        session,
        insert.on_conflict_do_update(
            index_elements=["place_id", "civil_day"],
            set_={"wrong": col(TillCodeTries.wrong) + 1},
            where=col(TillCodeTries.wrong) < till.WRONG_PER_DAY,
        ),
    )
    if not reserved:
        raise TooMany(
            "Too many wrong codes were typed for this shop today. Share your position instead, or ask the staff.",
            code="till_code_tries",
            retry_after_s=3600,
        )


def give_back_till_try(session: Session, place: Place, *, now: datetime) -> None:
    """The code was right: it was no wrong try."""
    day = clock.civil_day(now, place.time_zone).isoformat()
    add_up(session, TillCodeTries, {"place_id": place.id, "civil_day": day}, wrong=-1)
