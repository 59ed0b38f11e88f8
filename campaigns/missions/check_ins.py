"""Checking in: the offline act on a scan, and the steps of the mission it completes, in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, select

from campaigns import planning, scans
from campaigns.ids import instant_of
from campaigns.missions import tours
from campaigns.missions.acts import StepOutcome, complete, count, period_of, take_part
from campaigns.missions.models import (
    ON_CHECK_IN,
    CompletionState,
    Mission,
    Step,
    StepAnswer,
    StepCompletion,
    StepKind,
)
from campaigns.missions.people import first_person, recognise_or_join
from campaigns.missions.service import Led, steps_of
from campaigns.participants import Participant
from campaigns.planning import Phase
from campaigns.scans import CheckIn, Position, Receipt, SealedFix
from campaigns.storage import store
from campaigns.tokens.directory import Entry

_TAKING_PART = (*scans.EARNING, scans.Verdict.HELD, scans.Verdict.TEST)  # robots and closed campaigns are not


@dataclass(frozen=True)
class CheckedIn:
    """The answer to a check-in. `secret` is the new participant's, for the cookie, or None."""

    check_in: CheckIn
    person: Participant
    secret: str | None
    mission: Mission | None
    outcomes: list[StepOutcome]
    is_replay: bool


@dataclass(frozen=True)
class Ground:
    """What a check-in rests on and does not change. A look costs 12 µs, a snapshot to look before 80.

    `first` is the check-in there was already; one that comes between is refused by its UNIQUE.
    """

    mission: Mission | None
    steps: Sequence[Step]
    first: CheckIn | None
    reasons: str


def ground_of(session: Session, receipt: Receipt, led: Led) -> Ground:
    """What a check-in on this scan rests on: its mission's steps that one is worth, the one it has, its reasons."""
    worth = [step for step in led.steps if step.kind in ON_CHECK_IN]
    reasons, is_known = scans.standing_of(session, receipt.scan_id)
    return Ground(led.mission, worth, scans.find_check_in(session, receipt.scan_id) if is_known else None, reasons)


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
    outcomes = counted_for(session, mission, steps, person, done, entry, now=now) if mission else []
    return CheckedIn(done, person, secret, mission, outcomes, False)


def counted_for(
    session: Session,
    mission: Mission,
    steps: Sequence[Step],
    person: Participant,
    done: CheckIn,
    entry: Entry,
    *,
    now: datetime,
) -> list[StepOutcome]:
    """Make the person a member and complete the steps that the check-in is worth."""
    if done.verdict in _TAKING_PART:
        if done.phase == Phase.PILOT:
            planning.require_pilot_place(session, mission.campaign_id, done.place_id)
        take_part(session, mission, person, phase=done.phase, rules_version_id=done.rules_version_id, now=now)
        if done.counted:
            count(session, mission, "check_ins", phase=done.phase)
    return [_offline(session, mission, step, person, done, entry, now=now) for step in steps]


def first_outcomes(session: Session, done: CheckIn, mission: Mission | None) -> list[StepOutcome]:
    """What a check-in did when it was made, for a replay."""
    if mission is None:
        return []
    rows = session.exec(select(StepCompletion).where(StepCompletion.source_id == done.id)).all()
    by_step = {row.step_id: row.state for row in rows}
    told = session.exec(select(StepAnswer).where(StepAnswer.check_in_id == done.id)).all()
    answers = {answer.step_id: answer for answer in told}
    steps = [step for step in steps_of(session, mission.id) if step.kind in ON_CHECK_IN]
    return [_first_outcome(step, done, answers.get(step.id), by_step.get(step.id, "already")) for step in steps]


def _first_outcome(step: Step, done: CheckIn, answer: StepAnswer | None, state: str) -> StepOutcome:
    if answer is not None and done.voided_at is None:
        return StepOutcome(step, answer.outcome, answer.reason)
    return _refusal(step, done) or StepOutcome(step, state)


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
    if step.kind in (StepKind.VISIT_PLACES, StepKind.TRAIL):
        found = tours.advance(session, mission, step, person, done, now=now)
        store(session, StepAnswer, check_in_id=done.id, step_id=step.id, outcome=found.outcome, reason=found.reason)
        return found
    if step.repeat.isdigit() and not done.counted and done.phase != "draft":
        return StepOutcome(step, "already")  # each of so many times is a visit of its own
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
    if not step.takes(done.reasons):
        return StepOutcome(step, "refused", "possession")
    return StepOutcome(step, "refused", "presence") if done.presence < step.min_presence else None
