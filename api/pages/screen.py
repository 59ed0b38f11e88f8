"""The shop's screen: the live code of the moment, large, and the next hour's codes for the page to go on with.

It lies open all day with nobody at it, and shows no more than every shopper may see: a locked phone goes on showing
it, and showing it is no use of the phone.
"""

import base64
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api.dependencies import Core, Now, Services
from api.pages import views
from api.pages.render import LANGUAGES, language_of
from api.pages.staff_session import SignedIn
from api.policies import STAFF
from campaigns import ids, missions, tokens
from campaigns.errors import NotFound
from campaigns.missions.models import LocalText
from campaigns.places import Place, StaffSession, till
from campaigns.planning import Campaign
from campaigns.tokens import Token, codes, live
from campaigns.tokens.screens import HELD_WINDOWS, window_matrix
from campaigns.tokens.shapes import Finder, Matrix, Style, boxes

router = APIRouter(prefix="/staff", tags=["staff"], dependencies=[STAFF])
Chosen = Annotated[str | None, Query(max_length=90, description="of several live tokens, the one to show")]


class ScreenWindows(BaseModel):
    """The codes of the next hour, the present one first. No key: what the screen holds is all it can show."""

    now: float = Field(description="the server's clock, seconds since 1970: the screen's own may be wrong")
    seconds: int = Field(description="that a code is shown")
    first: int = Field(description="the window of the first code, counted since 1970")
    side: int = Field(description="modules of each matrix, across and down")
    digits: list[str] = Field(description="the till code of each window")
    matrices: str = Field(
        description="base64: each matrix as bits, rows from the top, one for dark, filled up to whole groups of 3 bytes"
    )


class Shown(NamedTuple):
    """What a screen shows: a live token, its place and the mission it leads to."""

    place: Place
    token: Token
    house: dict[str, Any]
    title: LocalText


@router.get("/screen", response_class=HTMLResponse)
def show_screen(request: Request, core: Core, staff: SignedIn, now: Now, token: Chosen = None) -> HTMLResponse:
    """The live code of this place, to be left open on a screen; a choice where campaigns have one each.

    Without JavaScript it loads itself anew with each window. 404 (`no_live_code`) where no live token stands.
    """
    language = language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))
    with core.database.snapshot() as session:
        found = _standing(session, staff, now, token)
        if len(found) > 1:
            return _choice(core, session, language, found)
        shown = _shown(session, found[0])
    window = till.window_of(now)
    modules = window_matrix(_url(core, shown), live.window_code(core.live_key, shown.token.id, window))
    page = core.renderer.page(
        "screen.html",
        language,
        js=core.renderer.script("screen.js"),
        place=shown.place,
        title=shown.title,
        **shown.house,
        calls=_calls(core, language),
        code_shown=codes.grouped(shown.token.code),
        host=core.settings.base_url.partition("://")[2],
        windows_url=f"/staff/screen/windows?token={ids.show('tok', shown.token.id)}",
        now=now.timestamp(),
        seconds_left=till.seconds_left(now),
        digits=views.spaced(till.till_code(core.till_key, shown.place.id, window)),
        side=len(modules),
        outline=_outline(modules),
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/screen/windows")
def read_windows(core: Core, staff: SignedIn, now: Now, token: Chosen = None) -> ScreenWindows:
    """The next hour of a screen: 120 windows as digits and matrices. The page asks again every minute.

    404 (`no_live_code`) once the token was revoked, moved, or its campaign is over.
    """
    with core.database.snapshot() as session:  # drawing takes a while: nothing is held open for it
        shown = _shown(session, _standing(session, staff, now, token)[0])
    first = till.window_of(now)
    windows = range(first, first + HELD_WINDOWS)
    drawn = core.screens.matrices(core.live_key, shown.token.id, _url(core, shown), windows)
    return ScreenWindows(
        now=now.timestamp(),
        seconds=till.WINDOW_S,
        first=first,
        side=drawn[0].side,
        digits=[till.till_code(core.till_key, shown.place.id, window) for window in windows],
        matrices=base64.b64encode(b"".join(one.bits for one in drawn)).decode(),
    )


def _standing(
    session: DbSession, staff: StaffSession, now: datetime, token: str | None
) -> list[tuple[Token, Campaign]]:
    """The live tokens of this phone's place, or the one that was chosen. NotFound for none."""
    here = tokens.live_tokens_of_place(session, staff.place_id, now=now)
    if token is not None:
        chosen = ids.parse("tok", token)
        here = [(one, campaign) for one, campaign in here if one.id == chosen]
    if not here:
        raise NotFound("No live code stands in this shop just now.", code="no_live_code")
    return here


def _shown(session: DbSession, found: tuple[Token, Campaign]) -> Shown:
    token, campaign = found
    place = session.get_one(Place, token.place_id)
    return Shown(place, token, views.house(session, token.organisation_id), _title(session, campaign))


def _title(session: DbSession, campaign: Campaign) -> LocalText:
    mission = missions.mission_of(session, campaign.id)
    return mission.title if mission else {"": campaign.name}


def _choice(core: Services, session: DbSession, language: str, found: list[tuple[Token, Campaign]]) -> HTMLResponse:
    choices: list[dict[str, Any]] = [
        {"id": ids.show("tok", token.id), "label": token.label or "", "title": _title(session, campaign)}
        for token, campaign in found
    ]
    brand = views.brand(session, found[0][0].organisation_id)
    html = core.renderer.page("screen_choice.html", language, brand=brand, choices=choices, other_lang_url="")
    return HTMLResponse(html, headers={"Cache-Control": "no-store"})


def _url(core: Services, shown: Shown) -> str:
    return shown.token.url(core.settings.base_url)


def _calls(core: Services, language: str) -> list[tuple[str, str, str]]:
    """The call to action and the name of the digits in both languages, the page's own first."""
    tongues = sorted(LANGUAGES, key=lambda one: one != language)
    renderer = core.renderer
    return [
        (tongue, renderer.word(tongue, "Scan me to check in"), renderer.word(tongue, "Till code")) for tongue in tongues
    ]


def _outline(modules: Matrix) -> str:
    """The dark modules as one path, a module a unit."""
    runs = boxes(modules, Style.SQUARE, Finder.SQUARE, 0)
    return "".join(f"M{run.x} {run.y}h{run.width}v1h-{run.width}z" for run in runs)
