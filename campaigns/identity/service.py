"""Who acts: organisations, and API keys of the form `psr_live_<secret><checksum>`."""

import hashlib
import zlib
from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.announcements import announce
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.identity.models import ApiKey, KeyFingerprint, Organisation, Role
from campaigns.ids import NIL, uuid7_at
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import insert_once

KEY_PREFIX = "psr_live_"
_REFUSED = "This key is not valid. Send `Authorization: Bearer psr_live_...` with a key that `passerelle init` printed."


def found_organisation(session: Session, name: str, *, now: datetime) -> Organisation:
    """Create an organisation. Invalid for an empty name."""
    if not name.strip():
        raise Invalid("An organisation needs a name.", pointer="/name")
    organisation = Organisation(id=uuid7_at(now), name=name.strip()[:200], created_at=now)
    session.add(organisation)
    session.flush()
    return organisation


def issue_key(session: Session, organisation_id: UUID, *, role: Role, now: datetime) -> str:
    """Make a key and return it: the only moment it is known in full."""
    secret = new_secret()
    key = KEY_PREFIX + secret + checksum(secret)
    session.add(
        ApiKey(
            id=uuid7_at(now),
            organisation_id=organisation_id,
            role=role,
            prefix=key[:14],
            secret_hash=hash_secret(key),
            created_at=now,
        )
    )
    return key


def checksum(secret: str) -> str:
    """CRC-32 of the secret as eight hexadecimal digits: a mistyped key is refused without a look-up."""
    return f"{zlib.crc32(secret.encode()):08x}"


def key_by_secret(session: Session, key: str) -> ApiKey:
    """The live key behind a bearer value. Forbidden, in the same words, for anything else."""
    secret, check = key.removeprefix(KEY_PREFIX)[:-8], key[-8:]
    if not key.startswith(KEY_PREFIX) or len(key) > 100 or checksum(secret) != check:
        raise Forbidden(_REFUSED, code="unauthenticated")
    found = session.exec(
        select(ApiKey).where(ApiKey.secret_hash == hash_secret(key), col(ApiKey.revoked_at).is_(None))
    ).first()
    if found is None:
        raise Forbidden(_REFUSED, code="unauthenticated")
    return found


def organisation_by_id(session: Session, organisation_id: UUID, *, lock: bool = False) -> Organisation:
    """The organisation, locked for a change if asked; NotFound for none."""
    organisation = session.get(Organisation, organisation_id, with_for_update=lock or None, populate_existing=lock)
    if organisation is None:
        raise NotFound("There is no such organisation.")
    return organisation


def verify_hosts(session: Session, organisation: Organisation, hosts: list[str]) -> Organisation:
    """Name the hosts that codes may lead to, in their normal form; none: any. The caller looks at the codes."""
    organisation.verified_hosts = hosts
    session.add(organisation)
    session.flush()
    return organisation


def describe(session: Session, organisation: Organisation, *, now: datetime, **fields: Any) -> Organisation:
    """Change what the organisation says of itself for the law; its pages follow at once, in every process."""
    for name, value in fields.items():
        setattr(organisation, name, value)
    organisation.changed_at = now
    session.add(organisation)
    session.flush()
    announce(session, "organisation", organisation.id)
    return organisation


def list_organisations(session: Session, *, limit: int) -> Sequence[Organisation]:
    """Every organisation of the installation, by name."""
    return session.exec(select(Organisation).order_by(Organisation.name, col(Organisation.id)).limit(limit)).all()


def recognise_secret_key(session: Session, fingerprint: str, *, now: datetime) -> None:
    """Remember the secret key's fingerprint at the first start; Conflict when another key comes later."""
    insert_once(session, KeyFingerprint, id=NIL, fingerprint=fingerprint, created_at=now)
    if session.get_one(KeyFingerprint, NIL).fingerprint != fingerprint:
        raise Conflict("PASSERELLE_SECRET_KEY is not the key this database was made with.")


def mark_of_database(session: Session) -> str:
    """Sixteen characters that name this database: the same for all its processes, another for every other one."""
    first = session.get_one(KeyFingerprint, NIL)
    return hashlib.blake2b(f"{first.fingerprint} {first.created_at.isoformat()}".encode(), digest_size=8).hexdigest()
