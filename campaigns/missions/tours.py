"""Steps that need several places: so many distinct ones, or a trail whose next place only counts in its order."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from campaigns import scans
from campaigns.clock import civil_day
from campaigns.ids import instant_of
from campaigns.missions.acts import StepOutcome, complete
from campaigns.missions.kinds import PLACES_MOST
from campaigns.missions.models import CompletionState, Mission, MissionPlace, Repeat, Step, StepKind
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.scans import CheckIn, Verdict
from campaigns.scans.models import Visit
from campaigns.storage import changed, insert_once
from campaigns.tokens import Token

COUNTING = (*scans.EARNING, Verdict.TEST)


def stops_done(route: Sequence[UUID], visited: Sequence[UUID]) -> int:
    """How many stops of a trail visits in this order have done: each counts only when it is the next one."""
    done = 0
    for place in visited:
        if done < len(route) and place == route[done]:
            done += 1
    return done


def advance(
    session: Session, mission: Mission, step: Step, person: Participant, done: CheckIn, *, now: datetime
) -> StepOutcome:
    """What a check-in is worth to a tour: `progress`, `verified` by the last place, `already`, or `refused` with why.

    The person's membership is held, so that two check-ins at once see one another.
    """
    if done.verdict == Verdict.HELD:
        return StepOutcome(step, "pending")
    if done.place_id is None or (step.places and done.place_id not in step.places):
        return StepOutcome(step, "refused", "other_place")
    acts = check_ins_of(session, step, person.id, mission.campaign_id, done.phase)
    if done.id not in {act.id for act in acts}:
        return StepOutcome(step, "refused", "too_soon")
    found = _visit(session, mission, step, done) if step.kind == StepKind.VISIT_PLACES else _stop(step, acts, done)
    if found.outcome != "progress" or not is_toured(session, step, person.id, done.phase, acts):
        return found
    return complete(
        session,
        mission,
        step,
        person,
        period=Repeat.ONCE,
        presence=step.min_presence,
        phase=done.phase,
        source_id=done.id,
        state=CompletionState.VERIFIED,
        now=now,
    )


def is_toured(session: Session, step: Step, participant_id: UUID, phase: str, acts: Sequence[CheckIn]) -> bool:
    """Whether a person's visits do a tour. `acts` are those that may count, in their order."""
    if step.kind == StepKind.TRAIL:
        return stops_done(step.places, [act.place_id for act in acts if act.place_id]) == len(step.places)
    return places_seen(session, step, participant_id, phase) >= int(step.params["n"])


def places_seen(session: Session, step: Step, participant_id: UUID, phase: str) -> int:
    """How many distinct places a person visited for a step, with the presence it asks for."""
    seen = columns(func.count()).where(
        col(MissionPlace.mission_id) == step.mission_id,
        col(MissionPlace.participant_id) == participant_id,
        col(MissionPlace.phase) == phase,
        col(MissionPlace.presence) >= step.min_presence,
    )
    if step.places:
        seen = seen.where(col(MissionPlace.place_id).in_(step.places))
    return int(session.execute(seen).scalar_one())


def check_ins_of(
    session: Session, step: Step, participant_id: UUID, campaign_id: UUID, phase: str
) -> Sequence[CheckIn]:
    """The check-ins of a person that a tour counts, in their order. None within three minutes of another place.

    Such a one is no visit (DOMAIN section 4). One more of the same code and day is one, though it is not counted again:
    who came out of a trail's order comes back. What was too soon before the counted one stays too soon.
    """
    rows = session.execute(
        select(CheckIn, Place.time_zone)
        .join(Place, col(Place.id) == CheckIn.place_id)
        .where(
            col(CheckIn.participant_id) == participant_id,
            col(CheckIn.campaign_id) == campaign_id,
            col(CheckIn.phase) == phase,
            col(CheckIn.verdict).in_(COUNTING),
            col(CheckIn.presence) >= step.min_presence,
        )
        .order_by(col(CheckIn.checked_in_at), col(CheckIn.id))
    ).all()
    if phase == "draft":
        return [act for act, _ in rows]
    visits = columns(col(Visit.token_id), col(Visit.civil_day), col(Visit.check_in_id))
    mine = (col(Visit.participant_id) == participant_id, col(Visit.phase) == phase)
    found = session.execute(visits.where(*mine)).all()
    counted = {(token_id, day): check_in_id for token_id, day, check_in_id in found}
    kept: list[CheckIn] = []
    for act, zone in rows:
        first = counted.get((act.token_id, civil_day(instant_of(act.scan_id), zone).isoformat()))
        if first is None or instant_of(act.id) < instant_of(first):
            continue
        if act.id == first or not _rushed(kept, act):
            kept.append(act)
    return kept


