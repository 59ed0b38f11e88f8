"""The shop's NFC tags: writing them with the phone in hand, and for everyone else the exact bytes of each."""

from datetime import datetime
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field, StrictBool

from api import schemas
from api.dependencies import Core, Now, ReadSession, Services, Session
from api.forms import require_same_site
from api.pages import views
from api.pages.phone import language_for
from api.pages.staff_session import Staff
from api.pages.tag_views import bytes_view, tag_view
from api.policies import STAFF
from campaigns import ids, tokens
from campaigns.places import Place
from campaigns.tokens import TagWriting, Was, qr
from campaigns.tokens.encoding import encoding_of

router = APIRouter(prefix="/staff/tags", tags=["staff"], dependencies=[STAFF])


class WritingCreate(schemas.Request):
    """A tag that this phone wrote, or found written, and read back."""

    uid: str = Field("", max_length=60, description="Web NFC's serialNumber, 04:a2:...; empty when the phone has none")
    was: Was = Field(description="what stood on it before")
    replace: StrictBool = Field(False, description="end the tag's binding to another code")


class WritingRead(BaseModel):
    """A writing: `lock_url` takes that its tag was locked for good."""

    id: str
    token_id: str
    uid: str | None
    was: Was
    written_at: datetime
    locked_at: datetime | None
    lock_url: str


@router.get("", response_class=HTMLResponse)
def list_tags(request: Request, core: Core, session: ReadSession, staff: Staff) -> HTMLResponse:
    """The NFC tags of this shop, what each was written on, and the means to write them (Web NFC)."""
    place = session.get_one(Place, staff.place_id)
    language = language_for(request, None)
    base_url = core.settings.base_url
    found = [tag_view(one, place, language, base_url) for one in tokens.tags_of_place(session, place.id)]
    plain = [one for one in found if not one.is_signed]
    return _page(
        core,
        "tags.html",
        language,
        brand=views.brand(session, place.organisation_id),
        place=place,
        plain=plain,
        signed=[one for one in found if one.is_signed],
        left=sum(not one.written for one in plain),
        prefix=encoding_of("", base_url, None).url,
    )


@router.get("/{token_id}", response_class=HTMLResponse)
def show_bytes(request: Request, core: Core, session: ReadSession, staff: Staff, token_id: str) -> HTMLResponse:
    """The exact bytes of one tag, for any tool that writes tags. Works without JavaScript, and on paper."""
    place = session.get_one(Place, staff.place_id)
    language = language_for(request, None)
    one = tokens.tag_of_place(session, place.id, ids.parse("tok", token_id))
    tag = tag_view(one, place, language, core.settings.base_url)
    svg = core.gallery.drawn(tag.url, qr.Look(), qr.Format.SVG, qr.Size(module_px=6)).decode()
    return _page(
        core,
        "tag.html",
        language,
        brand=views.brand(session, place.organisation_id),
        place=place,
        tag=tag,
        bytes=bytes_view(one, core.settings.base_url),
        qr_svg=svg[svg.index("<svg") :],
    )


@router.post("/{token_id}/writings", status_code=201)
def record_writing(
    request: Request, token_id: str, body: WritingCreate, staff: Staff, session: Session, now: Now
) -> WritingRead:
    """Note which tag carries a code of this shop now, once it was written and read back.

    409 `tag_taken`, with the other code's `label`, when the tag belongs to another one, unless `replace`. 409 for a
    withdrawn code and for a tag that signs its taps; 404 for another shop's.
    """
    require_same_site(request)
    token = tokens.tag_of_place(session, staff.place_id, ids.parse("tok", token_id)).token
    uid = tokens.uid_of(body.uid)
    return _show(tokens.record_writing(session, token, staff, uid=uid, was=body.was, replace=body.replace, now=now))


@router.post("/{token_id}/writings/{writing_id}/lock")
def record_lock(
    request: Request, token_id: str, writing_id: str, staff: Staff, session: Session, now: Now
) -> WritingRead:
    """Note that the tag of this writing was locked for good. Twice is once."""
    require_same_site(request)
    token = tokens.tag_of_place(session, staff.place_id, ids.parse("tok", token_id)).token
    return _show(tokens.record_lock(session, token, ids.parse("wrt", writing_id), now=now))


def _show(writing: TagWriting) -> WritingRead:
    id, token_id = ids.show("wrt", writing.id), ids.show("tok", writing.token_id)
    return WritingRead(
        id=id,
        token_id=token_id,
        lock_url=f"/staff/tags/{token_id}/writings/{id}/lock",
        **writing.model_dump(include={"uid", "was", "written_at", "locked_at"}),
    )


def _page(core: Services, name: str, language: str, **context: Any) -> HTMLResponse:
    page = core.renderer.page(name, language, js=core.renderer.script("tags.js"), **context)
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})
