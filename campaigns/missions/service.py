"""Missions: joining, checking in, and completing steps, each in the transaction of the act it rests on."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, update
from sqlmodel import Session, col, select

from campaigns import scans
from campaigns.announcements import announce
from campaigns.clock import civil_day
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import instant_of, plain_name, show, uuid7_at
from campaigns.missions.models import (
    MODES,
    CompletionState,
    GoalMetric,
    LocalText,
    Membership,
    Mission,
    MissionCounter,
    Repeat,
    Step,
    StepCompletion,
    StepKind,
)
from campaigns.missions.people import first_person, recognise_or_join
from campaigns.participants import Participant
from campaigns.planning import Campaign, State
from campaigns.scans import CheckIn, Position, Receipt, SealedFix
from campaigns.storage import add_up, changed, find_own, insert_once
from campaigns.tokens.directory import Entry

_SLUG = re.compile(r"[a-z0-9-]{1,80}\Z")


_TAKING_PART = (*scans.EARNING, scans.Verdict.HELD, scans.Verdict.TEST)  # robots and closed campaigns are not


@dataclass(frozen=True)
class StepPlan:
    """A step as a marketer describes it."""

    kind: StepKind
    min_presence: int = 0
    repeat: Repeat = Repeat.ONCE
    points: int = 0
    title: LocalText | None = None
    params: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StepOutcome:
    """What an act did to a step: `verified`, `pending`, `already` done in this period, or `refused` with the reason."""

    step: Step
    outcome: str
    reason: str | None = None


@dataclass(frozen=True)
class CheckedIn:
    """The answer to a check-in. `secret` is the new participant's, for the cookie, or None."""

    check_in: CheckIn
    person: Participant
    secret: str | None
    mission: Mission | None
    outcomes: list[StepOutcome]
    is_replay: bool


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
    acted = session.exec(select(StepCompletion.id).where(StepCompletion.mission_id == mission.id).limit(1)).first()
    if acted is not None:
        raise Conflict("People have completed steps of this mission: its steps are fixed.", code="rules_frozen")
    session.execute(delete(Step).where(col(Step.mission_id) == mission.id))
    for position, plan in enumerate(steps, 1):
        session.add(
            Step(
                id=uuid7_at(now),
                mission_id=mission.id,
                position=position,
                kind=plan.kind.value,
                mode=MODES[plan.kind].value,
                title=plan.title,
                min_presence=plan.min_presence,
                repeat=plan.repeat.value,
                points=plan.points,
                params=plan.params,
            )
        )
    session.flush()
    announce(session, "campaign", mission.campaign_id)


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


@dataclass(frozen=True)
class Ground:
    """What a check-in rests on and does not change: read before its transaction, which every scan on SQLite waits for.

    `first` is the check-in there was already; one that comes between is refused by its UNIQUE.
    """

    mission: Mission | None
    steps: Sequence[Step]
    first: CheckIn | None
    reasons: str


def ground_of(session: Session, receipt: Receipt, entry: Entry) -> Ground:
    """The mission of a scan's campaign with the steps a check-in is worth, the check-in it has, its reasons."""
    mission = mission_of(session, entry.campaign.id)
    steps = [step for step in steps_of(session, mission.id) if step.kind == StepKind.SCAN] if mission else []
    first = scans.find_check_in(session, receipt.scan_id)
    return Ground(mission, steps, first, scans.reasons_of(session, receipt.scan_id))


def check_in(
    session: Session,
    receipt: Receipt,
    entry: Entry,
    ground: Ground,
    *,
    cookie: str | None,
    language: str,
    position: Position | None,
    seal: Callable[[Position], SealedFix],
    till_window: int | None,
    occurred_at: datetime | None,
    rules_version_id: UUID | None = None,
    objected: bool = False,
    is_young: bool = False,
    now: datetime,
) -> CheckedIn:
    """Check in on a scan: joins the mission if need be and completes the step the act is worth.

    A replay returns the first answer; Gone when its person was erased. The participant is the cookie's, else a new
    one, known in this campaign alone when they object. Of who is under 15 no position is kept or used.
    """
    mission, steps, first = ground.mission, ground.steps, ground.first
    if first is not None:
        person = first_person(session, receipt)
        return CheckedIn(first, person, None, mission, first_outcomes(session, first, mission), True)
    person, secret = recognise_or_join(
        session, entry.campaign, cookie, language=language, objected=objected, is_young=is_young, now=now
    )
    position = None if person.is_under_15 else position
    done = scans.check_in(
        session,
        receipt,
        entry,
        person,
        is_newcomer=secret is not None,
        first_reasons=ground.reasons,
        position=position,
        sealed=seal(position) if position else None,
        till_window=till_window,
        occurred_at=occurred_at,
        least_presence=min((step.min_presence for step in steps), default=0),
        rules_version_id=rules_version_id,
        now=now,
    )
    if mission is not None and done.verdict in _TAKING_PART:
        take_part(session, mission, person, phase=done.phase, rules_version_id=rules_version_id, now=now)
        if done.counted:
            add_up(session, MissionCounter, _counter(mission, done.phase, "check_ins"), total=1)
    outcomes = [_offline(session, mission, step, person, done, entry, now=now) for step in steps if mission]
    return CheckedIn(done, person, secret, mission, outcomes, False)


