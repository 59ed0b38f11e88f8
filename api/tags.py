"""The tags that tokens stand on: which one carries a token, and the list of what to write for encoding services."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlmodel import Session as DbSession

from api.dependencies import Acting, Core, ReadSession, Services
from api.etags import Tagged
from api.exports import csv_file, ndjson_file
from api.policies import Actor, may
from campaigns import ids, places, planning, tokens
from campaigns.identity import Right
from campaigns.tokens import Kind, PlacedTag
from campaigns.tokens.encoding import encoding_of, mirror_of
from campaigns.tokens.writings import PAGE

router = APIRouter(prefix="/v1", tags=["tokens"])

_WRITTEN = ("code", "label", "place", "kind", "state", "uid", "url", "ndef_hex", "length", "fits")
_SIGNED = ("mode", "mac_input")
_SIGNED_AT = ("picc_data_offset", "sdm_mac_input_offset", "sdm_mac_offset", "sdm_enc_offset", "sdm_enc_length")
_MIRRORED = ("mirror_url", "mirror_ndef_hex", "mirror_fits", "mirror_page", "mirror_byte")
COLUMNS = _WRITTEN + _SIGNED + _SIGNED_AT + _MIRRORED
PlaceAsked = Annotated[str | None, Query(max_length=90, description="only this place's: `plc_...` or `ext_...`")]


class TagRead(BaseModel):
    """What a token's tag is to carry, and the tag it was written on: `uid` is null while that is not known.

    `place_id` is where it was written; `locked` that it can never be written again.
    """

    uid: str | None
    bound_at: datetime | None
    place_id: str | None
    locked: bool
    url: str
    message_hex: str
    fits: list[str]


@router.get("/tokens/{token_id}/tag", dependencies=[may(Right.TOKENS_READ)], response_model=TagRead)
def read_tag(token_id: str, actor: Actor, session: ReadSession, core: Core, tags: Tagged) -> Any:
    """The NFC tag of a token: its UID when a shop's phone wrote it or it said so itself, and the bytes it carries."""
    token = tokens.token_by_id(session, actor.organisation_id, ids.parse("tok", token_id))
    sun_tag, held = tokens.find_tag(session, token.id), tokens.find_binding(session, token.id)
    written = encoding_of(token.code, core.settings.base_url, sun_tag)
    return tags.read(
        TagRead(
            uid=PlacedTag(token, sun_tag, held).uid,
            bound_at=held.written_at if held else None,
            place_id=ids.show("plc", held.place_id) if held else None,
            locked=held is not None and held.locked_at is not None,
            url=written.url,
            message_hex=written.message.hex(),
            fits=written.fits,
        )
    )


@router.get("/campaigns/{campaign_id}/tags.csv", dependencies=[may(Right.TOKENS_READ)], response_class=Response)
def export_tags_csv(
    campaign_id: str, actor: Actor, session: ReadSession, core: Core, place_id: PlaceAsked = None
) -> Response:
    """What an encoding service writes: a line an NFC token, oldest first, withdrawn ones left out. Never a key.

    `url` and its NDEF message, in hexadecimal; on a `sun` line with zeros where the NTAG 424 DNA writes, and the
    offsets that `ChangeFileSettings` takes (NXP NT4H2421Gx), in bytes from the start of the file. On a plain line
    `mirror_...` are the same for an NTAG213, 215 or 216 that mirrors UID and counter (MIRROR_CONF 11b): `mirror_page`
    and `mirror_byte` hold when the NDEF TLV begins at page 4. Cells that start a formula begin with an apostrophe.
    """
    campaign, place = _asked(session, actor, campaign_id, place_id)
    return csv_file(f"tags-{ids.show('cmp', campaign)}", COLUMNS, _pages(core, campaign, place))


@router.get("/campaigns/{campaign_id}/tags.ndjson", dependencies=[may(Right.TOKENS_READ)], response_class=Response)
def export_tags_ndjson(
    campaign_id: str, actor: Actor, session: ReadSession, core: Core, place_id: PlaceAsked = None
) -> Response:
    """The same, one JSON object a line, every value a text."""
    campaign, place = _asked(session, actor, campaign_id, place_id)
    return ndjson_file(f"tags-{ids.show('cmp', campaign)}", _pages(core, campaign, place))


def _asked(session: DbSession, actor: Acting, campaign_id: str, place_id: str | None) -> tuple[UUID, UUID | None]:
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    place = places.place_by_name(session, actor.organisation_id, place_id) if place_id is not None else None
    return campaign.id, place.id if place else None


def _pages(core: Services, campaign_id: UUID, place_id: UUID | None) -> Iterator[Sequence[Mapping[str, str]]]:
    """The tags a page at a time, each read in a session of its own: a slow client holds no transaction open.

    The ids come first, 100,000 in a few megabytes: to look for each next page among all would take the square of that.
    """
    with core.database.snapshot() as session:
        asked = tokens.tags_of_campaign(session, campaign_id, place_id=place_id)
    for at in range(0, len(asked), PAGE):
        with core.database.snapshot() as session:
            found = tokens.tags_by_ids(session, asked[at : at + PAGE])
        yield [_line(one, core.settings.base_url) for one in found]


def _line(one: PlacedTag, base_url: str) -> dict[str, str]:
    written = encoding_of(one.token.code, base_url, one.sun)
    line = dict.fromkeys(COLUMNS, "") | {
        "code": one.token.code,
        "label": one.token.label or "",
        "place": one.place or "",
        "kind": one.token.kind,
        "state": one.token.state,
        "uid": one.uid or "",
        "url": written.url,
        "ndef_hex": written.message.hex().upper(),
        "length": str(len(written.message)),
        "fits": ", ".join(written.fits),
    }
    if one.sun is not None and written.offsets is not None:
        at = ("" if offset is None else str(offset) for offset in written.offsets)
        return line | {"mode": one.sun.mode, "mac_input": one.sun.mac_input} | dict(zip(_SIGNED_AT, at, strict=True))
    return line | (_mirrored(written.url) if one.token.kind == Kind.STATIC else {})


def _mirrored(url: str) -> dict[str, str]:
    mirror = mirror_of(url)
    values = (
        mirror.encoding.url,
        mirror.encoding.message.hex().upper(),
        ", ".join(mirror.encoding.fits),
        str(mirror.page),
        str(mirror.byte),
    )
    return dict(zip(_MIRRORED, values, strict=True))
