"""Questions of a mission on a phone: an answer or a mark, and what all replied."""

from datetime import datetime
from typing import Annotated, Any
from uuid import uuid4

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import question_views, views
from api.pages.ages import Age
from api.pages.one_act import StepName, act_once, adult, step_named
from api.pages.phone import (
    ClientId,
    MissionName,
    Tongue,
    acting,
    after_its_twin,
    cookie_of,
    is_young,
    language_for,
    mission_named,
    objected,
    onward,
    participant_shown,
)
from api.policies import PUBLIC
from campaigns import community, ids, missions
from campaigns.community.replies import TEXT_LIMIT, checked
from campaigns.errors import CampaignError, Invalid
from campaigns.missions import Mission, Step, StepKind
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans.service import phase_of

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
SHOWN = 100  # replies in words on a page
_NOT_OF_THE_FORM = ("not_found", "cross_site", "under_age", "no_such_step")
_JUST = "^(replied|)$"


class AnswerCreate(schemas.Request):
    """An answer: the number of a `choice`, from 1, or where there are none `text`."""

    step: StepName = None
    choice: schemas.FormWhole | None = None
    text: schemas.Text = Field("", max_length=20_000)
    client_id: ClientId | None = None
    age: Age = None


class RatingCreate(schemas.Request):
    """A mark from 1 to 5, and for who likes a few words."""

    step: StepName = None
    rating: schemas.FormWhole | None = None
    text: schemas.Text = Field("", max_length=20_000)
    client_id: ClientId | None = None
    age: Age = None


@router.get("/{mission}/questions/{step}", response_class=HTMLResponse)
def question_page(
    request: Request,
    core: Core,
    now: Now,
    mission: MissionName,
    step: Annotated[str, Path(max_length=60)],
    lang: Tongue = None,
    just: Annotated[str, Query(pattern=_JUST)] = "",
) -> Response:
    """A question, what all replied, and the form to reply with. JSON when asked for.

    `people` is null below ten; of groups below ten `people` is null too, and of one more where it would follow.
    """
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        question = community.question_of(session, found, ids.parse("stp", step))
        if wants_json(request):
            body = question_views.body(session, question, phase=phase_of(campaign.state))
            return JSONResponse(body, headers={"Cache-Control": "no-store"})
        return _page(request, core, session, found, campaign, question, now, lang=lang, just=just)


@router.post("/{mission}/answers", status_code=201)
async def answer(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Answer a question (`step`, else the first), with a `choice` or in words (`text`, 1 to 500 characters).

    One a person and period; a further one changes it until `editable_until`, then 409 `reply_fixed`. `age` as for
    ideas. A repeat of `client_id` gets the first answer.
    """
    return await _take(request, core, mission, AnswerCreate, now)


@router.post("/{mission}/ratings", status_code=201)
async def rate(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Give a mark (`rating`, 1 to 5) and perhaps a few words (`text`). Otherwise as an answer."""
    return await _take(request, core, mission, RatingCreate, now)


Asked = AnswerCreate | RatingCreate


async def _take(request: Request, core: Services, mission: str, schema: type[Asked], now: datetime) -> Response:
    require_same_site(request)
    kind = StepKind.ANSWER if schema is AnswerCreate else StepKind.RATE
    try:
        asked = await read_fields(request, schema)
        return await run_in_threadpool(_reply, request, core, mission, asked, kind, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or (isinstance(error, CampaignError) and error.code in _NOT_OF_THE_FORM):
            raise
        page = await run_in_threadpool(_again, request, core, mission, kind, error, now)
        if page is None:
            raise
        return page


def _reply(request: Request, core: Services, mission: str, asked: Asked, kind: StepKind, now: datetime) -> Response:
    value = asked.choice if isinstance(asked, AnswerCreate) else asked.rating
    client_id = asked.client_id or str(uuid4())
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        step = step_named(session, found, asked.step, (kind,))
    checked(step, value, asked.text)  # what is wrong with the reply comes first: it is what the person looks at
    rules = core.rules.version_id(core.database, found, now=now)

    def act(session: DbSession, found: Mission, campaign: Campaign, person: Participant) -> dict[str, Any]:
        given = community.give_reply(
            session,
            found,
            campaign,
            adult(request, session, person, asked.age, now),
            step,
            value=value,
            text=asked.text,
            client_id=client_id,
            language=language_for(request, None),
            rules_version_id=rules,
            now=now,
        )
        return question_views.given_body(step, given) | {"participant": participant_shown(person)}

    def onto(found: Mission, _: dict[str, Any]) -> str:
        return f"{question_views.url_of(found, step)}?just=replied"

    return after_its_twin(
        "already_posted",
        lambda: act_once(request, core, mission, act, onto, age=asked.age, status=201, now=now),
    )


def _again(
    request: Request, core: Services, mission: str, kind: StepKind, error: Exception, now: datetime
) -> HTMLResponse | None:
    """The question once more, with what was given and why it was not taken; None where there is none."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    language = language_for(request, None)
    if isinstance(error, CampaignError) and not (isinstance(error, Invalid) and error.code == "invalid"):
        message = core.renderer.sentence(language, error.code, error.detail)
    else:
        message = core.renderer.word(language, "The text has characters that cannot be taken. Write it anew, please.")
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        try:
            step = step_named(session, found, str(typed["step"])[:60] if "step" in typed else None, (kind,))
        except CampaignError:
            return None
        page = _page(request, core, session, found, campaign, step, now, problem=message, typed=typed)
    page.status_code = problems.status_of(error) if isinstance(error, CampaignError) else 422
    if isinstance(error, CampaignError):
        page.headers.update(problems.headers_of(error))
    return page


def _page(
    request: Request,
    core: Services,
    session: DbSession,
    mission: Mission,
    campaign: Campaign,
    step: Step,
    now: datetime,
    *,
    lang: str | None = None,
    just: str = "",
    problem: str = "",
    typed: dict[str, Any] | None = None,
) -> HTMLResponse:
    language, typed = language_for(request, lang), typed or {}
    person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
    phase = missions.phase_shown(campaign, person)
    mine = community.find_reply(session, campaign, step, person, phase=phase, now=now) if person else None
    young = is_young(request) or (person is not None and bool(person.is_under_15))
    what = "answers" if step.kind == StepKind.ANSWER else "ratings"
    other = "en" if language == "fr" else "fr"
    page = core.renderer.page(
        "question.html",
        language,
        **views.house(session, mission.organisation_id),
        rules_url=f"/m/{mission.slug}/rules",
        mission=mission,
        mission_url=onward(request, f"/m/{mission.slug}"),
        action=acting(request, f"/m/{mission.slug}/{what}"),
        flag_url=f"/m/{mission.slug}/flags/new?lang={language}&",
        question=question_views.view(
            session, core.renderer, step, mine, campaign, language=language, phase=phase, now=now
        ),
        said=question_views.words(session, step, phase=phase, limit=SHOWN),
        can_reply=missions.state_shown(campaign, person, now=now).value in ("live", "draft", "pilot") and not young,
        too_young=young,
        lacks=question_views.lacks(session, mission, step, person, phase=phase),
        asks_age=person is None or person.age_declared_at is None,
        age=str(typed.get("age", "")),
        just=just,
        problem=problem,
        value=str(typed.get("choice", typed.get("rating", mine.reply.value if mine else ""))),
        text=str(typed.get("text", mine.reply.text if mine else "")),
        text_limit=TEXT_LIMIT,
        client_id=str(typed.get("client_id", "")) or str(uuid4()),
        other_lang_url=f"{question_views.url_of(mission, step)}?lang={other}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})
