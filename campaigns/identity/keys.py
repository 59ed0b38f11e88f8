"""API keys of the form `psr_live_<secret><checksum>`, or `psr_test_...` for data that live apart."""

import zlib
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import audit, prepared
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.identity.models import ApiKey, Organisation
from campaigns.identity.rights import KEY_ROLES, Right, Role, checked_scopes, rights_of_key
from campaigns.ids import uuid7_at
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import changed, columns_of, insert_once, newest

KEY_PREFIX = "psr_live_"
TEST_PREFIX = "psr_test_"
USE_NOTED = timedelta(minutes=1)  # `last_used_at` is as exact as this: a write a request would cost every scan
MOST_KEYS = 200  # live ones of an organisation
_TOO_LONG = "A key that ends makes no key that outlasts it."
_TOO_MUCH = "A key cannot be given more rights than you have."
_REFUSED = "This key is not valid. Send `Authorization: Bearer psr_live_...` with a key that is live."


def issue_key(
    session: Session,
    organisation_id: UUID,
    *,
    role: Role,
    now: datetime,
    name: str = "",
    scopes: Iterable[str] | None = None,
    place_ids: Iterable[UUID] | None = None,
    expires_at: datetime | None = None,
    is_test: bool = False,
    issued_by: ApiKey | None = None,
    member_id: UUID | None = None,
    most: frozenset[Right] | None = None,
) -> tuple[ApiKey, str]:
    """Make a key: the row, and the key itself, which is known in full only now.

    Invalid for a role keys do not have, a scope the role does not have, a `staff` key without places, an end that is
    past or later than that of the key that issues it. Forbidden for more rights than `most`, those of who issues it. A
    test key works in the organisation's twin.
    """
    if role not in KEY_ROLES:
        raise Invalid(f"Keys have the roles {', '.join(KEY_ROLES)}; {role} is for members.", pointer="/role")
    wanted = None if scopes is None else checked_scopes(role, scopes)
    if most is not None and not rights_of_key(role, wanted) <= most:
        raise Forbidden(_TOO_MUCH, code="right_missing")
    if role is Role.STAFF and not place_ids:
        raise Invalid("A staff key is bound to places: name them.", pointer="/place_ids")
    if expires_at is not None and expires_at <= now:
        raise Invalid("A key ends in the future.", pointer="/expires_at")
    if _outlasts(expires_at, issued_by):
        raise Invalid(f"{_TOO_LONG} Name an `expires_at` as early as that.", pointer="/expires_at")
    fields: dict[str, Any] = {
        "name": name,
        "role": role.value,
        "scopes": wanted,
        "place_ids": None if place_ids is None else sorted({one.hex for one in place_ids}),
        "expires_at": expires_at,
        "is_test": is_test,
        **_issued(issued_by, member_id),
    }
    where = twin_of(session, organisation_id, now=now).id if is_test else organisation_id
    return _make(session, where, fields, now=now)


def rotate_key(
    session: Session,
    key: ApiKey,
    *,
    most: frozenset[Right],
    by: ApiKey | None = None,
    member_id: UUID | None = None,
    now: datetime,
) -> tuple[ApiKey, str]:
    """Make the successor of a key, with the same rights; both live until the old one is revoked.

    It is of the key `by` or the member who asks, for they are shown it: what it proposes, they do not approve.
    Conflict while two of the line live already, or for a key that lives no more; Forbidden for one with more rights
    than `most`, those of who asks, or with a later end than `by`.
    """
    if not key.rights <= most:
        raise Forbidden(_TOO_MUCH, code="right_missing")
    if _outlasts(key.expires_at, by):
        raise Forbidden(_TOO_LONG, code="right_missing")
    before = session.get(ApiKey, key.rotated_from_id, with_for_update=True) if key.rotated_from_id else None
    session.refresh(key, with_for_update=True)
    after = session.exec(select(ApiKey).where(ApiKey.rotated_from_id == key.id)).first()
    if not key.is_live(now):
        raise Conflict("This key lives no more: issue a new one.", code="wrong_state")
    if after is not None or (before is not None and before.is_live(now)):
        raise Conflict("Two keys of this line live already: revoke the old one first.", code="rotation_running")
    kept = ("name", "role", "scopes", "place_ids", "expires_at", "is_test")
    fields = {name: getattr(key, name) for name in kept} | _issued(by, member_id) | {"rotated_from_id": key.id}
    return _make(session, key.organisation_id, fields, now=now)


def revoke_key(session: Session, key: ApiKey, *, now: datetime) -> ApiKey:
    """End a key, from the next request on. Twice is once; the first time stands."""
    session.refresh(key, with_for_update=True)
    if key.revoked_at is None:
        key.revoked_at = now
        session.add(key)
        session.flush()
        _tell_owner(session, key, "api_key.changed", {"revoked_at": [None, now]}, now=now)
    return key


def key_by_secret(session: Session, key: str, *, now: datetime) -> ApiKey:
    """The live key behind a bearer value, to look at. Forbidden, in the same words, for anything else.

    One whose checksum does not fit is refused without a look-up.
    """
    if not _well_formed(key):
        raise Forbidden(_REFUSED, code="unauthenticated")
    found = prepared.load(session, _BY_SECRET, ApiKey, secret=hash_secret(key))
    if found is None or not found.is_live(now):
        raise Forbidden(_REFUSED, code="unauthenticated")
    return found


