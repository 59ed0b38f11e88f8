"""Acts from the mission page beside check-ins and ideas: showing a code, naming a friend, sharing."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.ages import Age
from api.pages.one_act import StepName, act_once, adult, step_named
from api.pages.phone import address_key, language_for, mission_named, onward, phone_of
from api.policies import PUBLIC
from campaigns import missions, participants
from campaigns.errors import CampaignError
from campaigns.missions import Mission, StepKind
from campaigns.participants import Participant
from campaigns.planning import Campaign

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
# Wrong ones of an address: a shop full of friends shares one. Of a million codes sixty find nothing.
FRIEND_TRIES_AN_HOUR = 60
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class CodeCreate(schemas.Request):
    """Which step's code to show: of one a till witnesses, of a friend's, or the public code of an external one."""

    step: StepName = None
    client_id: ClientId | None = None
    age: Age = None


class FriendCreate(schemas.Request):
    """The code on a friend's phone."""

    code: schemas.Text = Field("", max_length=40)
    step: StepName = None
    client_id: ClientId | None = None


class ShareCreate(schemas.Request):
    """Sharing needs a link of one's own; `age` is asked once."""

    client_id: ClientId | None = None
    age: Age = None


@router.post("/{mission}/codes", status_code=201)
async def show_code(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Show a short code on this phone, good once and for ten minutes; the one still good when there is one.

    Form: 303 to the mission page, which shows it as digits and QR. JSON: `{code, expires_at}`; of an external step
    the public code, which stays.
    """
    require_same_site(request)
    asked = await read_fields(request, CodeCreate)
    return await run_in_threadpool(_show_code, request, core, mission, asked, now)


def _show_code(request: Request, core: Services, mission: str, asked: CodeCreate, now: datetime) -> Response:
    kinds = (StepKind.STAFF_VALIDATED, StepKind.BRING_FRIEND, StepKind.EXTERNAL)

    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        step = step_named(session, found, asked.step, kinds)
        if step.kind == StepKind.EXTERNAL:
            adult(request, session, person, asked.age, now)
            missions.require_open(campaign, now=now)
            return {"code": missions.public_code(session, found, person, now=now), "expires_at": None}
        shown = missions.show_code(session, found, campaign, step, person, now=now)
        return {"code": shown.code, "expires_at": shown.expires_at.isoformat()}

    return act_once(request, core, mission, act, _just("code"), age=asked.age, status=201, now=now)


@router.post("/{mission}/friends")
async def name_friend(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Name a friend by the code on their phone. JSON: `{outcome}`: `verified` once both did, `progress` before.

    A wrong code is asked for again, with what was typed. 429 `friend_tries` after sixty an hour from one address.
    """
    require_same_site(request)
    asked = await read_fields(request, FriendCreate)
    return await run_in_threadpool(_name_friend, request, core, mission, asked, now)


def _name_friend(request: Request, core: Services, mission: str, asked: FriendCreate, now: datetime) -> Response:
    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        step = step_named(session, found, asked.step, (StepKind.BRING_FRIEND,))
        return {"outcome": missions.name_friend(session, found, campaign, step, person, asked.code, now=now).outcome}

    def onto(found: Mission, done: dict[str, Any]) -> str:
        return _just("friend" if done["outcome"] == "progress" else "friends")(found, done)

    try:
        with _guessing(request, core, now):
            return act_once(request, core, mission, act, onto, now=now)
    except CampaignError as error:
        if wants_json(request) or error.code not in ("unknown_act_code", "own_code", "friend_tries"):
            raise
        return _ask_again(request, core, mission, asked, error)


@contextmanager
def _guessing(request: Request, core: Services, now: datetime) -> Iterator[None]:
    """A code of another phone is typed: one that nobody has counts for the address, any other costs nothing."""
    sender = address_key(request, now, "friend-code")
    with core.database.transaction() as session:
        participants.take_try(session, sender, most=FRIEND_TRIES_AN_HOUR, code="friend_tries", now=now)
    try:
        yield
    except CampaignError as error:
        if error.code == "unknown_act_code":
            raise
        _give_back(core, sender, now)
        raise
    _give_back(core, sender, now)


def _give_back(core: Services, sender: int, now: datetime) -> None:
    with core.database.transaction() as session:
        participants.give_back_try(session, sender, now=now)


@router.post("/{mission}/shares")
async def share(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Share the mission by a link of one's own: counted once a day. JSON: `{url, outcome}`.

    `age` is asked once; 403 `under_age` under 15.
    """
    require_same_site(request)
    asked = await read_fields(request, ShareCreate)
    return await run_in_threadpool(_share, request, core, mission, asked, now)


def _share(request: Request, core: Services, mission: str, asked: ShareCreate, now: datetime) -> Response:
    phone = phone_of(request, now)

    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        person = adult(request, session, person, asked.age, now)
        done = missions.share(session, found, campaign, person, now=now)
        missions.note_phone(session, found, person, phone)
        url = f"{core.settings.base_url}/m/{found.slug}?s={done.code}"
        return {"url": url, "outcome": done.outcome.outcome}

    return act_once(request, core, mission, act, _just("shared"), age=asked.age, now=now)


def _just(word: str) -> Callable[[Mission, dict[str, Any]], str]:
    """On to the mission page, which says what was just done."""
    return lambda found, _: f"/m/{found.slug}?just={word}"


def _ask_again(
    request: Request, core: Services, mission: str, asked: FriendCreate, error: CampaignError
) -> HTMLResponse:
    language = language_for(request, None)
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        page = core.renderer.page(
            "act_code.html",
            language,
            **views.house(session, found.organisation_id),
            is_staff=False,
            action=onward(request, f"/m/{found.slug}/friends"),
            fault=core.renderer.sentence(language, error.code, error.detail),
            typed=asked.code,
            step=asked.step or "",
            back_url=onward(request, f"/m/{found.slug}"),
            done=None,
            other_lang_url="",
        )
    headers = {"Cache-Control": "no-store", **problems.headers_of(error)}
    return HTMLResponse(page, problems.status_of(error), headers=headers)