def take_part(
    session: Session,
    mission: Mission,
    person: Participant,
    *,
    phase: str,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> bool:
    """Make the person a member of the mission, under its rules in force; whether they were not before."""
    is_new = insert_once(
        session,
        Membership,
        mission_id=mission.id,
        participant_id=person.id,
        phase=phase,
        joined_at=now,
        rules_version_id=rules_version_id,
    )
    if is_new:
        add_up(session, MissionCounter, _counter(mission, phase, "participants"), total=1)
        record_event(session, "mission.joined", now=now, mission_id=mission.id, participant_id=person.id)
    return is_new


def require_open(campaign: Campaign, *, now: datetime) -> str:
    """The phase an act of this campaign belongs to now; Conflict when it takes none, with the reason."""
    state = campaign.state_at(now)
    if state in (State.DRAFT, State.LIVE):
        return "draft" if state is State.DRAFT else "live"
    words = {
        State.SCHEDULED: "This campaign has not started yet.",
        State.PAUSED: "This campaign is paused. Come back soon.",
    }
    raise Conflict(
        words.get(state, "This campaign has ended. Thank you to everyone who took part."),
        code="campaign_closed",
    )


def complete(
    session: Session,
    mission: Mission,
    step: Step,
    person: Participant,
    *,
    period: str,
    presence: int,
    phase: str,
    source_id: UUID,
    state: CompletionState,
    now: datetime,
) -> StepOutcome:
    """Complete a step once per person and period (I10); counters move in the same transaction."""
    fields: dict[str, Any] = {
        "step_id": step.id,
        "mission_id": mission.id,
        "participant_id": person.id,
        "period": period,
        "phase": phase,
        "state": state.value,
        "presence": presence,
        "source_id": source_id,
        "completed_at": now,
    }
    is_new = insert_once(session, StepCompletion, id=uuid7_at(now), **fields)
    if not is_new and not (state is CompletionState.VERIFIED and _replaces_pending(session, fields)):
        return StepOutcome(step, "already")
    if state is CompletionState.VERIFIED:
        add_up(session, MissionCounter, _counter(mission, phase, "completions"), total=1)
    record_event(session, "step.completed", now=now, step_id=step.id, participant_id=person.id)
    return StepOutcome(step, state.value)


_COMPLETION_KEY = ("step_id", "participant_id", "period", "phase")


def _replaces_pending(session: Session, fields: dict[str, Any]) -> bool:
    """A verified act takes the place of one of the same period that still waits for its verdict."""
    key = [col(getattr(StepCompletion, name)) == fields[name] for name in _COMPLETION_KEY]
    waiting = col(StepCompletion.state) == CompletionState.PENDING
    return changed(session, update(StepCompletion).where(*key, waiting).values(**fields)) > 0


def period_of(repeat: str, instant: datetime, time_zone: str) -> str:
    """The period a completion falls in: `once`, a civil day, or an ISO week of that zone."""
    if repeat == Repeat.ONCE:
        return "once"
    day = civil_day(instant, time_zone)
    if repeat == Repeat.DAILY:
        return day.isoformat()
    year, week, _ = day.isocalendar()
    return f"{year}-W{week:02d}"


def first_outcomes(session: Session, done: CheckIn, mission: Mission | None) -> list[StepOutcome]:
    """What a check-in did when it was made, for a replay."""
    if mission is None:
        return []
    rows = session.exec(select(StepCompletion).where(StepCompletion.source_id == done.id)).all()
    by_step = {row.step_id: row.state for row in rows}
    return [
        _refusal(step, done) or StepOutcome(step, by_step.get(step.id, "already"))
        for step in steps_of(session, mission.id)
        if step.kind == StepKind.SCAN
    ]


def mission_of(session: Session, campaign_id: UUID) -> Mission | None:
    """The mission a campaign's scans lead to: its first."""
    return session.exec(select(Mission).where(Mission.campaign_id == campaign_id).order_by(col(Mission.id))).first()


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
    return session.exec(select(Step).where(Step.mission_id == mission_id).order_by(col(Step.position))).all()


def counters(session: Session, mission_id: UUID, *, phase: str = "live") -> dict[str, int]:
    """A mission's totals of a phase, by metric; missing means zero."""
    rows = session.exec(
        select(MissionCounter).where(MissionCounter.mission_id == mission_id, MissionCounter.phase == phase)
    )
    return {row.metric: row.total for row in rows}


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
    rows = session.execute(
        select(col(Step.position), col(StepCompletion.state))
        .join(StepCompletion, col(StepCompletion.step_id) == Step.id)
        .where(StepCompletion.participant_id == person.id, Step.mission_id == mission.id, StepCompletion.phase == phase)
    )
    return Standing(member, presence, dict(rows.all()), number)


def recount(session: Session) -> list[str]:
    """Mission counters against what they count, in words; empty when all adds up."""
    counted: dict[tuple[UUID, str, str], int] = {}
    for mission_id, phase, number in session.execute(
        select(col(Membership.mission_id), col(Membership.phase), func.count()).group_by(
            col(Membership.mission_id), col(Membership.phase)
        )
    ):
        counted[(mission_id, phase, "participants")] = number
    for mission_id, phase, number in session.execute(
        select(col(StepCompletion.mission_id), col(StepCompletion.phase), func.count())
        .where(StepCompletion.state == CompletionState.VERIFIED)
        .group_by(col(StepCompletion.mission_id), col(StepCompletion.phase))
    ):
        counted[(mission_id, phase, "completions")] = number
    first = {m.campaign_id: m.id for m in session.exec(select(Mission).order_by(col(Mission.id).desc()))}
    for campaign_id, mission_id, phase, number in session.execute(
        select(col(Mission.campaign_id), col(Mission.id), col(CheckIn.phase), func.count())
        .join(Membership, col(Membership.mission_id) == Mission.id)
        .join(CheckIn, col(CheckIn.participant_id) == Membership.participant_id)
        .where(
            col(CheckIn.counted),
            col(CheckIn.campaign_id) == Mission.campaign_id,
            col(CheckIn.phase) == Membership.phase,
            col(CheckIn.checked_in_at) >= Membership.joined_at,  # acts before the mission are not its own
        )
        .group_by(col(Mission.campaign_id), col(Mission.id), col(CheckIn.phase))
    ):
        if first[campaign_id] == mission_id:
            counted[(mission_id, phase, "check_ins")] = number
    return differences(session, counted, ("participants", "completions", "check_ins"))


def differences(session: Session, counted: dict[tuple[UUID, str, str], int], metrics: Sequence[str]) -> list[str]:
    """Where the stored totals of these metrics are not what was counted (mission, phase, metric), in words."""
    stored = {
        (row.mission_id, row.phase, row.metric): row.total
        for row in session.exec(select(MissionCounter).where(col(MissionCounter.metric).in_(metrics)))
    }
    return [
        f"mission counter {key[2]} ({key[1]}) of {show('mis', key[0])}: "
        f"{stored.get(key, 0)} stored, {counted.get(key, 0)} counted"
        for key in sorted(stored.keys() | counted.keys(), key=str)
        if stored.get(key, 0) != counted.get(key, 0)
    ]


def _offline(
    session: Session,
    mission: Mission,
    step: Step,
    person: Participant,
    done: CheckIn,
    entry: Entry,
    *,
    now: datetime,
) -> StepOutcome:
    refusal = _refusal(step, done)
    if refusal is not None:
        return refusal
    zone = entry.place.time_zone if entry.place else entry.campaign.time_zone
    return complete(
        session,
        mission,
        step,
        person,
        period=period_of(step.repeat, instant_of(done.scan_id), zone),
        presence=done.presence,
        phase=done.phase,
        source_id=done.id,
        state=CompletionState.PENDING if done.verdict == scans.Verdict.HELD else CompletionState.VERIFIED,
        now=now,
    )


def _refusal(step: Step, done: CheckIn) -> StepOutcome | None:
    if done.verdict not in _TAKING_PART:
        return StepOutcome(step, "refused", "not_counted")
    return StepOutcome(step, "refused", "presence") if done.presence < step.min_presence else None


def _counter(mission: Mission, phase: str, metric: str) -> dict[str, Any]:
    return {"mission_id": mission.id, "phase": phase, "metric": metric}


def count_idea(session: Session, mission: Mission, *, phase: str) -> None:
    """One more idea in the mission's totals."""
    count(session, mission, "ideas", phase=phase)


def count(session: Session, mission: Mission, metric: str, *, phase: str) -> None:
    """One more of a metric in the mission's totals."""
    add_up(session, MissionCounter, _counter(mission, phase, metric), total=1)
