"""What a shopper's phone sees beyond the scan: the mission, joining, ideas."""

from datetime import datetime
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import ballot_views, coupon_views, open_graph, pledge_views, point_views, step_views, views
from api.pages.ages import UNDER_15, Age, note_young, of_age
from api.pages.money_views import money_view
from api.pages.phone import (
    ClientId,
    MissionName,
    Tongue,
    acting,
    after_its_twin,
    came_by,
    cookie_of,
    is_young,
    keep_cookie,
    keep_young,
    language_for,
    link_of,
    mission_named,
    moved,
    objected,
    onward,
    participant_shown,
    place_to_keep,
)
from api.pages.ways import spots_of
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import community, ids, missions, participants
from campaigns.errors import CampaignError, Forbidden, NotFound
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.planning import Campaign

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
_ACTS = ("codes", "friends", "shares", "invitations")
_JUST = "^(checked_in|joined|idea|already|waiting|noted|code|friend|friends|shared|flagged|cause|)$"


class JoinCreate(schemas.Request):
    """Joining needs nothing but the wish to; it is open to people under 15."""

    client_id: ClientId | None = None
    age: Age = None


class IdeaCreate(schemas.Request):
    """An idea. `client_id` is made on the phone: a repeat gets the first answer."""

    text: schemas.Text = Field("", max_length=20_000)
    client_id: ClientId | None = None
    age: Age = None


@router.get("/m/{mission}", response_class=HTMLResponse)
def mission_page(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    mission: MissionName,
    lang: Tongue = None,
    just: Annotated[str, Query(pattern=_JUST)] = "",
) -> HTMLResponse:
    """The public mission page: promise, progress, ideas, ways to act."""
    found = mission_named(session, mission)
    return _mission_page(request, core, session, found, now, lang=lang, just=just)


