"""Acts from the mission page beside check-ins and ideas: showing a code, naming a friend, sharing."""

from collections.abc import Callable
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
from api.pages.ages import UNDER_15, Age, note_young, of_age
from api.pages.phone import (
    cookie_of,
    is_young,
    keep_cookie,
    keep_young,
    language_for,
    mission_named,
    moved,
    objected,
    onward,
)
from api.policies import PUBLIC
from campaigns import ids, missions
from campaigns.errors import CampaignError, Conflict, Forbidden, NotFound
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.online import TOO_YOUNG
from campaigns.participants import Participant
from campaigns.planning import Campaign

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
StepName = Annotated[str | None, Field(max_length=60, description="`stp_...`; without it the first step of the kind")]
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
        step = _step(session, found, asked.step, kinds)
        if step.kind == StepKind.EXTERNAL:
            _of_age(request, session, person, asked.age, now)
            missions.require_open(campaign, now=now)
            return {"code": missions.public_code(session, found, person, now=now), "expires_at": None}
        shown = missions.show_code(session, found, campaign, step, person, now=now)
        return {"code": shown.code, "expires_at": shown.expires_at.isoformat()}

    return _acted(request, core, mission, act, lambda _: "code", age=asked.age, status=201, now=now)


@router.post("/{mission}/friends")
async def name_friend(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Name a friend by the code on their phone. JSON: `{outcome}`: `verified` once both did, `progress` before.

    A wrong code is asked for again, with what was typed.
    """
    require_same_site(request)
    asked = await read_fields(request, FriendCreate)
    return await run_in_threadpool(_name_friend, request, core, mission, asked, now)


def _name_friend(request: Request, core: Services, mission: str, asked: FriendCreate, now: datetime) -> Response:
    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        step = _step(session, found, asked.step, (StepKind.BRING_FRIEND,))
        return {"outcome": missions.name_friend(session, found, campaign, step, person, asked.code, now=now).outcome}

    def just(done: dict[str, Any]) -> str:
        return "friend" if done["outcome"] == "progress" else "friends"

    try:
        return _acted(request, core, mission, act, just, now=now)
    except CampaignError as error:
        if wants_json(request) or error.code not in ("unknown_act_code", "own_code"):
            raise
        return _ask_again(request, core, mission, asked, error)


@router.post("/{mission}/shares")
async def share(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Share the mission by a link of one's own: counted once a day. JSON: `{url, outcome}`.

    `age` is asked once; 403 `under_age` under 15.
    """
    require_same_site(request)
    asked = await read_fields(request, ShareCreate)
    return await run_in_threadpool(_share, request, core, mission, asked, now)


def _share(request: Request, core: Services, mission: str, asked: ShareCreate, now: datetime) -> Response:
    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        person = _of_age(request, session, person, asked.age, now)
        done = missions.share(session, found, campaign, person, now=now)
        url = f"{core.settings.base_url}/m/{found.slug}?s={done.code}"
        return {"url": url, "outcome": done.outcome.outcome}

    return _acted(request, core, mission, act, lambda _: "shared", age=asked.age, now=now)


Act = Callable[[DbSession, Mission, Campaign, Participant], dict[str, Any]]


def _acted(
    request: Request,
    core: Services,
    mission: str,
    act: Act,
    just: Callable[[dict[str, Any]], str],
    *,
    age: str | None = None,
    status: int = 200,
    now: datetime,
) -> Response:
    """Act as the person of this phone, in one transaction; the page it leads to says what was `just` done."""
    if age == UNDER_15:
        note_young(request, core, mission, now)
        answer = problems.refuse(request, Forbidden(TOO_YOUNG, code="under_age"))
        keep_young(answer, core)
        return answer
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        missions.require_open(campaign, now=now)
        person, secret = missions.recognise_or_join(
            session,
            campaign,
            cookie_of(request, campaign),
            language=language_for(request, None),
            objected=objected(request),
            is_young=is_young(request),
            now=now,
        )
        done = act(session, found, campaign, person)
    answer = moved(request, f"/m/{found.slug}?just={just(done)}", done, status=status)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _of_age(request: Request, session: DbSession, person: Participant, age: str | None, now: datetime) -> Participant:
    if person.is_under_15:
        raise Forbidden(TOO_YOUNG, code="under_age")
    return of_age(request, session, person, age, now)


def _step(session: DbSession, mission: Mission, name: str | None, kinds: tuple[StepKind, ...]) -> Step:
    """The step that was asked for, or the first of these kinds."""
    fitting = [step for step in missions.steps_of(session, mission.id) if step.kind in kinds]
    if name is None:
        if not fitting:
            raise Conflict("This mission does not ask for this act.", code="no_such_step")
        return fitting[0]
    id = ids.parse("stp", name)
    for step in fitting:
        if step.id == id:
            return step
    raise NotFound("There is no such step.")


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
    return HTMLResponse(page, problems.status_of(error), headers={"Cache-Control": "no-store"})
