"""Pages that anybody may open and that record nothing: typing a code, the poster, what a problem means."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from api.dependencies import Core, ReadSession, Services
from api.pages import views
from api.pages.phone import (
    Tongue,
    entry_of,
    language_for,
    onward,
)
from api.policies import PUBLIC
from api.problems import PROBLEMS, STORAGE_FAULTS, status_of_code
from campaigns import missions, tokens
from campaigns.errors import NotFound
from campaigns.tokens import codes, qr
from campaigns.tokens.models import Medium, Token

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def home(request: Request, core: Core, lang: Tongue = None) -> HTMLResponse:
    """A field for the code printed beneath the QR."""
    page = core.renderer.page("home.html", language_for(request, lang), code="", error="", **_house(core))
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/find", response_class=HTMLResponse, include_in_schema=False)
def find(request: Request, core: Core, code: Annotated[str, Query(max_length=200)] = "") -> Response:
    """The typed code, on to its page; unreadable ones come back with what was typed."""
    found = codes.normalise(code)
    if found is None:
        language = language_for(request, None)
        page = core.renderer.page(
            "home.html",
            language,
            code=code[:40],
            error=_unreadable(core, language),
            **_house(core),
            other_lang_url=f"/?lang={'en' if language == 'fr' else 'fr'}",
        )
        return HTMLResponse(page, 422, headers={"Cache-Control": "no-store"})
    return RedirectResponse(onward(request, f"/t/{found}"), 303)


def _house(core: Services) -> dict[str, Any]:
    """Whose page it is, where that can be told; without the database the field for a code is there all the same."""
    if core.database.is_away:
        return {}
    try:
        with core.database.snapshot() as session:
            return views.only_house(session)
    except STORAGE_FAULTS:
        return {}


def _unreadable(core: Services, language: str) -> str:
    return core.renderer.word(
        language, "This code cannot be right: it has ten characters, like 7K3Q-9XAB-W4. Check it and try again."
    )


@router.get("/posters/{code}", response_class=HTMLResponse, include_in_schema=False)
def poster(request: Request, core: Core, session: ReadSession, code: str, lang: Tongue = None) -> HTMLResponse:
    """A sheet to print: promise, QR, short address and the code in letters."""
    entry = entry_of(core, code)
    token = session.get_one(Token, entry.token_id)
    mission = missions.mission_of(session, entry.campaign.id)
    base = core.settings.base_url
    svg = core.gallery.drawn(token.url(base), qr.Look(), qr.Format.SVG, qr.Size(module_px=10)).decode()
    also_nfc = any(
        one.medium == Medium.NFC
        for one in (tokens.tokens_of_place(session, entry.place.id) if entry.place else ())
        if one.campaign_id == entry.campaign.id
    )
    page = core.renderer.page(
        "poster.html",
        language_for(request, lang),
        **views.house(session, entry.campaign.organisation_id),
        title=mission.title if mission else entry.campaign.name,
        promise=mission.promise if mission else "",
        place=entry.place or "",
        qr_svg=svg[svg.index("<svg") :],
        short_url=base.partition("://")[2],
        code_grouped=codes.grouped(entry.code),
        nfc=also_nfc,
    )
    return HTMLResponse(page)


@router.get("/problems/{code}", response_class=HTMLResponse)
def problem_page(request: Request, core: Core, code: str, lang: Tongue = None) -> HTMLResponse:
    """What one problem code means."""
    if code not in PROBLEMS:
        raise NotFound("There is no such problem code.")
    title, explanation = PROBLEMS[code]
    page = core.renderer.page(
        "problem.html",
        language_for(request, lang),
        code=code,
        title=title,
        explanation=explanation,
        status=status_of_code(code),
    )
    return HTMLResponse(page)
