"""Missions: making and changing them, finding them, and where a person stands in one."""

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, delete, func
from sqlalchemy import select as columns
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, col, select

from campaigns import scans
from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.ids import parse, plain_name, uuid7_at
from campaigns.last_writes import add_up_last
from campaigns.missions.kinds import checked_params, repeat_of
from campaigns.missions.models import (
    MODES,
    ActCode,
    CompletionState,
    FriendNaming,
    GoalMetric,
    LocalText,
    Membership,
    Mission,
    MissionCounter,
    Referral,
    Repeat,
    Step,
    StepAnswer,
    StepCompletion,
    StepKind,
)
from campaigns.participants import Participant
from campaigns.planning import Campaign, State
from campaigns.scans import CheckIn
from campaigns.storage import columns_of, find_own

# Built once: what every act asks costs half as much then.
_STEPS = select(Step).where(Step.mission_id == bindparam("mission")).order_by(col(Step.position))
_SLUG = re.compile(r"[a-z0-9-]{1,80}\Z")


@dataclass(frozen=True)
class StepPlan:
    """A step as a marketer describes it."""

    kind: StepKind
    min_presence: int = 0
    repeat: Repeat | str | int = Repeat.ONCE
    points: int = 0
    title: LocalText | None = None
    params: dict[str, Any] = field(default_factory=dict)


def start_mission(
    session: Session,
    campaign: Campaign,
    *,
    title: LocalText,
    promise: LocalText,
    goal_metric: GoalMetric,
    goal_value: int,
    steps: Sequence[StepPlan],
    external_id: str | None = None,
    points_expire_days: int | None = None,
    now: datetime,
) -> Mission:
    """Create a mission with its steps. Invalid without a step; Conflict on an ended campaign or a used name."""
    if campaign.state == State.ENDED:
        raise Conflict("This campaign has ended; it takes no new mission.", code="wrong_state")
    if external_id and find_mission(session, campaign.id, external_id=external_id):
        raise Conflict(f"A mission with external_id {external_id!r} is there already.", pointer="/external_id")
    id = uuid7_at(now)
    mission = Mission(
        id=id,
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        external_id=external_id,
        slug=free_slug(session, next(iter(title.values()))),
        title=title,
        promise=promise,
        goal_metric=goal_metric,
        goal_value=goal_value,
        points_expire_days=points_expire_days,
        created_at=now,
        changed_at=now,
    )
    session.add(mission)
    session.flush()
    set_steps(session, mission, steps, now=now)
    return mission


def set_steps(session: Session, mission: Mission, steps: Sequence[StepPlan], *, now: datetime) -> None:
    """Replace the steps of a mission nobody has acted in; Conflict once someone has."""
    if not steps:
        raise Invalid("A mission needs at least one step.", pointer="/steps")
    theirs = col(Step.mission_id) == mission.id
    # Held: an act on its way refers to its step, and is seen below.
    old = session.exec(select(Step.id).where(theirs).order_by(col(Step.id)).with_for_update()).all()
    if any(_rests_on(session, table, old) for table in (StepCompletion, StepAnswer, FriendNaming, Referral)):
        raise Conflict("People have acted in this mission: its steps are fixed.", code="rules_frozen")
    session.execute(delete(ActCode).where(col(ActCode.step_id).in_(old)))  # shown for ten minutes, and for nothing now
    _drop_steps(session, mission)
    for position, plan in enumerate(steps, 1):
        where = f"/steps/{position - 1}"
        if plan.kind is StepKind.ANSWER and not plan.title:
            raise Invalid("The title of such a step is its question.", pointer=f"{where}/title")
        repeat = repeat_of(plan.repeat, pointer=f"{where}/repeat")
        params = checked_params(session, mission.organisation_id, plan.kind, plan.params, repeat=repeat, pointer=where)
        session.add(
            Step(
                id=uuid7_at(now),
                mission_id=mission.id,
                position=position,
                kind=plan.kind.value,
                mode=MODES[plan.kind].value,
                title=plan.title,
                min_presence=plan.min_presence,
                repeat=repeat,
                points=plan.points,
                params=params,
            )
        )
    session.flush()
    announce(session, "campaign", mission.campaign_id)


def _rests_on(session: Session, table: Any, step_ids: Sequence[UUID]) -> bool:
    return session.exec(select(table.step_id).where(table.step_id.in_(step_ids)).limit(1)).first() is not None


def _drop_steps(session: Session, mission: Mission) -> None:
    """Conflict where something rests on one of them, as a pledge or an offer does: its foreign key says so."""
    try:
        session.execute(delete(Step).where(col(Step.mission_id) == mission.id))
    except IntegrityError as error:
        raise Conflict(
            "A pledge or an offer rests on a step of this mission: its steps are fixed.", code="rules_frozen"
        ) from error


def change_mission(session: Session, mission: Mission, *, now: datetime, **fields: Any) -> Mission:
    """Change words or goal of a mission; pages follow at once."""
    for key, value in fields.items():
        setattr(mission, key, value)
    mission.changed_at = now
    session.add(mission)
    announce(session, "campaign", mission.campaign_id)
    return mission


def free_slug(session: Session, title: str) -> str:
    """The title in lower-case ASCII and hyphens, with a number behind it when it is taken."""
    base = plain_name(title) or "mission"
    taken = set(session.exec(select(Mission.slug).where(col(Mission.slug).startswith(base))).all())
    return next(slug for slug in _numbered(base) if slug not in taken)


def _numbered(base: str) -> Iterator[str]:
    yield base
    for number in range(2, 10**6):
        yield f"{base}-{number}"


