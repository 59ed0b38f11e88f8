"""Missions and their ideas, for marketers."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictBool
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import blueprint, community, ids, missions, planning, sponsorship
from campaigns.identity import Right
from campaigns.missions import GoalMetric, Mission, Mode, Repeat, Step, StepKind, StepPlan
from campaigns.missions.kinds import QUESTIONS

router = APIRouter(prefix="/v1", tags=["missions"])
TOTALS = ("check_ins", "participants", "completions", "ideas", "votes", "referrals")


class GoalCreate(schemas.Request):
    """What the mission counts towards."""

    metric: GoalMetric
    value: schemas.Whole = Field(ge=1, le=schemas.MAX_INT)


class GoalRead(GoalCreate):
    """The goal; of `amount_minor`, `currency` is that of the mission's pledges, else of its campaign."""

    currency: str | None


class StepCreate(schemas.Request):
    """An act. Offline: `scan`, `visit_places`, `trail`, `staff_validated`, `redeem`, `bring_friend`; online: others.

    `min_presence` is that of the person's own visits; of `referral` that of the newcomer's, 1 at least.

    `params`: of scan perhaps `possession: true` (the code on a pack is asked for), of visit_places `n` and perhaps
    `places`, of trail `places` in their order, of staff_validated and redeem perhaps `places`; places by id or as
    `ext_...`. Of answer, whose title is the question, perhaps `choices` (2 to 12, else people write), of it and of rate
    perhaps `editable_h`, the hours in which a reply may be changed (24).
    `repeat`: once, daily, weekly, or a number of times.
    """

    kind: StepKind
    mode: Mode | None = None
    min_presence: schemas.Whole = Field(0, ge=0, le=3)
    repeat: Repeat | Annotated[schemas.Whole, Field(ge=2, le=100)] = Repeat.ONCE
    points: schemas.Whole = Field(0, ge=0, le=1_000_000)
    title: schemas.LocalText | None = None
    params: dict[schemas.Name, StrictBool | schemas.Whole | schemas.Name | list[schemas.LocalText]] = Field(
        default_factory=dict, max_length=20
    )


class MissionCreate(schemas.Request):
    """A shared goal. Texts are one string, or one a language: {"fr": ..., "en": ...}."""

    title: schemas.LocalText
    promise: schemas.LocalText
    goal: GoalCreate
    steps: list[StepCreate] = Field(min_length=1, max_length=20)
    points_expire_days: schemas.Whole | None = Field(
        None, ge=1, le=3650, description="for how many days points may be spent; absent: for good"
    )
    external_id: schemas.ExternalId | None = None


class StepRead(BaseModel):
    """A step as stored."""

    id: str
    position: int
    kind: str
    mode: str
    min_presence: int
    repeat: str | int
    points: int
    title: dict[str, str] | None
    params: dict[str, Any]


class MissionRead(BaseModel):
    """A mission with its running totals."""

    id: str
    external_id: str | None
    slug: str
    url: str
    title: dict[str, str]
    promise: dict[str, str]
    goal: GoalRead
    totals: dict[str, int]
    steps: list[StepRead]
    points_expire_days: int | None
    created_at: datetime


def show(session: DbSession, mission: Mission, base_url: str) -> MissionRead:
    totals = missions.counters(session, mission.id)
    reached = sponsorship.progress(session, mission, totals)
    counted = {name: totals.get(name, 0) for name in TOTALS}
    if mission.goal_metric == GoalMetric.AMOUNT_MINOR:
        counted[mission.goal_metric] = reached.done
    return MissionRead(
        id=ids.show("mis", mission.id),
        url=f"{base_url}/m/{mission.slug}",
        goal=GoalRead(metric=GoalMetric(mission.goal_metric), value=mission.goal_value, currency=reached.currency),
        totals=counted,
        steps=[
            StepRead(
                id=ids.show("stp", step.id),
                repeat=step.times if step.repeat.isdigit() else step.repeat,
                **step.model_dump(exclude={"id", "mission_id", "repeat"}),
            )
            for step in missions.steps_of(session, mission.id)
        ],
        **mission.model_dump(include={"external_id", "slug", "title", "promise", "points_expire_days", "created_at"}),
    )


