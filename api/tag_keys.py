"""Key sets of NFC tags: written once, named by id, never read back."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, tokens
from campaigns.identity import Right
from campaigns.tokens import TagKeySet, TagPlan, sun

router = APIRouter(prefix="/v1/tag-key-sets", tags=["tokens"])


class TagKeySetCreate(schemas.Request):
    """The keys that a batch of NTAG 424 DNA tags shares (NXP AN12196)."""

    label: schemas.Text = Field(min_length=1, max_length=200)
    meta_read_key: schemas.TagKey = Field(repr=False)
    file_read_key: schemas.TagKey = Field(repr=False, description="with a diversifier the master of the tags' keys")
    mode: sun.Mode = Field(sun.Mode.AES, description="the primitives the tags were set to")
    mac_input: sun.MacInput = sun.MacInput.EMPTY
    diversifier: schemas.Diversifier | None = None


class TagKeySetRead(BaseModel):
    """A key set without its keys."""

    id: str
    label: str
    mode: sun.Mode
    mac_input: sun.MacInput
    diversifier: str | None
    created_at: datetime


def show(key_set: TagKeySet) -> TagKeySetRead:
    fields = key_set.model_dump(include={"label", "mode", "mac_input", "diversifier", "created_at"})
    return TagKeySetRead(id=ids.show("tks", key_set.id), **fields)


@router.post("", dependencies=[may(Right.TAG_KEYS_WRITE)], status_code=201)
def keep_key_set(body: TagKeySetCreate, actor: Actor, session: Session, core: Core, now: Now) -> TagKeySetRead:
    """Keep the keys of a batch of tags, sealed: nothing shows them again.

    A token then says `sun: {"key_set_id": ...}` instead of its keys. With a `diversifier` each tag has a file read key
    of its own, made of the master, its UID and the diversifier (NXP AN10922); without one, whoever reads one tag's key
    has those of all.
    """
    keys = bytes.fromhex(body.meta_read_key) + bytes.fromhex(body.file_read_key)
    diversifier = bytes.fromhex(body.diversifier) if body.diversifier else None
    plan = TagPlan(core.keyring.seal_tag_keys(keys), body.mode, body.mac_input, diversifier=diversifier)
    return show(tokens.keep_key_set(session, actor.organisation_id, plan, label=body.label, now=now))


@router.get("", dependencies=[may(Right.TOKENS_READ)])
def list_key_sets(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """The key sets, newest first, without their keys."""
    rows = tokens.list_key_sets(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show, lambda one: one.id)
