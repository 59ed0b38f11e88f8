"""Tokens, their QR images and their NDEF messages."""

import base64
import binascii
from datetime import datetime
from typing import Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, Field, StrictBool
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Services, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from api.qr_options import PlainQr
from campaigns import ids, places, planning, tokens
from campaigns.errors import Invalid
from campaigns.identity import Right
from campaigns.sealing import Keyring
from campaigns.tokens import Kind, Medium, TagPlan, Token, TokenChange, TokenState, codes, qr, sun
from campaigns.tokens.destinations import Rules, checked
from campaigns.tokens.encoding import encoding_of
from campaigns.tokens.logos import Logo, read_logo

router = APIRouter(prefix="/v1", tags=["tokens"])

_MEDIA_TYPES: Final = {qr.Format.SVG: "image/svg+xml", qr.Format.PNG: "image/png", qr.Format.PDF: "application/pdf"}
_IMAGES: Final[dict[str, Any]] = {name: {} for name in _MEDIA_TYPES.values()}
_LOGO_FILES: Final[dict[str, Any]] = {name: {} for name in ("image/png", "image/jpeg", "image/webp")}


class SunCreate(schemas.Request):
    """An NTAG 424 DNA tag whose taps are signed and counted (NXP AN12196): with its keys, or of a key set."""

    key_set_id: str | None = Field(None, max_length=90, description="`tks_...`: keys and mode are those of the set")
    meta_read_key: schemas.TagKey | None = Field(None, repr=False, json_schema_extra=schemas.WRITE_ONLY)
    file_read_key: schemas.TagKey | None = Field(None, repr=False, json_schema_extra=schemas.WRITE_ONLY)
    mode: sun.Mode = Field(sun.Mode.AES, description="the primitives the tag was set to")
    mac_input: sun.MacInput = Field(
        sun.MacInput.EMPTY, description="what the tag signs besides UID and counter; file: the text `{f}&c=`"
    )
    uid: str | None = Field(
        None,
        pattern="^[0-9A-Fa-f]{14}$",
        description="the tag; without it the first that taps is. Give it where tags share keys: else a tap of one "
        "of them may open the code of another",
    )


class TokenCreate(schemas.Request):
    """A token to print, write or send."""

    medium: Medium
    kind: Literal[Kind.STATIC, Kind.SUN, Kind.LIVE] = Field(
        Kind.STATIC,
        description="`live`: shown on the screen of its place by the staff page, another code every 30 seconds (medium "
        "qr, place_id needed); serials come in batches: `token-batches`",
    )
    sun: SunCreate | None = Field(None, description="of a `sun` token: its tag")
    place_id: str | None = Field(None, max_length=90)
    label: schemas.Text | None = Field(None, max_length=200)
    channel: schemas.Text | None = Field(None, max_length=80)
    destination: str | None = Field(None, max_length=2000)
    rules: Rules | None = Field(None, description="the first that fits decides; none: `destination`, or the campaign's")
    utm: schemas.UtmTemplates | None = None
    pass_scan_id: StrictBool = Field(False, description="the destination gets `passerelle_scan`, to confirm it")
    continue_page: StrictBool = Field(False, description="a page names the destination first; its button confirms")
    expires_at: schemas.Instant | None = None
    external_id: schemas.ExternalId | None = None


class TokenPatch(schemas.Request):
    """JSON merge patch: takes effect at the next scan of the printed code."""

    label: schemas.Text | None = Field(None, max_length=200)
    channel: schemas.Text | None = Field(None, max_length=80)
    destination: str | None = Field(None, max_length=2000)
    place_id: str | None = Field(None, max_length=90)
    rules: Rules | None = None
    utm: schemas.UtmTemplates | None = None
    pass_scan_id: Annotated[StrictBool | None, schemas.Kept] = None
    continue_page: Annotated[StrictBool | None, schemas.Kept] = None
    expires_at: schemas.Instant | None = None


class TokenReplacement(schemas.Request):
    """What is different about the new code; the rest is as with the old one."""

    place_id: str | None = Field(None, max_length=90)
    label: schemas.Text | None = Field(None, max_length=200)
    channel: schemas.Text | None = Field(None, max_length=80)
    destination: str | None = Field(None, max_length=2000)
    expires_at: schemas.Instant | None = Field(None, description="the old code's expiry is not passed on")
    external_id: schemas.ExternalId | None = None
    sun: SunCreate | None = Field(None, description="of a `sun` token: its new tag")