def _rushed(kept: Sequence[CheckIn], act: CheckIn) -> bool:
    """Whether this act came within three minutes of the last one, at another place."""
    if not kept or kept[-1].place_id == act.place_id:
        return False
    return abs(instant_of(act.scan_id) - instant_of(kept[-1].scan_id)) < scans.BETWEEN_PLACES


def _stop(step: Step, acts: Sequence[CheckIn], done: CheckIn) -> StepOutcome:
    visited = [act.place_id for act in acts if act.place_id is not None]
    before = stops_done(step.places, visited[:-1])
    if stops_done(step.places, visited) > before:
        return StepOutcome(step, "progress")
    is_behind = done.place_id in step.places[:before]
    return StepOutcome(step, "already") if is_behind else StepOutcome(step, "refused", "order")


def _visit(session: Session, mission: Mission, step: Step, done: CheckIn) -> StepOutcome:
    """Note the place, once (I11); a check-in with more presence takes the place of an earlier one."""
    assert done.place_id is not None  # noqa: S101  # `advance` asked
    key = {
        "mission_id": mission.id,
        "participant_id": done.participant_id,
        "place_id": done.place_id,
        "phase": done.phase,
    }
    if insert_once(session, MissionPlace, **key, presence=done.presence, check_in_id=done.id):
        return StepOutcome(step, "progress")
    mine = [col(getattr(MissionPlace, name)) == value for name, value in key.items()]
    better = update(MissionPlace).where(*mine, col(MissionPlace.presence) < done.presence)
    values = {"presence": done.presence, "check_in_id": done.id}
    rises = changed(session, better.values(**values).execution_options(synchronize_session=False))
    is_mine = columns(col(MissionPlace.phase)).where(*mine, col(MissionPlace.check_in_id) == done.id)
    is_news = bool(rises) or session.execute(is_mine).first() is not None
    return StepOutcome(step, "progress" if is_news else "already")


class StopState(StrEnum):
    """Of a stop before one person: done, the next one of a trail, or still to come in any order."""

    DONE = "done"
    NEXT = "next"
    OPEN = "open"


@dataclass(frozen=True)
class Stop:
    """A place of a tour, and where a person stands with it."""

    place: Place
    state: StopState


def stops_of(session: Session, mission: Mission, step: Step, person: Participant | None, *, phase: str) -> list[Stop]:
    """The places of a tour, a trail's in its order, others by name, and what a person has done of them.

    Where a step names no places they are those where the campaign has codes, 50 at most.
    """
    found = {place.id: place for place in session.exec(_places_of(mission, step))}
    if step.kind == StepKind.TRAIL:
        acts = check_ins_of(session, step, person.id, mission.campaign_id, phase) if person else []
        done = stops_done(step.places, [act.place_id for act in acts if act.place_id])
        states = [StopState.DONE] * done + [StopState.NEXT] + [StopState.OPEN] * len(step.places)
        return [Stop(found[id], state) for id, state in zip(step.places, states, strict=False) if id in found]
    seen: set[UUID] = set()
    if person is not None:
        query = columns(col(MissionPlace.place_id)).where(
            col(MissionPlace.mission_id) == mission.id,
            col(MissionPlace.participant_id) == person.id,
            col(MissionPlace.phase) == phase,
            col(MissionPlace.presence) >= step.min_presence,
        )
        seen = set(session.execute(query).scalars())
    named = sorted(found.values(), key=lambda place: (place.name, place.id))
    return [Stop(one, StopState.DONE if one.id in seen else StopState.OPEN) for one in named]


def _places_of(mission: Mission, step: Step) -> SelectOfScalar[Place]:
    if step.places:
        return select(Place).where(col(Place.id).in_(step.places))
    codes = columns(col(Token.place_id)).where(col(Token.campaign_id) == mission.campaign_id)
    return select(Place).where(col(Place.id).in_(codes)).order_by(col(Place.id)).limit(PLACES_MOST)


def tours_of(session: Session, mission_id: UUID) -> Sequence[Step]:
    """The steps of a mission that need several places."""
    kinds = (StepKind.VISIT_PLACES.value, StepKind.TRAIL.value)
    return session.exec(select(Step).where(Step.mission_id == mission_id, col(Step.kind).in_(kinds))).all()
