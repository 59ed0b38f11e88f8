"""What a shopper's phone sees beyond the scan: the mission, joining, ideas, and `/me`."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID, uuid4

from babel.dates import format_date, format_datetime
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from sqlmodel import col, select
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import (
    Tongue,
    after_its_twin,
    cookie_of,
    keep_cookie,
    language_for,
    mission_named,
    moved,
    onward,
    participant_shown,
)
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import community, ids, missions, participants
from campaigns.clock import zone
from campaigns.errors import CampaignError, NotFound
from campaigns.missions import Mission
from campaigns.missions.models import text_in
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.scans.service import phase_of

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]


class JoinCreate(schemas.Request):
    """Joining needs nothing but the wish to."""

    client_id: ClientId | None = None


class IdeaCreate(schemas.Request):
    """An idea. `client_id` is made on the phone: a repeat gets the first answer."""

    text: schemas.Text = Field("", max_length=20_000)
    client_id: ClientId | None = None


@router.get("/m/{mission}", response_class=HTMLResponse)
def mission_page(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    mission: MissionName,
    lang: Tongue = None,
    just: Annotated[str, Query(pattern="^(checked_in|joined|idea|already|waiting|noted|)$")] = "",
) -> HTMLResponse:
    """The public mission page: promise, progress, ideas, ways to act."""
    found = mission_named(session, mission)
    return _mission_page(request, core, session, found, now, lang=lang, just=just)


@router.post("/m/{mission}/join")
async def join(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Take part: makes a pseudonymous participant and sets the cookie. Twice is once."""
    require_same_site(request)
    await read_fields(request, JoinCreate)
    return await run_in_threadpool(_join, request, core, mission, now)


def _join(request: Request, core: Services, mission: str, now: datetime) -> Response:
    rules = _rules_of(core, mission, now)
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        phase = missions.require_open(campaign, now=now)
        cookie = cookie_of(request, found.organisation_id)
        person, secret = missions.recognise_or_join(
            session, campaign, cookie, language=language_for(request, None), now=now
        )
        missions.take_part(session, found, person, phase=phase, rules_version_id=rules, now=now)
    body = {"participant": participant_shown(person)}
    answer = moved(request, f"/m/{found.slug}?just=joined", body)
    if secret:
        keep_cookie(answer, core, found.organisation_id, secret)
    return answer


def _rules_of(core: Services, name: str, now: datetime) -> UUID:
    """The version of a mission's rules in force, to be recorded with an act."""
    with core.database.snapshot() as session:
        mission = mission_named(session, name)
    return core.rules.version_id(core.database, mission, now=now)


