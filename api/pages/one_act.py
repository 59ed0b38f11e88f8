"""One act of a phone's person, in one transaction: what routers of such acts share."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any

from fastapi import Request
from fastapi.responses import Response
from pydantic import Field
from sqlmodel import Session as DbSession

from api import problems
from api.dependencies import Services
from api.pages.ages import UNDER_15, note_young, of_age
from api.pages.phone import (
    cookie_of,
    is_young,
    keep_cookie,
    keep_young,
    language_for,
    link_of,
    mission_named,
    moved,
    objected,
)
from campaigns import ids, missions
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.online import TOO_YOUNG
from campaigns.participants import Participant
from campaigns.planning import Campaign

StepName = Annotated[str | None, Field(max_length=60, description="`stp_...`; without it the first step of the kind")]
Act = Callable[[DbSession, Mission, Campaign, Participant], dict[str, Any]]


def act_once(
    request: Request,
    core: Services,
    mission: str,
    act: Act,
    onto: Callable[[Mission, dict[str, Any]], str],
    *,
    age: str | None = None,
    status: int = 200,
    now: datetime,
) -> Response:
    """Act as the person of this phone, in one transaction; a form is led `onto` a page, JSON gets what the act returns.

    A newcomer who came by somebody's link is noted with it.
    """
    if age == UNDER_15:
        note_young(request, core, mission, now)
        answer = problems.refuse(request, Forbidden(TOO_YOUNG, code="under_age"))
        keep_young(answer, core)
        return answer
    link = link_of(request, now)
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
        missions.claim(session, found, campaign, person, link, now=now)
        done = act(session, found, campaign, person)
    answer = moved(request, onto(found, done), done, status=status)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def adult(request: Request, session: DbSession, person: Participant, age: str | None, now: datetime) -> Participant:
    """The person of an act for people of 15 and over, with what they say of their age. Forbidden under it."""
    if person.is_under_15:
        raise Forbidden(TOO_YOUNG, code="under_age")
    return of_age(request, session, person, age, now)


def step_named(session: DbSession, mission: Mission, name: str | None, kinds: tuple[StepKind, ...]) -> Step:
    """The step that was asked for, or the first of these kinds. NotFound for another, Conflict where there is none."""
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