@router.post("/campaigns/{campaign_id}/missions", dependencies=[may(Right.MISSIONS_WRITE)], status_code=201)
def start_mission(
    campaign_id: str, body: MissionCreate, actor: Actor, session: Session, core: Core, now: Now
) -> MissionRead:
    """Create a mission. The first mission of a campaign is the one its scans lead to."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    for step in body.steps:
        blueprint.require_mode(step.kind, step.mode)
    mission = missions.start_mission(
        session,
        campaign,
        title=blueprint.local(body.title),
        promise=blueprint.local(body.promise),
        goal_metric=body.goal.metric,
        goal_value=body.goal.value,
        steps=[_plan(step) for step in body.steps],
        external_id=body.external_id,
        points_expire_days=body.points_expire_days,
        now=now,
    )
    return show(session, mission, core.settings.base_url)


@router.get("/campaigns/{campaign_id}/missions", dependencies=[may(Right.MISSIONS_READ)])
def list_missions(campaign_id: str, actor: Actor, session: ReadSession, core: Core) -> Page:
    """Missions of a campaign, oldest first: the first is the one scans lead to."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    shown = [show(session, one, core.settings.base_url) for one in missions.list_missions(session, campaign.id)]
    return Page(data=shown, next_cursor=None)


@router.get("/missions/{mission_id}", dependencies=[may(Right.MISSIONS_READ)], response_model=MissionRead)
def read_mission(mission_id: str, actor: Actor, session: ReadSession, core: Core, tags: Tagged) -> Any:
    """One mission with its totals."""
    return tags.read(show(session, _mission(session, actor.organisation_id, mission_id), core.settings.base_url))


