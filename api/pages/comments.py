"""An idea with what people say of it: comments, official answers, and whether they were useful."""

from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import idea_views
from api.pages.ages import UNDER_15, Age, note_young, of_age
from api.pages.phone import (
    Tongue,
    cookie_of,
    is_young,
    keep_cookie,
    keep_young,
    language_for,
    link_of,
    mission_named,
    moved,
    objected,
    participant_shown,
)
from api.pagination import Cursor
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import community, ids, missions
from campaigns.community.comments import UNDER_AGE, tidy
from campaigns.errors import CampaignError, Forbidden, Invalid, NotFound
from campaigns.planning import Campaign

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class CommentCreate(schemas.Request):
    """A comment on an idea. `client_id` is made on the phone: a repeat gets the first answer."""

    idea: str = Field(max_length=60, description="`ide_...`")
    text: schemas.Text = Field("", max_length=20_000)
    client_id: ClientId | None = None
    age: Age = None


@router.get("/{mission}/ideas/{idea}", response_class=HTMLResponse)
def idea_page(
    request: Request,
    core: Core,
    now: Now,
    mission: MissionName,
    idea: Annotated[str, Path(max_length=60)],
    lang: Tongue = None,
    just: Annotated[str, Query(pattern="^(edited|followed|unfollowed|)$")] = "",
    cursor: Cursor = None,
) -> HTMLResponse:
    """An idea, what became of it, and the conversation about it, oldest first."""
    return idea_views.page(request, core, mission, idea, now, lang=lang, just=just, cursor=cursor)


@router.post("/{mission}/comments", status_code=201)
async def post_comment(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Comment on an idea. Form or JSON `idea`, `text` (1 to 500 characters, one link at most), optional `client_id`.

    `age` as for ideas. 429 beyond three texts in a newcomer's first hour, and beyond twenty a day.
    """
    require_same_site(request)
    try:
        asked = await read_fields(request, CommentCreate)
        return await run_in_threadpool(_post, request, core, mission, asked, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or isinstance(error, NotFound):
            answer = None
        else:
            answer = await run_in_threadpool(_again, request, core, mission, error, now)
        if answer is None and isinstance(error, CampaignError):
            answer = problems.refuse(request, error)
        if answer is None:
            raise
        if isinstance(error, CampaignError) and error.code == "under_age_text":
            keep_young(answer, core)
        return answer


@router.post("/{mission}/comments/{comment}/useful")
def mark_useful(
    request: Request, core: Core, mission: MissionName, comment: Annotated[str, Path(max_length=60)], now: Now
) -> Response:
    """Say that a comment was useful: once a person, never on one's own. JSON answer `{useful}`."""
    require_same_site(request)
    language = language_for(request, None)
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        missions.require_open(campaign, now=now)
        person, secret = missions.recognise_or_join(
            session,
            campaign,
            cookie_of(request, campaign),
            language=language,
            objected=objected(request),
            is_young=is_young(request),
            now=now,
        )
        id, phase = ids.parse("cmt", comment), missions.phase_shown(campaign, person)
        useful = community.mark_useful(session, found, id, person, phase=phase, now=now)
        idea = ids.show("ide", session.get_one(community.Comment, id).idea_id)
    answer = moved(request, f"/m/{found.slug}/ideas/{idea}", {"useful": useful})
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _post(request: Request, core: Services, mission: str, asked: CommentCreate, now: datetime) -> Response:
    language = language_for(request, None)
    if asked.age == UNDER_15 or is_young(request):
        note_young(request, core, mission, now)
        raise Forbidden(UNDER_AGE, code="under_age_text")
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
    rules, link = core.rules.version_id(core.database, found, now=now), link_of(request, now)
    with core.database.transaction() as session:
        campaign = session.get_one(Campaign, found.campaign_id)
        tidy(asked.text)  # what is wrong with the words comes first: it is what the person looks at
        person, secret = missions.recognise_or_join(
            session, campaign, cookie_of(request, campaign), language=language, objected=objected(request), now=now
        )
        person = of_age(request, session, person, asked.age, now)
        missions.claim(session, found, campaign, person, link, now=now)
        said = community.post_comment(
            session,
            found,
            campaign,
            person,
            ids.parse("ide", asked.idea),
            text=asked.text,
            client_id=asked.client_id or str(uuid4()),
            language=language,
            rules_version_id=rules,
            now=now,
        )
    made = said.comment
    body = {"id": ids.show("cmt", made.id), "text": made.text, "state": made.state}
    body |= {"participant": participant_shown(person)}  # type: ignore[dict-item]  # one field is an object
    answer = moved(request, f"/m/{found.slug}/ideas/{ids.show('ide', made.idea_id)}", body, status=201)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _again(request: Request, core: Services, mission: str, error: Exception, now: datetime) -> Response:
    """The idea once more, with what was typed and why it was not taken."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    language = language_for(request, None)
    if isinstance(error, CampaignError) and not (isinstance(error, Invalid) and error.code == "invalid"):
        message = core.renderer.sentence(language, error.code, error.detail)
    else:
        message = core.renderer.word(language, "The text has characters that cannot be taken. Write it anew, please.")
    idea = str(typed.get("idea", ""))[:60]
    page = idea_views.page(request, core, mission, idea, now, problem=message, typed=typed)
    page.status_code = status_of(error) if isinstance(error, CampaignError) else 422
    if isinstance(error, CampaignError):
        page.headers.update(problems.headers_of(error))
    return page