@router.post("/m/{mission}/join")
async def join(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Take part: makes a pseudonymous participant and sets the cookie. Twice is once.

    Optional `age`: `15_or_older` or `under_15`; asked again at the first idea when it is missing here.
    """
    require_same_site(request)
    asked = await read_fields(request, JoinCreate)
    return await run_in_threadpool(_join, request, core, mission, asked, now)


def _join(request: Request, core: Services, mission: str, asked: JoinCreate, now: datetime) -> Response:
    rules, link = _rules_of(core, mission, now), link_of(request, now)
    young = asked.age == UNDER_15 or is_young(request)
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        phase = missions.require_open(campaign, now=now)
        person, secret = missions.recognise_or_join(
            session,
            campaign,
            cookie_of(request, campaign),
            language=language_for(request, None),
            objected=objected(request),
            is_young=young,
            now=now,
        )
        if asked.age is not None and not young:
            person = participants.declare_age(session, person, is_under_15=False, now=now)
        missions.claim(session, found, campaign, person, link, now=now)
        missions.take_part(session, found, person, phase=phase, rules_version_id=rules, now=now)
    body = {"participant": participant_shown(person)}
    answer = moved(request, f"/m/{found.slug}?just=joined", body)
    if secret:
        keep_cookie(answer, core, person, secret)
    if person.is_under_15:
        keep_young(answer, core)
    return answer


def _rules_of(core: Services, name: str, now: datetime) -> UUID:
    """The version of a mission's rules in force, to be recorded with an act."""
    with core.database.snapshot() as session:
        mission = mission_named(session, name)
    return core.rules.version_id(core.database, mission, now=now)


@router.post("/m/{mission}/ideas", status_code=201)
async def post_idea(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Give an idea. Form or JSON `text` (1 to 500 characters), optional `client_id`: a repeat gets the first answer.

    `age` is asked once: `15_or_older`, or `under_15`, who may check in but not write (403 `under_age`). A JSON post
    without it says that the person is 15 or older; a form of somebody who never said so is asked (422 `age_missing`).
    """
    require_same_site(request)
    asked = await read_fields(request, IdeaCreate)
    return await run_in_threadpool(_post_idea, request, core, mission, asked, now)


def _post_idea(request: Request, core: Services, mission: str, asked: IdeaCreate, now: datetime) -> Response:
    client_id = asked.client_id or str(uuid4())
    language = language_for(request, None)

    rules, link = _rules_of(core, mission, now), link_of(request, now)

    def act() -> tuple[Mission, Participant, str | None, community.Posted]:
        with core.database.transaction() as session:
            found = mission_named(session, mission)
            campaign = session.get_one(Campaign, found.campaign_id)
            person, secret = missions.recognise_or_join(
                session,
                campaign,
                cookie_of(request, campaign),
                language=language,
                objected=objected(request),
                now=now,
            )
            person = _of_age(request, session, person, asked, now)
            missions.claim(session, found, campaign, person, link, now=now)
            posted = community.post_idea(
                session,
                found,
                campaign,
                person,
                text=asked.text,
                client_id=client_id,
                language=language,
                rules_version_id=rules,
                now=now,
            )
            return found, person, secret, posted

    try:
        if asked.age == UNDER_15 or is_young(request):
            note_young(request, core, mission, now)
            raise Forbidden(community.UNDER_AGE, code="under_age")
        found, person, secret, posted = after_its_twin("already_posted", act)
    except CampaignError as error:
        return _refuse_idea(request, core, mission, asked, error, now)
    idea = posted.idea
    body = {
        "id": ids.show("ide", idea.id),
        "text": idea.text,
        "state": idea.state,
        "participant": participant_shown(person),
    }
    answer = moved(request, f"/m/{found.slug}?just=idea", body, status=201)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _of_age(request: Request, session: DbSession, person: Participant, asked: IdeaCreate, now: datetime) -> Participant:
    """The person with what they say of their age; what is wrong with the words comes first: they look at these."""
    if person.age_declared_at is None:
        community.tidy(asked.text)
    return of_age(request, session, person, asked.age, now)


def _refuse_idea(
    request: Request, core: Services, mission: str, asked: IdeaCreate, error: CampaignError, now: datetime
) -> Response:
    if wants_json(request) or isinstance(error, NotFound):
        answer = problems.refuse(request, error)
    else:
        answer = _idea_again(request, core, mission, asked, error, now)
    if error.code == "under_age":
        keep_young(answer, core)
    return answer


def _idea_again(
    request: Request, core: Services, mission: str, asked: IdeaCreate, error: CampaignError, now: datetime
) -> Response:
    """The mission page once more, with what was typed and why it was not taken."""
    text = core.renderer.sentence(language_for(request, None), error.code, error.detail)
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        page = _mission_page(
            request,
            core,
            session,
            found,
            now,
            idea_error=text,
            idea_text=asked.text,
            client_id=asked.client_id,
            age=asked.age or "",
            age_error=text if error.code == "age_missing" else "",
        )
    page.status_code = status_of(error)
    return page


def _mission_page(
    request: Request,
    core: Services,
    session: DbSession,
    mission: Mission,
    now: datetime,
    *,
    lang: str | None = None,
    just: str = "",
    idea_error: str = "",
    idea_text: str = "",
    client_id: str | None = None,
    age: str = "",
    age_error: str = "",
) -> HTMLResponse:
    language = language_for(request, lang)
    campaign = session.get_one(Campaign, mission.campaign_id)
    person = missions.recognise(session, campaign, cookie_of(request, campaign), objected=objected(request))
    phase = missions.phase_shown(campaign, person)
    steps = list(missions.steps_of(session, mission.id))
    spots = spots_of(session, campaign.id, now=now)
    view, standing = views.person_view(session, mission, person, phase=phase) if person else (None, None)
    missing, ways = views.still_missing(core.renderer, language, steps, standing, spots) if standing else ([], [])
    presence = standing.presence if standing else None
    other = "en" if language == "fr" else "fr"
    acts = step_views.acts(session, core, mission, person, standing, language=language, phase=phase, now=now)
    missing += acts.missing
    page = core.renderer.page(
        "mission.html",
        language,
        **views.house(session, mission.organisation_id),
        rules_url=f"/m/{mission.slug}/rules",
        og=open_graph.of_mission(core, mission, language),
        js=core.renderer.script("shopper.js"),
        mission=views.mission_view(
            session,
            mission,
            phase=phase,
            ideas=views.IDEAS_SHOWN,
            renderer=core.renderer,
            language=language,
            spots=spots,
        ),
        campaign_state=missions.state_shown(campaign, person, now=now).value,
        money=money_view(session, mission, language),
        **ballot_views.of_mission(
            request, core, session, mission, campaign, person, language=language, phase=phase, now=now
        ),
        pledges=pledge_views.of_mission(session, mission, language),
        causes=pledge_views.causes_of(session, mission, person),
        causes_url=acting(request, f"/m/{mission.slug}/causes"),
        person=view,
        keep=place_to_keep(request, session, person) if just else None,
        earnable=point_views.of_mission(request, session, mission, person, now=now),
        coupons=coupon_views.good_of(session, core, mission, person, language=language, now=now),
        just=just,
        acts=acts.shown,
        acts_urls={
            name: acting(request, f"/m/{mission.slug}/{name}") for name in ("codes", "friends", "shares", "invitations")
        },
        presence_words=views.presence_words(core.renderer, language, presence),
        missing=missing,
        ways=ways,
        idea_text=idea_text,
        idea_error=idea_error,
        client_id=client_id or str(uuid4()),
        join_url=acting(request, f"/m/{mission.slug}/join"),
        ideas_url=acting(request, f"/m/{mission.slug}/ideas"),
        say_url=onward(request, f"/m/{mission.slug}/cases/new"),
        flag_url=f"/m/{mission.slug}/flags/new?lang={language}&",
        asks_ideas=any(step.kind == missions.StepKind.IDEA for step in steps),
        can_write=bool(idea_error) or (_can_write(steps, presence) and not _is_under_15(request, person)),
        asks_age=not _is_under_15(request, person) and (person is None or person.age_declared_at is None),
        age=age,
        age_error=age_error,
        share_url=next((act.link for act in acts.shown if act.link), ""),
        carry=f"&s={came_by(request)}" if came_by(request) else "",
        invited=_is_invited(request, session, mission, person, standing),
        other_lang_url=f"/m/{mission.slug}?lang={other}" + (f"&s={came_by(request)}" if came_by(request) else ""),
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _is_invited(
    request: Request,
    session: DbSession,
    mission: Mission,
    person: Participant | None,
    standing: missions.Standing | None,
) -> bool:
    """Whether this person came by somebody's link, and their first act here would be noted with it."""
    code = came_by(request)
    if not code or objected(request) or (standing is not None and standing.member) or _is_under_15(request, person):
        return False
    inviter = missions.find_inviter(session, mission, code)
    return inviter is not None and (person is None or inviter != person.id)


def _is_under_15(request: Request, person: Participant | None) -> bool:
    return is_young(request) or (person is not None and bool(person.is_under_15))


def _can_write(steps: list[missions.Step], presence: int | None) -> bool:
    return any(
        step.kind == missions.StepKind.IDEA
        and (step.min_presence == 0 or (presence is not None and presence >= step.min_presence))
        for step in steps
    )