class TokenRead(BaseModel):
    """A token in the state a visitor meets now. `url` is what the code carries, `code_shown` is printed beneath."""

    id: str
    external_id: str | None
    code: str
    code_shown: str
    url: str
    medium: Medium
    kind: Kind
    state: TokenState
    campaign_id: str
    place_id: str | None
    label: str | None
    channel: str | None
    destination: str | None
    rules: list[dict[str, Any]] | None
    utm: dict[str, str] | None
    pass_scan_id: bool
    continue_page: bool
    expires_at: datetime | None
    replaced_by_id: str | None
    batch_id: str | None
    created_at: datetime


class TokenChangeRead(BaseModel):
    """One edit of a code: each field that changed, with its value before and after."""

    id: str
    changed_at: datetime
    changed_by: str | None
    changes: dict[str, dict[str, Any]]


class QrAsked(PlainQr):
    """How a code is to look. What a dashboard adds to an image's address to fetch it anew is ignored."""

    style: qr.Style = Field(qr.Style.SQUARE, description="the shape of the modules")
    finder: qr.Finder | None = Field(None, description="the shape of the three corners; else what suits the style")
    frame: schemas.Text = Field("", description="a call to action of up to 30 characters, in a frame round the code")
    caption: schemas.Text | None = Field(
        None,
        description="a line beneath, up to 40 characters; `{code}`, which a frame has by itself, is the short code",
    )
    logo: str | None = Field(None, description="a PNG, JPEG or WebP as a base64 `data:` URL (RFC 2397)")

    def look(self, token: Token, logo: Logo | None) -> qr.Look:
        """The same for the domain; `{code}` becomes the token's code as people read it."""
        caption = self.caption if self.caption is not None else "{code}" if self.frame else ""
        return qr.Look(
            error_correction=self.ec,
            caption=caption.replace("{code}", codes.grouped(token.code)),
            logo=logo,
            **self.model_dump(include={"quiet_zone", "dark", "light", "style", "finder", "frame"}),
        )


_PREFIXES: Final = {"place_id": "plc", "replaced_by_id": "tok"}
_SHOWN: Final = frozenset(
    ("external_id", "medium", "kind", "label", "channel", "destination", "expires_at", "created_at")
)


def show(token: Token, base_url: str, now: datetime) -> TokenRead:
    kept = token.model_dump(include={*_SHOWN, *tokens.LEADING})
    return TokenRead(
        id=ids.show("tok", token.id),
        code=token.code,
        code_shown=codes.grouped(token.code),
        url=token.url(base_url),
        campaign_id=ids.show("cmp", token.campaign_id),
        place_id=ids.show("plc", token.place_id) if token.place_id else None,
        state=token.state_at(now),
        replaced_by_id=ids.show("tok", token.replaced_by_id) if token.replaced_by_id else None,
        batch_id=ids.show("tbt", token.batch_id) if token.batch_id else None,
        **kept,
    )


@router.post("/campaigns/{campaign_id}/tokens", dependencies=[may(Right.TOKENS_WRITE)], status_code=201)
def issue_token(campaign_id: str, body: TokenCreate, actor: Actor, session: Session, core: Core, now: Now) -> TokenRead:
    """Issue a token with a fresh code of ten characters. Many at once: `POST /v1/campaigns/{id}/token-batches`.

    A `sun` token is an NTAG 424 DNA tag with the keys given here, which are sealed at rest and never shown.
    A `live` token is a code on the screen of its place that changes every 30 seconds: the staff page shows it at
    `/staff/screen`, and a scan of it in time, `/t/{code}?k={window code}`, has presence 2.
    """
    limits = tokens.limits_of(session, actor.organisation_id, core.settings.base_url)
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    place = _place(session, actor, body.place_id)
    fields = checked(body.model_dump(exclude={"place_id", "sun"}), limits)
    onward = {name: fields.pop(name) for name in (*tokens.LEADING, "expires_at")}
    tag = _tag(session, actor, body.sun, core.keyring) if body.sun else None
    issued = tokens.issue(session, campaign, place=place, tag=tag, onward=onward, now=now, **fields)
    return show(issued, core.settings.base_url, now)


