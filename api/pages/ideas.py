"""What a phone does with an idea beside talking of it: its author changes the words, anybody follows it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import idea_views
from api.pages.phone import (
    MissionName,
    cookie_of,
    is_young,
    keep_cookie,
    language_for,
    mission_named,
    moved,
    objected,
)
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import community, ids, missions
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.planning import Campaign

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
IdeaName = Annotated[str, Path(max_length=60, description="`ide_...`")]


class EditCreate(schemas.Request):
    """The new words of one's own idea."""

    text: schemas.Text = Field("", max_length=20_000)


class FollowCreate(schemas.Request):
    """The idea to follow, or to follow no more."""

    idea: str = Field(max_length=60, description="`ide_...`")


@router.post("/{mission}/ideas/{idea}/edits", status_code=201)
async def edit_idea(request: Request, core: Core, mission: MissionName, idea: IdeaName, now: Now) -> Response:
    """Change the words of one's own idea: within 30 minutes, and until somebody votes for it or comments on it.

    It is marked as edited. 409 `edit_closed` afterwards, 404 for somebody else's.
    """
    require_same_site(request)
    try:
        asked = await read_fields(request, EditCreate)
        return await run_in_threadpool(_edit, request, core, mission, idea, asked.text, now)
    except (RequestValidationError, CampaignError) as error:
        if not wants_json(request) and not isinstance(error, NotFound):
            return await run_in_threadpool(_again, request, core, mission, idea, error, now)
        if isinstance(error, CampaignError):
            return problems.refuse(request, error)
        raise


@router.post("/{mission}/follows", status_code=201)
async def follow(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Follow an `idea`: `/me` shows what became of it. No account; how many follow is public. JSON: `{followers}`."""
    require_same_site(request)
    asked = await read_fields(request, FollowCreate)
    return await run_in_threadpool(_follow, request, core, mission, asked.idea, now)


@router.post("/{mission}/follows/withdrawal")
async def unfollow(request: Request, core: Core, mission: MissionName) -> Response:
    """Follow an `idea` no more. JSON: `{followers}`."""
    require_same_site(request)
    asked = await read_fields(request, FollowCreate)
    return await run_in_threadpool(_unfollow, request, core, mission, asked.idea)


def _edit(request: Request, core: Services, mission: str, name: str, text: str, now: datetime) -> Response:
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        cookie = cookie_of(request, campaign)
        person = missions.recognise(session, campaign, cookie, objected=objected(request), to_act=True)
        if person is None:
            raise NotFound("There is no such idea of yours.")
        idea = community.edit_idea(session, found, campaign, person, ids.parse("ide", name), text=text, now=now)
    body = {"id": ids.show("ide", idea.id), "text": idea.text, "state": idea.state}
    return moved(request, f"{idea_views.url_of(found, idea.id)}?just=edited", body, status=201)


def _again(
    request: Request,
    core: Services,
    mission: str,
    idea: str,
    error: RequestValidationError | CampaignError,
    now: datetime,
) -> Response:
    """The idea once more, with the words that were typed and why they were not taken."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    language = language_for(request, None)
    if isinstance(error, CampaignError) and not (isinstance(error, Invalid) and error.code == "invalid"):
        message = core.renderer.sentence(language, error.code, error.detail)
    else:
        message = core.renderer.word(language, "The text has characters that cannot be taken. Write it anew, please.")
    page = idea_views.page(request, core, mission, idea, now, edit_problem=message, typed=typed)
    page.status_code = status_of(error) if isinstance(error, CampaignError) else 422
    return page


def _follow(request: Request, core: Services, mission: str, name: str, now: datetime) -> Response:
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        person, secret = missions.recognise_or_join(
            session,
            campaign,
            cookie_of(request, campaign),
            language=language_for(request, None),
            objected=objected(request),
            is_young=is_young(request),
            now=now,
        )
        id, phase = ids.parse("ide", name), missions.phase_shown(campaign, person)
        followers = community.follow(session, found, id, person, phase=phase, now=now)
    url = f"{idea_views.url_of(found, id)}?just=followed"
    answer = moved(request, url, {"followers": followers}, status=201)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _unfollow(request: Request, core: Services, mission: str, name: str) -> Response:
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        cookie = cookie_of(request, campaign)
        person = missions.recognise(session, campaign, cookie, objected=objected(request), to_act=True)
        phase = missions.phase_shown(campaign, person)
        idea, _ = community.idea_shown(session, found, ids.parse("ide", name), phase=phase)
        followers = community.unfollow(session, idea.id, person) if person else idea.followers
    return moved(request, f"{idea_views.url_of(found, idea.id)}?just=unfollowed", {"followers": followers})
