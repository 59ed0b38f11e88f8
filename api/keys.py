"""API keys: issued with a role, scopes, places and an end; rotated and revoked. Each is shown once, when it is made."""

from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Acting, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import identity, ids, places
from campaigns.identity import ApiKey, Right, Role

router = APIRouter(prefix="/v1/api-keys", tags=["keys"])


class KeyCreate(schemas.Request):
    """What a key may do, where, and until when."""

    name: schemas.Name
    role: Literal["owner", "marketer", "moderator", "analyst", "staff"] = Field(
        description="`staff` keys are bound to places"
    )
    scopes: list[schemas.Name] | None = Field(
        None, max_length=40, description="rights of the role to keep to, such as `tokens.read`; none: all of them"
    )
    place_ids: list[schemas.Name] | None = Field(
        None, min_length=1, max_length=200, description="places to keep to; routes that know no places are closed then"
    )
    expires_at: schemas.Instant | None = None
    is_test: bool = Field(False, description="a `psr_test_` key: what it makes lives apart and enters no figure")


class KeyRead(BaseModel):
    """A key as lists show it: never the key itself."""

    id: str
    name: str
    prefix: str
    role: Role
    scopes: list[str] | None
    place_ids: list[str] | None
    is_test: bool
    created_at: datetime
    expires_at: datetime | None
    issued_by_member_id: str | None
    issued_by_key_id: str | None
    rotated_from_id: str | None
    last_used_at: datetime | None
    revoked_at: datetime | None


class KeyMade(KeyRead):
    """A new key. `key` is shown only now: keep it."""

    key: str


def show(key: ApiKey) -> KeyRead:
    stored = key.model_dump(include=_PLAIN)
    return KeyRead(
        id=ids.show("key", key.id),
        place_ids=None if key.places is None else sorted(ids.show("plc", one) for one in key.places),
        issued_by_member_id=ids.show("mbr", key.issued_by_member_id) if key.issued_by_member_id else None,
        issued_by_key_id=ids.show("key", key.issued_by_key_id) if key.issued_by_key_id else None,
        rotated_from_id=ids.show("key", key.rotated_from_id) if key.rotated_from_id else None,
        **stored,
    )


_PLAIN = {"name", "prefix", "role", "scopes", "is_test", "created_at", "expires_at", "last_used_at", "revoked_at"}


def show_made(made: tuple[ApiKey, str]) -> KeyMade:
    key, whole = made
    return KeyMade(key=whole, **show(key).model_dump())


@router.post("", dependencies=[may(Right.KEYS_WRITE)], status_code=201)
def issue_key(body: KeyCreate, actor: Actor, session: Session, now: Now) -> KeyMade:
    """Issue a key. 403 for more rights than your own; 422 for a scope its role does not have or an end in the past.

    A key that ends issues keys that end no later: 422 without such an `expires_at`.

    A `psr_test_` key works in a twin of the organisation, empty at first: places, campaigns, scans and figures of test
    keys are seen by test keys alone.
    """
    where = [places.place_by_name(session, actor.organisation_id, one).id for one in body.place_ids or ()]
    return show_made(
        identity.issue_key(
            session,
            actor.organisation_id,
            role=Role(body.role),
            name=body.name,
            scopes=body.scopes,
            place_ids=where or None,
            expires_at=body.expires_at,
            is_test=body.is_test or actor.key.is_test,
            issued_by=actor.key,
            most=actor.rights,
            now=now,
        )
    )


@router.get("", dependencies=[may(Right.KEYS_READ)])
def list_keys(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Keys of the organisation, newest first, revoked ones and test keys too."""
    rows = identity.list_keys(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show, lambda one: one.id)


@router.get("/{key_id}", dependencies=[may(Right.KEYS_READ)], response_model=KeyRead)
def read_key(key_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One key."""
    return tags.read(show(_key(session, actor, key_id)))


@router.post("/{key_id}/rotation", dependencies=[may(Right.KEYS_WRITE)], status_code=201)
def rotate_key(key_id: str, actor: Actor, session: Session, now: Now) -> KeyMade:
    """Make a key's successor, with the same rights and end. Both live until you revoke the old one.

    409 while two of the line live already, and for a key that lives no more; 403 for one that outlasts your own.
    """
    key = _key(session, actor, key_id)
    return show_made(identity.rotate_key(session, key, most=actor.rights, by=actor.key, now=now))


@router.post("/{key_id}/revocation", dependencies=[may(Right.KEYS_WRITE)])
def revoke_key(key_id: str, actor: Actor, session: Session, now: Now) -> KeyRead:
    """End a key, from the next request on; your own too. Twice is once."""
    return show(identity.revoke_key(session, _key(session, actor, key_id), now=now))


def _key(session: DbSession, actor: Acting, key_id: str) -> ApiKey:
    return identity.key_by_id(session, actor.organisation_id, ids.parse("key", key_id))