@router.get("/missions/{mission_id}/ideas", dependencies=[may(Right.MISSIONS_READ)])
def list_ideas(
    mission_id: str,
    actor: Actor,
    session: ReadSession,
    state: community.IdeaState | None = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """Ideas of a mission, newest first; those of one `state` when it is asked for."""
    mission = _mission(session, actor.organisation_id, mission_id)
    rows = community.list_ideas(session, mission.id, state=state, before=before(cursor), limit=limit + 1)

    def shown(row: Any) -> dict[str, Any]:
        idea, pseudonym = row
        into = ids.show("ide", idea.merged_into_id) if idea.merged_into_id else None
        names = ("text", "language", "state", "comments", "followers", "created_at", "edited_at")
        kept = idea.model_dump(include=set(names))
        return {"id": ids.show("ide", idea.id), "pseudonym": pseudonym, **kept, "merged_into": into}

    return page(rows, limit, shown, lambda row: row[0].id)


class GroupRead(BaseModel):
    """How many replied with a choice or mark; null where the group is kept back."""

    value: int
    text: dict[str, str] | None
    people: int | None


class QuestionRead(BaseModel):
    """A question and what people replied, as the public sees it: groups below ten are kept back."""

    id: str
    kind: str
    question: dict[str, str] | None
    people: int | None
    average: float | None
    groups: list[GroupRead]


@router.get("/missions/{mission_id}/questions", dependencies=[may(Right.MISSIONS_READ)])
def list_questions(mission_id: str, actor: Actor, session: ReadSession) -> Page:
    """The questions of a mission, in its order, with what people replied."""
    mission = _mission(session, actor.organisation_id, mission_id)
    asked = [step for step in missions.steps_of(session, mission.id) if step.kind in QUESTIONS]
    return Page(data=[_question(session, step) for step in asked], next_cursor=None)


@router.get("/missions/{mission_id}/replies", dependencies=[may(Right.MISSIONS_READ)])
def list_replies(mission_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """What people wrote in reply to the questions of a mission, newest first; without who chose what."""
    mission = _mission(session, actor.organisation_id, mission_id)
    asked = [step.id for step in missions.steps_of(session, mission.id) if step.kind in QUESTIONS]
    rows = community.words_on(session, asked, phase="live", before=before(cursor), limit=limit + 1)

    def shown(row: Any) -> dict[str, Any]:
        reply, pseudonym = row
        kept = reply.model_dump(include={"text", "language", "state", "created_at"})
        step = ids.show("stp", reply.step_id)
        return {"id": ids.show("rpl", reply.id), "question": step, "pseudonym": pseudonym, **kept}

    return page(rows, limit, shown, lambda row: row[0].id)


def _question(session: DbSession, step: Step) -> QuestionRead:
    found = community.results(session, step, phase="live")
    named: list[Any] = step.choices if step.kind == StepKind.ANSWER else [None] * community.BEST_MARK
    return QuestionRead(
        id=ids.show("stp", step.id),
        kind=step.kind,
        question=step.title,
        people=found.people,
        average=found.average,
        groups=[
            GroupRead(value=value, text=text, people=found.groups.get(value) if found.people else None)
            for value, text in enumerate(named, 1)
        ],
    )


class ReferralsRead(BaseModel):
    """How a mission spreads by word of mouth; `k_factor` is `brought` / `people` by `formula`.

    `brought` are new people who came to a place after taking part by somebody's link: `qualified` and, where it did the
    referrer's step, `rewarded`. `claimed` have not come yet, `blocked` count for nobody, by reason. All is null below
    five people.
    """

    formula: str
    people: int | None
    brought: int | None
    k_factor: float | None
    claimed: int | None
    qualified: int | None
    rewarded: int | None
    blocked: dict[str, int] | None


@router.get("/missions/{mission_id}/referrals", dependencies=[may(Right.MISSIONS_READ)])
def read_referrals(mission_id: str, actor: Actor, session: ReadSession) -> ReferralsRead:
    """Word of mouth of a mission: its K-factor and its referrals by state. Nobody is named, and no group below five."""
    mission = _mission(session, actor.organisation_id, mission_id)
    told = missions.word_of_mouth(session, mission.id)
    if told.k_factor is None:
        hidden = dict.fromkeys(ReferralsRead.model_fields.keys() - {"formula"})
        return ReferralsRead(formula=told.formula, **hidden)
    return ReferralsRead(
        formula=told.formula,
        people=told.people,
        brought=told.brought,
        k_factor=told.k_factor,
        claimed=told.states["claimed"],
        qualified=told.states["qualified"],
        rewarded=told.states["rewarded"],
        blocked=missions.blocked_by(session, mission.id, phase="live"),
    )


class ExternalActCreate(schemas.Request):
    """An act of a person that another system knows of: their public code in the mission, and its own id of the act."""

    participant: schemas.Name
    id: schemas.ExternalId


class ExternalActRead(BaseModel):
    """What the act did: `verified`, or `already` where the step was done in this period. A repeat reads the same."""

    id: str
    outcome: str


@router.post("/missions/{mission_id}/external-acts", dependencies=[may(Right.MISSIONS_ACT)], status_code=201)
def tell_of_act(mission_id: str, body: ExternalActCreate, actor: Actor, session: Session, now: Now) -> ExternalActRead:
    """Tell of an act that was done in another system, once by its id: it completes the mission's external step.

    404 for a code that nobody has in this mission, 409 `no_such_step` without such a step, 403 `under_age`.
    """
    mission = _mission(session, actor.organisation_id, mission_id)
    campaign = session.get_one(planning.Campaign, mission.campaign_id)
    outcome = missions.tell(session, mission, campaign, code=body.participant, external_id=body.id, now=now)
    return ExternalActRead(id=body.id, outcome=outcome)


def _mission(session: DbSession, organisation_id: Any, mission_id: str) -> Mission:
    return missions.mission_by_id(session, organisation_id, ids.parse("mis", mission_id))


def _plan(step: StepCreate) -> StepPlan:
    title = blueprint.local(step.title) if step.title else None
    return StepPlan(step.kind, step.min_presence, step.repeat, step.points, title, dict(step.params))