@router.get("/campaigns/{campaign_id}/tokens", dependencies=[may(Right.TOKENS_READ)])
def list_tokens(
    campaign_id: str, actor: Actor, session: ReadSession, core: Core, now: Now, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Tokens of a campaign, newest first."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = tokens.list_tokens(session, campaign.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(one, core.settings.base_url, now), lambda one: one.id)


@router.get("/tokens/{token_id}", dependencies=[may(Right.TOKENS_READ)], response_model=TokenRead)
def read_token(token_id: str, actor: Actor, session: ReadSession, core: Core, now: Now, tags: Tagged) -> Any:
    """One token."""
    return tags.read(show(_token(session, actor, token_id), core.settings.base_url, now))


@router.patch("/tokens/{token_id}", dependencies=[may(Right.TOKENS_WRITE)])
def change_token(
    token_id: str, body: TokenPatch, actor: Actor, session: Session, core: Core, now: Now, tags: Tagged
) -> TokenRead:
    """Change where a printed code leads, or what it is called; the next scan follows, and `history` keeps the edit.

    412 when `If-Match` names another state of it.
    """
    base_url = core.settings.base_url
    token = _token(session, actor, token_id, lock=True)
    tags.require(session, token, lambda one: show(one, base_url, now))
    limits = tokens.limits_of(session, actor.organisation_id, base_url)
    fields = checked(body.model_dump(exclude_unset=True), limits, utm=token.utm)
    if "place_id" in fields:
        place = _place(session, actor, fields["place_id"])
        fields["place_id"] = place.id if place else None
    changed = tokens.change_token(session, token, now=now, changed_by=actor.key_id, **fields)
    return tags.changed(show(changed, base_url, now))


@router.get("/tokens/{token_id}/history", dependencies=[may(Right.TOKENS_READ)])
def list_changes(token_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """The edits of a code, newest first, with the key that made each."""
    token = _token(session, actor, token_id)
    rows = tokens.list_changes(session, token.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, _show_change, lambda one: one.id)


@router.post("/tokens/{token_id}/suspension", dependencies=[may(Right.TOKENS_WRITE)])
def suspend_token(token_id: str, actor: Actor, session: Session, core: Core, now: Now) -> TokenRead:
    """Switch a code off for a while: it says so. 409 unless it is active."""
    token = _token(session, actor, token_id, lock=True)
    return show(tokens.suspend(session, token, now=now, changed_by=actor.key_id), core.settings.base_url, now)


@router.post("/tokens/{token_id}/resumption", dependencies=[may(Right.TOKENS_WRITE)])
def resume_token(token_id: str, actor: Actor, session: Session, core: Core, now: Now) -> TokenRead:
    """Switch a suspended code on again. 409 from another state."""
    token = _token(session, actor, token_id, lock=True)
    return show(tokens.resume(session, token, now=now, changed_by=actor.key_id), core.settings.base_url, now)


@router.post("/tokens/{token_id}/replacement", dependencies=[may(Right.TOKENS_WRITE)], status_code=201)
def replace_token(
    token_id: str, body: TokenReplacement, actor: Actor, session: Session, core: Core, now: Now
) -> TokenRead:
    """Issue a new code in the place of this one, whose page leads on to it. Scans of the old one count for nothing.

    409 for a code that was replaced or revoked already, and for a serial.
    """
    token = _token(session, actor, token_id, lock=True)
    limits = tokens.limits_of(session, actor.organisation_id, core.settings.base_url)
    fields = checked(body.model_dump(exclude_unset=True, exclude={"sun"}), limits)
    name = fields.pop("place_id", ids.show("plc", token.place_id) if token.place_id else None)
    campaign = planning.campaign_by_id(session, actor.organisation_id, token.campaign_id)
    successor = tokens.replace(
        session,
        token,
        campaign,
        place=_place(session, actor, name),
        tag=_tag(session, actor, body.sun, core.keyring) if body.sun else None,
        changed_by=actor.key_id,
        now=now,
        **fields,
    )
    return show(successor, core.settings.base_url, now)


@router.post("/tokens/{token_id}/revocation", dependencies=[may(Right.TOKENS_WRITE)])
def revoke_token(token_id: str, actor: Actor, session: Session, core: Core, now: Now) -> TokenRead:
    """Withdraw a code for good: it explains itself from now on. Twice is once."""
    token = _token(session, actor, token_id, lock=True)
    return show(tokens.revoke(session, token, now=now, changed_by=actor.key_id), core.settings.base_url, now)


@router.get(
    "/tokens/{token_id}/qr.{format}",
    dependencies=[may(Right.TOKENS_READ)],
    response_class=Response,
    responses={200: {"content": _IMAGES}},
)
def draw_qr(
    token_id: str, format: qr.Format, asked: Annotated[QrAsked, Query()], actor: Actor, core: Core, tags: Tagged
) -> Response:
    """The QR code as SVG, PNG or PDF, read back before it is handed out. 422 says what to change when it does not read.

    A logo comes as a `data:` URL, or as the body of a POST to the same address.
    """
    logo = _logo_in(asked.logo) if asked.logo is not None else None
    image = _drawn(core, actor, token_id, format, asked, logo)
    # Another key must not see it, and a week later the tag says whether it is still drawn so.
    return tags.file(image, _MEDIA_TYPES[format], "private, max-age=604800")


@router.post(
    "/tokens/{token_id}/qr.{format}",
    dependencies=[may(Right.TOKENS_READ)],
    response_class=Response,
    responses={200: {"content": _IMAGES}},
    openapi_extra={"requestBody": {"required": True, "content": _LOGO_FILES}},
)
async def draw_qr_with_logo(
    request: Request, token_id: str, format: qr.Format, asked: Annotated[QrAsked, Query()], actor: Actor, core: Core
) -> Response:
    """The same with a logo in its middle: the body is a PNG, JPEG or WebP of at most 1 MB and 4 megapixels.

    The logo is made anew and not stored. Error correction rises to H unless Q is asked for; the logo is made as small
    as still reads. 422 for a file that is animated, cut short, or more than an image.
    """
    if asked.logo is not None:
        raise Invalid("Send the logo once: as the body or in the address.", pointer="/logo")
    file = await request.body()
    image = await run_in_threadpool(lambda: _drawn(core, actor, token_id, format, asked, read_logo(file)))
    return Response(image, media_type=_MEDIA_TYPES[format], headers={"Cache-Control": "no-store"})


@router.get("/tokens/{token_id}/ndef", dependencies=[may(Right.TOKENS_READ)], response_class=Response)
def write_ndef(request: Request, token_id: str, actor: Actor, session: ReadSession, core: Core) -> Response:
    """The NDEF message for the tag (NFC Forum URI record). JSON with hex, length and fitting tags on request.

    That of a `sun` token has zeros where its tag will write; the JSON's `sun` says where, as `ChangeFileSettings` asks.
    """
    token = _token(session, actor, token_id)
    written = encoding_of(token.code, core.settings.base_url, tokens.find_tag(session, token.id))
    if "application/json" in request.headers.get("accept", ""):
        body = {"hex": written.message.hex(), "length": len(written.message), "fits": written.fits}
        return JSONResponse(body | ({"sun": written.offsets._asdict()} if written.offsets else {}))
    return Response(written.message, media_type="application/octet-stream")


def _drawn(core: Services, actor: Acting, token_id: str, format: qr.Format, asked: QrAsked, logo: Logo | None) -> bytes:
    with core.database.snapshot() as session:  # drawing takes a while: nothing is held open for it
        token = _token(session, actor, token_id)
        text, look = token.url(core.settings.base_url), asked.look(token, logo)
    return core.gallery.drawn(text, look, format, asked.size)


def _logo_in(address: str) -> Logo:
    head, _, data = address.partition(",")
    if not head.startswith("data:image/") or not head.endswith(";base64"):
        detail = "A logo is a base64 data: URL (RFC 2397); or POST its bytes to this address."
        raise Invalid(detail, pointer="/logo")
    try:
        # An unescaped plus sign of base64 arrives as a space.
        return read_logo(base64.b64decode(data.replace(" ", "+"), validate=True))
    except binascii.Error as error:
        raise Invalid("The logo is not proper base64; or POST its bytes to this address.", pointer="/logo") from error


def _tag(session: DbSession, actor: Acting, given: SunCreate, keyring: Keyring) -> TagPlan:
    if given.key_set_id is not None:
        if given.model_fields_set - {"key_set_id", "uid"}:
            raise Invalid("A key set has its own keys and mode: give key_set_id and uid only.", pointer="/sun")
        key_set = tokens.key_set_by_id(session, actor.organisation_id, ids.parse("tks", given.key_set_id))
        return key_set.plan(given.uid)
    for name in ("meta_read_key", "file_read_key"):
        if getattr(given, name) is None:
            raise Invalid("A tag has two keys: give both, or the key_set_id.", pointer=f"/sun/{name}")
    keys = bytes.fromhex(f"{given.meta_read_key}{given.file_read_key}")
    return TagPlan(keyring.seal_tag_keys(keys), given.mode, given.mac_input, given.uid)


def _show_change(change: TokenChange) -> TokenChangeRead:
    return TokenChangeRead(
        id=ids.show("tch", change.id),
        changed_at=change.changed_at,
        changed_by=ids.show("key", change.changed_by) if change.changed_by else None,
        changes={
            field: {"before": _shown(field, old), "after": _shown(field, new)}
            for field, (old, new) in change.what.items()
        },
    )


def _shown(field: str, value: Any) -> Any:
    prefix = _PREFIXES.get(field)
    return ids.show(prefix, UUID(value)) if prefix and value else value


def _token(session: DbSession, actor: Acting, token_id: str, *, lock: bool = False) -> Token:
    return tokens.token_by_id(session, actor.organisation_id, ids.parse("tok", token_id), lock=lock)


def _place(session: DbSession, actor: Acting, name: str | None) -> places.Place | None:
    return places.place_by_name(session, actor.organisation_id, name) if name else None