_BY_SECRET = columns(*columns_of(ApiKey)).where(columns_of(ApiKey).secret_hash == bindparam("secret"))


def is_use_due(key: ApiKey, now: datetime) -> bool:
    """Whether the use of a key is to be noted: it was not for a minute."""
    return key.last_used_at is None or now - key.last_used_at >= USE_NOTED


def note_use(session: Session, key_id: UUID, *, now: datetime) -> None:
    """Note that a key was used; of many requests at once one writes."""
    is_due = or_(col(ApiKey.last_used_at).is_(None), col(ApiKey.last_used_at) <= now - USE_NOTED)
    changed(session, update(ApiKey).where(col(ApiKey.id) == key_id, is_due).values(last_used_at=now))


def key_by_id(session: Session, organisation_id: UUID, key_id: UUID) -> ApiKey:
    """A key of the organisation or of its twin; NotFound for any other."""
    of_family = col(ApiKey.organisation_id).in_(_family(session, organisation_id))
    found = session.exec(select(ApiKey).where(ApiKey.id == key_id, of_family)).first()
    if found is None:
        raise NotFound("There is no such key.")
    return found


def list_keys(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[ApiKey]:
    """Keys of the organisation, its test keys too, newest first."""
    query = select(ApiKey).where(col(ApiKey.organisation_id).in_(_family(session, organisation_id)))
    return newest(session, query, ApiKey, before=before, limit=limit)


def twin_of(session: Session, organisation_id: UUID, *, now: datetime) -> Organisation:
    """Where the data of an organisation's test keys live: an organisation of their own, made at the first of them."""
    organisation = session.get_one(Organisation, organisation_id)
    if organisation.test_of_id is not None:  # a test key makes further ones beside it
        return organisation
    fields = {"name": f"{organisation.name[:190]} (test)", "test_of_id": organisation.id, "created_at": now}
    insert_once(session, Organisation, id=uuid7_at(now), **fields)
    return session.exec(select(Organisation).where(Organisation.test_of_id == organisation_id)).one()


def checksum(secret: str, *, is_test: bool = False) -> str:
    """CRC-32 of the secret as eight hexadecimal digits: a mistyped key is refused without a look-up.

    That of a test key is another one: no prefix can be exchanged for the other.
    """
    return f"{zlib.crc32(secret.encode(), int(is_test)):08x}"


def _well_formed(key: str) -> bool:
    is_test = key.startswith(TEST_PREFIX)
    secret = key.removeprefix(TEST_PREFIX if is_test else KEY_PREFIX)
    return secret != key and len(key) <= 100 and checksum(secret[:-8], is_test=is_test) == key[-8:]


def _make(session: Session, organisation_id: UUID, fields: dict[str, Any], *, now: datetime) -> tuple[ApiKey, str]:
    session.get(Organisation, organisation_id, with_for_update=True, populate_existing=True)  # counted one by one
    live = select(ApiKey.id).where(ApiKey.organisation_id == organisation_id, col(ApiKey.revoked_at).is_(None))
    if len(session.exec(live.limit(MOST_KEYS)).all()) >= MOST_KEYS:
        raise Conflict(f"An organisation has at most {MOST_KEYS} live keys: revoke some first.", code="too_many_keys")
    secret = new_secret()
    whole = (TEST_PREFIX if fields["is_test"] else KEY_PREFIX) + secret + checksum(secret, is_test=fields["is_test"])
    key = ApiKey(
        id=uuid7_at(now),
        organisation_id=organisation_id,
        prefix=whole[:14],
        secret_hash=hash_secret(whole),
        created_at=now,
        **fields,
    )
    session.add(key)
    session.flush()
    given = {name: [value] for name, value in fields.items() if value is not None}
    _tell_owner(session, key, "api_key.created", given, now=now)
    return key, whole


def _issued(by: ApiKey | None, member_id: UUID | None) -> dict[str, Any]:
    """Who was shown a key: a member, or the key of one."""
    return {
        "issued_by_key_id": by.id if by else None,
        "issued_by_member_id": member_id or (by.issued_by_member_id if by else None),
    }


def _outlasts(expires_at: datetime | None, by: ApiKey | None) -> bool:
    """Whether a key would live on when the one that makes it has ended."""
    return by is not None and by.expires_at is not None and (expires_at is None or expires_at > by.expires_at)


def _tell_owner(session: Session, key: ApiKey, action: str, changes: dict[str, list[Any]], *, now: datetime) -> None:
    """Note what becomes of a test key in the log of the organisation itself: its owners do not see the twin's."""
    owner = session.get_one(Organisation, key.organisation_id).test_of_id
    if owner is not None:
        audit.note(session, action, key.id, organisation_id=owner, changes=changes, now=now)


def _family(session: Session, organisation_id: UUID) -> list[UUID]:
    twins = session.exec(select(Organisation.id).where(Organisation.test_of_id == organisation_id)).all()
    return [organisation_id, *twins]
