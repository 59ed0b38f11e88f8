"""Organisations, and the secret key their database was made with."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.identity.models import KeyFingerprint, Organisation
from campaigns.ids import NIL, uuid7_at
from campaigns.storage import insert_once


def found_organisation(session: Session, name: str, *, now: datetime) -> Organisation:
    """Create an organisation. Invalid for an empty name."""
    if not name.strip():
        raise Invalid("An organisation needs a name.", pointer="/name")
    organisation = Organisation(id=uuid7_at(now), name=name.strip()[:200], created_at=now)
    session.add(organisation)
    session.flush()
    return organisation


def organisation_by_id(session: Session, organisation_id: UUID, *, lock: bool = False) -> Organisation:
    """The organisation, locked for a change if asked; NotFound for none."""
    organisation = session.get(Organisation, organisation_id, with_for_update=lock or None, populate_existing=lock)
    if organisation is None:
        raise NotFound("There is no such organisation.")
    return organisation


def verify_hosts(session: Session, organisation: Organisation, hosts: list[str]) -> Organisation:
    """Name the hosts that codes may lead to, in their normal form; none: any. The caller looks at the codes."""
    return change_organisation(session, organisation, verified_hosts=hosts)


def change_organisation(session: Session, organisation: Organisation, **fields: Any) -> Organisation:
    """Change what an organisation says of itself, or how it works."""
    for name, value in fields.items():
        setattr(organisation, name, value)
    session.add(organisation)
    session.flush()
    return organisation


def describe(session: Session, organisation: Organisation, *, now: datetime, **fields: Any) -> Organisation:
    """Change what the organisation says of itself for the law; its pages follow at once, in every process."""
    change_organisation(session, organisation, changed_at=now, **fields)
    announce(session, "organisation", organisation.id)
    return organisation


def list_organisations(session: Session, *, limit: int) -> Sequence[Organisation]:
    """Every organisation of the installation, by name; the twins of test keys are none."""
    brands = select(Organisation).where(col(Organisation.test_of_id).is_(None))
    return session.exec(brands.order_by(Organisation.name, col(Organisation.id)).limit(limit)).all()


def recognise_secret_key(session: Session, fingerprint: str, *, now: datetime) -> None:
    """Remember the secret key's fingerprint at the first start; Conflict when another key comes later."""
    insert_once(session, KeyFingerprint, id=NIL, fingerprint=fingerprint, created_at=now)
    if session.get_one(KeyFingerprint, NIL).fingerprint != fingerprint:
        raise Conflict("PASSERELLE_SECRET_KEY is not the key this database was made with.")


def mark_of_database(session: Session) -> str:
    """Sixteen characters that name this database: the same for all its processes, another for every other one."""
    first = session.get_one(KeyFingerprint, NIL)
    return hashlib.blake2b(f"{first.fingerprint} {first.created_at.isoformat()}".encode(), digest_size=8).hexdigest()
