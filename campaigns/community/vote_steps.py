"""The vote step: what it rests on. It names the round and no vote: no row joins a person to what they chose."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.clock import instant_of_hour
from campaigns.community.models import Round, Vote
from campaigns.events import record_event
from campaigns.missions import Mission, StepKind
from campaigns.missions.models import StepCompletion
from campaigns.planning import Campaign
from campaigns.scans import Effect


def settle_steps(
    session: Session, mission: Mission, voter: str, participant_id: UUID, phase: str, *, reason: str, now: datetime
) -> list[Effect]:
    """Let a person's vote step rest on votes that stand: no more completions on a round than its ballot has votes.

    What is too much rests on another round they voted in, where it fits the step's period; else it is reversed.
    The person is held.
    """
    step = next((one for one in missions.steps_of(session, mission.id) if one.kind == StepKind.VOTE), None)
    done = missions.verified_of(session, step, participant_id, phase) if step else []
    if step is None or not done:
        return []
    votes = _votes_for(session, mission, voter, phase, step.min_presence)
    left = Counter(vote.round_id for vote in votes)
    stray: list[StepCompletion] = []
    for one in done:
        if left[one.source_id] > 0:
            left[one.source_id] -= 1
        else:
            stray.append(one)
    zone = session.get_one(Campaign, mission.campaign_id).time_zone
    effects = []
    for one in stray:
        period = "once" if step.repeat.isdigit() else one.period
        fits = (
            vote.round_id
            for vote in votes
            if left[vote.round_id] > 0
            and missions.period_of(step.repeat, instant_of_hour(vote.cast_hour), zone) == period
        )
        other = next(fits, None)
        if other is not None:
            left[other] -= 1
        effects.append(missions.rest_on(session, mission, one, other, reason=reason))
        if other is None:
            record_event(session, "step.reversed", now=now, completion_id=one.id)
    missions.note_completed(session, mission.id, participant_id, phase, now=now)
    return effects


def _votes_for(session: Session, mission: Mission, voter: str, phase: str, presence: int) -> Sequence[Vote]:
    """A voter's votes that stand in a mission's rounds and are worth its step, in one order."""
    query = select(Vote).join(Round, col(Round.id) == Vote.round_id)
    mine = (Round.mission_id == mission.id, Vote.voter == voter, Vote.phase == phase, col(Vote.slot).is_not(None))
    return session.exec(
        query.where(*mine, Vote.presence >= presence).order_by(col(Vote.round_id), col(Vote.slot))
    ).all()
