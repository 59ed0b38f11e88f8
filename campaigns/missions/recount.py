"""Recounting missions: every counter against what it counts (I22)."""

from collections import Counter
from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import and_, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.ids import show
from campaigns.missions import referrals
from campaigns.missions.models import (
    CompletionState,
    Membership,
    Mission,
    MissionCounter,
    MissionPlace,
    Step,
    StepCompletion,
)
from campaigns.missions.tours import COUNTING
from campaigns.scans import CheckIn


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
    counted |= {(mission_id, phase, "check_ins"): number for (mission_id, phase), number in visits_of(session).items()}
    counted |= referrals.recount(session)
    return [
        *differences(session, counted, ("participants", "completions", "check_ins", "referrals")),
        *_wrong_ends(session),
        *_wrong_places(session),
    ]


def _wrong_ends(session: Session) -> list[str]:
    """Memberships that say the mission is done when a step is not, or the reverse."""
    times: dict[UUID, dict[UUID, int]] = {}
    for step in session.exec(select(Step)):
        times.setdefault(step.mission_id, {})[step.id] = step.times
    key = [col(getattr(StepCompletion, one)) for one in ("mission_id", "participant_id", "phase", "step_id")]
    verified = col(StepCompletion.state) == CompletionState.VERIFIED
    done: Counter[tuple[UUID, UUID, str]] = Counter()
    for mission_id, person_id, phase, step_id, number in session.execute(
        columns(*key, func.count()).where(verified).group_by(*key)
    ):
        done[mission_id, person_id, phase] += number >= times[mission_id][step_id]
    mine = [col(getattr(Membership, one)) for one in ("mission_id", "participant_id", "phase")]
    is_over = col(Membership.completed_at).is_not(None)
    return [
        f"mission {show('mis', mission_id)} ({phase}) of {show('par', person_id)}: "
        f"{'done' if is_done else 'open'} stored, {done[mission_id, person_id, phase]} of "
        f"{len(times[mission_id])} steps done"
        for mission_id, person_id, phase, is_done in session.execute(columns(*mine, is_over))
        if mission_id in times and is_done != (done[mission_id, person_id, phase] == len(times[mission_id]))
    ]


def _wrong_places(session: Session) -> list[str]:
    """Places visited for a mission that rest on no visit of that person there, or on one of another presence."""
    rests = (
        col(CheckIn.participant_id) == MissionPlace.participant_id,
        col(CheckIn.place_id) == MissionPlace.place_id,
        col(CheckIn.phase) == MissionPlace.phase,
        col(CheckIn.presence) == MissionPlace.presence,
        col(CheckIn.verdict).in_(COUNTING),
    )
    query = (
        columns(col(MissionPlace.mission_id), col(MissionPlace.participant_id), col(MissionPlace.place_id))
        .outerjoin(CheckIn, and_(col(CheckIn.id) == MissionPlace.check_in_id, *rests))
        .where(col(CheckIn.id).is_(None))
    )
    return [
        f"place {show('plc', place_id)} of {show('par', person_id)} in mission {show('mis', mission_id)}: no such visit"
        for mission_id, person_id, place_id in session.execute(query)
    ]


def visits_of(session: Session, participant_ids: Sequence[UUID] | None = None) -> dict[tuple[UUID, str], int]:
    """The counted check-ins of each mission and phase, from the log; only those of these people when they are given."""
    first = {m.campaign_id: m.id for m in session.exec(select(Mission).order_by(col(Mission.id).desc()))}
    key = (col(Mission.campaign_id), col(Mission.id), col(CheckIn.phase))
    query = (
        select(*key, func.count())
        .join(Membership, col(Membership.mission_id) == Mission.id)
        .join(CheckIn, col(CheckIn.participant_id) == Membership.participant_id)
        .where(
            col(CheckIn.counted),
            col(CheckIn.campaign_id) == Mission.campaign_id,
            col(CheckIn.phase) == Membership.phase,
            col(CheckIn.checked_in_at) >= Membership.joined_at,  # acts before the mission are not its own
        )
        .group_by(*key)
    )
    if participant_ids is not None:
        query = query.where(col(CheckIn.participant_id).in_(participant_ids))
    return {
        (mission_id, phase): number
        for campaign_id, mission_id, phase, number in session.execute(query)
        if first[campaign_id] == mission_id
    }


def differences(session: Session, counted: dict[tuple[UUID, str, str], int], metrics: Sequence[str]) -> list[str]:
    """Where the stored totals of these metrics are not what was counted (mission, phase, metric), in words."""
    key = (col(MissionCounter.mission_id), col(MissionCounter.phase), col(MissionCounter.metric))
    sums = columns(*key, func.sum(col(MissionCounter.total))).where(key[2].in_(metrics)).group_by(*key)
    stored = {(mission_id, phase, metric): int(total) for mission_id, phase, metric, total in session.execute(sums)}
    return [
        f"mission counter {key[2]} ({key[1]}) of {show('mis', key[0])}: "
        f"{stored.get(key, 0)} stored, {counted.get(key, 0)} counted"
        for key in sorted(stored.keys() | counted.keys(), key=str)
        if stored.get(key, 0) != counted.get(key, 0)
    ]