@router.post("/m/{mission}/ideas", status_code=201)
async def post_idea(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Give an idea. Form or JSON `text` (1 to 500 characters), optional `client_id`: a repeat gets the first answer."""
    require_same_site(request)
    asked = await read_fields(request, IdeaCreate)
    return await run_in_threadpool(_post_idea, request, core, mission, asked, now)


def _post_idea(request: Request, core: Services, mission: str, asked: IdeaCreate, now: datetime) -> Response:
    client_id = asked.client_id or str(uuid4())
    language = language_for(request, None)

    rules = _rules_of(core, mission, now)

    def act() -> tuple[Mission, Participant, str | None, community.Posted]:
        with core.database.transaction() as session:
            found = mission_named(session, mission)
            campaign = session.get_one(Campaign, found.campaign_id)
            cookie = cookie_of(request, found.organisation_id)
            person, secret = missions.recognise_or_join(session, campaign, cookie, language=language, now=now)
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
        found, person, secret, posted = after_its_twin("already_posted", act)
    except CampaignError as error:
        if wants_json(request) or isinstance(error, NotFound):
            raise
        return _idea_again(request, core, mission, asked, error, now)
    idea = posted.idea
    body = {
        "id": ids.show("ide", idea.id),
        "text": idea.text,
        "state": idea.state,
        "participant": participant_shown(person),
    }
    answer = moved(request, f"/m/{found.slug}?just=idea", body, status=201)
    if secret:
        keep_cookie(answer, core, found.organisation_id, secret)
    return answer


@router.get("/me", response_class=HTMLResponse)
def me(request: Request, core: Core, session: ReadSession, lang: Tongue = None) -> HTMLResponse:
    """What this phone holds: its missions, visits and ideas."""
    language = language_for(request, lang)
    people = [
        person
        for name, secret in request.cookies.items()
        if name.startswith("passerelle_p_") and (person := participants.recognise(session, secret))
    ]
    context = _houses(session, people) | _holdings(core, session, people, language)
    page = core.renderer.page("me.html", language, js=core.renderer.script("shopper.js"), **context)
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _houses(session: DbSession, people: list[Participant]) -> dict[str, Any]:
    """The organisation of a phone's one participant; of several only the notices, each once."""
    houses = [views.house(session, id) for id in dict.fromkeys(person.organisation_id for person in people)]
    if len(houses) == 1:
        return houses[0]
    notices: list[Any] = []
    for house in houses:
        notices += [one for one in house["notices"] if one not in notices]
    return {"notices": notices}


def _idea_again(
    request: Request, core: Services, mission: str, asked: IdeaCreate, error: CampaignError, now: datetime
) -> Response:
    """The mission page once more, with what was typed and why it was not taken."""
    text = core.renderer.sentence(language_for(request, None), error.code, error.detail)
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        page = _mission_page(
            request, core, session, found, now, idea_error=text, idea_text=asked.text, client_id=asked.client_id
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
) -> HTMLResponse:
    language = language_for(request, lang)
    campaign = session.get_one(Campaign, mission.campaign_id)
    phase = phase_of(campaign.state)
    person = participants.recognise(session, cookie_of(request, mission.organisation_id))
    steps = list(missions.steps_of(session, mission.id))
    view, standing = views.person_view(session, mission, person, phase=phase) if person else (None, None)
    missing, ways = views.still_missing(core.renderer, language, steps, standing) if standing else ([], [])
    presence = standing.presence if standing else None
    page = core.renderer.page(
        "mission.html",
        language,
        **views.house(session, mission.organisation_id),
        rules_url=f"/m/{mission.slug}/rules",
        js=core.renderer.script("shopper.js"),
        mission=views.mission_view(session, mission, phase=phase, ideas=views.IDEAS_SHOWN),
        campaign_state=campaign.state_at(now).value,
        person=view,
        just=just,
        presence_words=views.presence_words(core.renderer, language, presence),
        missing=missing,
        ways=ways,
        idea_text=idea_text,
        idea_error=idea_error,
        client_id=client_id or str(uuid4()),
        join_url=onward(request, f"/m/{mission.slug}/join"),
        ideas_url=onward(request, f"/m/{mission.slug}/ideas"),
        can_write=bool(idea_error) or _can_write(steps, presence),
        other_lang_url=f"/m/{mission.slug}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _can_write(steps: list[missions.Step], presence: int | None) -> bool:
    return any(
        step.kind == missions.StepKind.IDEA
        and (step.min_presence == 0 or (presence is not None and presence >= step.min_presence))
        for step in steps
    )


def _holdings(core: Services, session: DbSession, people: list[Participant], language: str) -> dict[str, Any]:
    if not people:
        return {"person": None, "check_ins": [], "ideas": [], "missions": []}
    wanted = [person.id for person in people]
    acts = session.exec(
        select(CheckIn).where(col(CheckIn.participant_id).in_(wanted)).order_by(col(CheckIn.id).desc()).limit(100)
    ).all()
    visits = []
    for act in acts:
        place = session.get(Place, act.place_id) if act.place_id else None
        moment = zone(place.time_zone) if place else zone("UTC")
        visits.append(
            {
                "place": place.name if place else "",
                "when": format_datetime(act.occurred_at, "d MMMM, HH:mm", tzinfo=moment, locale=language),
                "presence_words": views.presence_words(core.renderer, language, act.presence),
            }
        )
    taking_part = select(missions.Membership.mission_id).where(col(missions.Membership.participant_id).in_(wanted))
    joined = session.exec(select(Mission).where(col(Mission.id).in_(taking_part))).all()
    held = []
    for mission in joined:
        owner = next(person for person in people if person.organisation_id == mission.organisation_id)
        phase = phase_of(session.get_one(Campaign, mission.campaign_id).state)
        done = missions.standing(session, mission, owner, phase=phase).done
        total = len(missions.steps_of(session, mission.id))
        held.append(
            {
                "title": text_in(mission.title, language),
                "url": f"/m/{mission.slug}",
                "steps_done": len(done),
                "steps_total": total,
            }
        )
    given = [idea for person in people for idea in community.ideas_of(session, person.id)]
    first = min(person.created_at for person in people)
    return {
        "person": {"pseudonym": people[0].pseudonym, "since": format_date(first, "d MMMM", locale=language)},
        "check_ins": visits,
        "ideas": [{"text": i.text, "when": format_date(i.created_at, "d MMMM", locale=language)} for i in given],
        "missions": held,
    }
