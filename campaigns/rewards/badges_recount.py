"""Recounting badges: each that stands against what its person did (I19).

An act counts here while it stands, whatever its verdict: the scan log that a verdict rests on is kept for months, a
badge for as long as its person. And an idea counts though its words are hidden, or went with who wrote them.
"""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.community.models import Idea, IdeaState
from campaigns.events import Event
from campaigns.ids import show
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import CompletionState, Referral, ReferralState, StepCompletion
from campaigns.missions.tours import COUNTING
from campaigns.rewards.badges import CHOSEN, Reach, reached
from campaigns.rewards.point_models import Badge, BadgeAward, BadgeKind
from campaigns.scans import CheckIn

_HIDDEN = (IdeaState.HIDDEN.value, IdeaState.RESTORED.value, IdeaState.ERASED.value)
_MET = (ReferralState.QUALIFIED.value, ReferralState.REWARDED.value)


def recount(session: Session) -> Iterator[str]:
    """Badges that stand on less than they ask for, in words; but for people whose loss of one is on its way."""
    leaving = _leaving(session)
    for badge in session.exec(select(Badge).order_by(col(Badge.id))):
        done = {
            (person, phase): number for person, phase, number in session.execute(_DONE[BadgeKind(badge.kind)](badge))
        }
        stands = (BadgeAward.badge_id == badge.id, col(BadgeAward.revoked_at).is_(None))
        for award in session.exec(select(BadgeAward).where(*stands).order_by(col(BadgeAward.id))):
            number = done.get((award.participant_id, award.phase), 0)
            if number < badge.at_least and (award.participant_id, badge.campaign_id) not in leaving:
                told = f"{badge.at_least} {badge.kind} asked, {number} counted"
                yield f"{show('bdg', badge.id)} stands for {show('par', award.participant_id)}: {told}"


def _leaving(session: Session) -> set[tuple[UUID, UUID]]:
    """People and campaigns of which an event waits that may take a badge back."""
    names = ("step.reversed", "idea.decided")
    facts = [one.facts for one in session.exec(select(Event).where(col(Event.name).in_(names)))]
    undone = [UUID(one["completion_id"]) for one in facts if "completion_id" in one]
    ideas = [UUID(one["idea_id"]) for one in facts if "idea_id" in one]
    return set(reached(session, Reach(completion_ids=undone, idea_ids=ideas)))


def _of_mission(badge: Badge, table: Any, person: Any, *further: Any) -> Any:
    """How many rows of a table each person has in a badge's missions, by phase."""
    by = (col(person), col(table.phase))
    where: Any = Mission.id == badge.mission_id if badge.mission_id else Mission.campaign_id == badge.campaign_id
    query = columns(*by, func.count()).join_from(table, Mission, col(Mission.id) == table.mission_id)
    return query.where(where, *further).group_by(*by)


def _completions(badge: Badge, *further: Any) -> Any:
    verified = StepCompletion.state == CompletionState.VERIFIED.value
    return _of_mission(badge, StepCompletion, StepCompletion.participant_id, verified, *further)


def _votes(badge: Badge) -> Any:
    votes = columns(col(Step.id)).where(col(Step.kind) == StepKind.VOTE.value)
    return _completions(badge, col(StepCompletion.step_id).in_(votes))


def _places(badge: Badge) -> Any:
    by = (col(CheckIn.participant_id), col(CheckIn.phase))
    mine = (col(CheckIn.campaign_id) == badge.campaign_id, col(CheckIn.voided_at).is_(None))
    counting = col(CheckIn.verdict).in_(COUNTING)
    return columns(*by, func.count(func.distinct(col(CheckIn.place_id)))).where(*mine, counting).group_by(*by)


def _referrals(badge: Badge) -> Any:
    return _of_mission(badge, Referral, Referral.referrer_id, col(Referral.state).in_(_MET))


def _ideas(badge: Badge) -> Any:
    return _of_mission(badge, Idea, Idea.participant_id, col(Idea.state).in_((*CHOSEN, *_HIDDEN)))


_DONE: dict[BadgeKind, Callable[[Badge], Any]] = {
    BadgeKind.COMPLETIONS: _completions,
    BadgeKind.PLACES: _places,
    BadgeKind.VOTES: _votes,
    BadgeKind.REFERRALS: _referrals,
    BadgeKind.IDEAS_SELECTED: _ideas,
}