def mission_of(session: Session, campaign_id: UUID) -> Mission | None:
    """The mission a campaign's scans lead to: its first."""
    return session.exec(select(Mission).where(Mission.campaign_id == campaign_id).order_by(col(Mission.id))).first()


class Led(NamedTuple):
    """The mission a campaign's scans lead to, and its steps in their order."""

    mission: Mission | None
    steps: Sequence[Step]


NOWHERE = Led(None, ())  # where a held-out code leads


def led_to(session: Session, campaign_id: UUID) -> Led:
    """Where scans of a campaign lead."""
    mission = mission_of(session, campaign_id)
    return Led(mission, steps_of(session, mission.id) if mission else [])


def mission_named(session: Session, name: str) -> Mission:
    """A mission by its id (`mis_...`) or slug; NotFound else."""
    if not name.startswith("mis_"):
        return mission_by_name(session, name)
    found = session.get(Mission, parse("mis", name))
    if found is None:
        raise NotFound("There is no such mission.")
    return found


def mission_by_name(session: Session, name: str) -> Mission:
    """A mission by slug; NotFound else."""
    mission = session.exec(select(Mission).where(Mission.slug == name)).first() if _SLUG.match(name) else None
    if mission is None:
        raise NotFound("There is no such mission.")
    return mission


def mission_by_id(session: Session, organisation_id: UUID, mission_id: UUID) -> Mission:
    """The organisation's mission; NotFound for another's."""
    mission = find_own(session, Mission, organisation_id, mission_id)
    if mission is None:
        raise NotFound("There is no such mission.")
    return mission


def find_mission(session: Session, campaign_id: UUID, *, external_id: str) -> Mission | None:
    return session.exec(
        select(Mission).where(Mission.campaign_id == campaign_id, Mission.external_id == external_id)
    ).first()


def list_missions(session: Session, campaign_id: UUID) -> Sequence[Mission]:
    """Oldest first: the first is the one scans lead to."""
    return session.exec(select(Mission).where(Mission.campaign_id == campaign_id).order_by(col(Mission.id))).all()


def steps_of(session: Session, mission_id: UUID) -> Sequence[Step]:
    """In their order."""
    return session.exec(_STEPS, params={"mission": mission_id}).all()


def counters(session: Session, mission_id: UUID, *, phase: str = "live") -> dict[str, int]:
    """A mission's totals of a phase, by metric; missing means zero."""
    sums = columns(col(MissionCounter.metric), func.sum(col(MissionCounter.total))).where(
        col(MissionCounter.mission_id) == mission_id, col(MissionCounter.phase) == phase
    )
    rows = session.execute(sums.group_by(col(MissionCounter.metric)))
    return {metric: int(total) for metric, total in rows}


def fold_counters(session: Session) -> None:
    """Add what earlier processes counted to the counters of none (0). An act that comes between counts anew."""
    by = columns_of(MissionCounter)
    # Held in the order in which acts hold them, so that none waits for a row that waits for it.
    held = columns(by.mission_id).where(by.writer != 0).order_by(by.mission_id, by.phase, by.metric, by.writer)
    session.execute(held.with_for_update()).all()
    gone = delete(MissionCounter).where(col(MissionCounter.writer) != 0).returning(*by)
    for row in session.execute(gone).mappings().all():
        key = {name: row[name] for name in ("mission_id", "phase", "metric")}
        add_up_last(session, MissionCounter, {**key, "writer": 0}, total=row["total"])


@dataclass(frozen=True)
class Standing:
    """Where a person stands in a mission. `presence` is their best proof so far, None before any check-in."""

    member: bool
    presence: int | None
    done: dict[int, str]  # step position -> state
    check_ins: int


def standing(session: Session, mission: Mission, person: Participant, *, phase: str = "live") -> Standing:
    """What this person did in this mission, in a phase: what was tried in a draft is not there once it is live."""
    member = session.get(Membership, (mission.id, person.id, phase)) is not None
    presence, number = session.execute(
        select(func.max(col(CheckIn.presence)), func.count()).where(
            CheckIn.participant_id == person.id,
            CheckIn.campaign_id == mission.campaign_id,
            CheckIn.phase == phase,
            col(CheckIn.verdict).in_([*scans.EARNING, scans.Verdict.TEST]),
        )
    ).one()
    witnessed = session.execute(
        select(func.max(col(StepCompletion.presence)))
        .join(Step, col(Step.id) == StepCompletion.step_id)
        .where(
            StepCompletion.participant_id == person.id,
            Step.mission_id == mission.id,
            Step.kind == StepKind.STAFF_VALIDATED.value,
            StepCompletion.state == CompletionState.VERIFIED,
            StepCompletion.phase == phase,
        )
    ).scalar()
    if witnessed is not None:
        presence = max(presence or 0, witnessed)
    rows = session.execute(
        select(Step, col(StepCompletion.state))
        .join(StepCompletion, col(StepCompletion.step_id) == Step.id)
        .where(
            StepCompletion.participant_id == person.id,
            Step.mission_id == mission.id,
            StepCompletion.phase == phase,
            StepCompletion.state != CompletionState.REVERSED,
        )
    )
    return Standing(member, presence, _done(rows.all()), number)


def _done(rows: Sequence[Any]) -> dict[int, str]:
    """The state of each step by its position; a step that counts a number of times is done by the last of them."""
    states: dict[int, list[str]] = defaultdict(list)
    times: dict[int, int] = {}
    for step, state in rows:
        states[step.position].append(state)
        times[step.position] = step.times
    verified = CompletionState.VERIFIED.value
    return {
        position: verified if verified in found else CompletionState.PENDING.value
        for position, found in states.items()
        if len(found) >= times[position]
    }
