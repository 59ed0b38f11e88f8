"""Badges: what each asks for is public; who does it has it, and loses it when what they did is reversed.

A badge counts all that its person did in the campaign, in one phase, and is looked at with each further act of theirs.
There is no order among people.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.community.models import Idea, IdeaState
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.ids import uuid7_at
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import (
    CompletionState,
    LocalText,
    MissionPlace,
    Referral,
    ReferralState,
    StepCompletion,
)
from campaigns.missions.settled import beyond_doubt, settled
from campaigns.planning import Campaign, Phase, State
from campaigns.rewards.issuing import REWARDING, hold_people
from campaigns.rewards.point_models import Badge, BadgeAward, BadgeKind
from campaigns.scans import CheckIn
from campaigns.storage import changed, find_own, insert_once, newest

BADGES_MOST = 50  # of a campaign: all of them are counted after each act
PHASES = (Phase.PILOT.value, Phase.LIVE.value)
LOST = "criteria_lost"  # the reason of a badge that went with nobody saying why
CHOSEN = (IdeaState.SELECTED.value, IdeaState.FUNDED.value, IdeaState.DELIVERED.value)


@dataclass(frozen=True)
class BadgePlan:
    """A badge as a marketer describes it."""

    name: LocalText
    kind: BadgeKind
    at_least: int
    description: LocalText | None = None
    mission_id: UUID | None = None


@dataclass(frozen=True)
class Reach:
    """Whose badges may change: people, those of acts, of newcomers' referrals and of ideas."""

    participant_ids: Sequence[UUID] = ()
    completion_ids: Sequence[UUID] = ()
    scan_ids: Sequence[UUID] = ()
    referral_ids: Sequence[UUID] = ()
    idea_ids: Sequence[UUID] = ()


def make_badge(session: Session, campaign: Campaign, plan: BadgePlan, *, now: datetime) -> Badge:
    """Make a badge. Conflict (`too_many_badges`) above fifty, (`wrong_state`) once the campaign has ended."""
    if campaign.state_at(now) == State.ENDED:
        raise Conflict("This campaign has ended; it takes no new badge.", code="wrong_state")
    session.exec(select(Campaign.id).where(Campaign.id == campaign.id).with_for_update(key_share=True)).one()
    number = select(func.count()).select_from(Badge).where(col(Badge.campaign_id) == campaign.id)
    if session.exec(number).one() >= BADGES_MOST:
        raise Conflict(f"A campaign has at most {BADGES_MOST} badges.", code="too_many_badges")
    of_campaign = {one.id for one in missions.list_missions(session, campaign.id)}
    if plan.mission_id is not None and plan.mission_id not in of_campaign:
        raise Invalid("There is no such mission in this campaign.", pointer="/criteria/mission_id")
    badge = Badge(
        id=uuid7_at(now),
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        mission_id=plan.mission_id,
        name=plan.name,
        description=plan.description,
        kind=plan.kind.value,
        at_least=plan.at_least,
        created_at=now,
        changed_at=now,
    )
    session.add(badge)
    session.flush()
    return badge


def badge_by_id(session: Session, organisation_id: UUID, badge_id: UUID, *, lock: bool = False) -> Badge:
    """The organisation's badge, held if asked; NotFound for another's."""
    found = find_own(session, Badge, organisation_id, badge_id, lock=lock)
    if found is None:
        raise NotFound("There is no such badge.")
    return found


def change_badge(session: Session, badge: Badge, *, now: datetime, **words: Any) -> Badge:
    """Change its name or description. What it asks for stays: people have it for that."""
    for name, value in words.items():
        setattr(badge, name, value)
    badge.changed_at = now
    session.add(badge)
    session.flush()
    return badge


def list_badges(session: Session, campaign_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Badge]:
    """Newest first, older than `before`."""
    return newest(session, select(Badge).where(Badge.campaign_id == campaign_id), Badge, before=before, limit=limit)


def badges_for(session: Session, mission: Mission) -> Sequence[Badge]:
    """What may be earned in a mission: its own badges and its campaign's, oldest first."""
    mine = (
        Badge.campaign_id == mission.campaign_id,
        col(Badge.mission_id).is_(None) | (Badge.mission_id == mission.id),
    )
    return session.exec(select(Badge).where(*mine).order_by(col(Badge.id))).all()


def awards_of(session: Session, participant_id: UUID) -> Sequence[tuple[BadgeAward, Badge]]:
    """The badges of a person, those they lost too, newest first."""
    query = select(BadgeAward, Badge).join(Badge, col(Badge.id) == BadgeAward.badge_id)
    return session.exec(
        query.where(BadgeAward.participant_id == participant_id).order_by(col(BadgeAward.id).desc())
    ).all()


def reached(session: Session, reach: Reach) -> list[tuple[UUID, UUID]]:
    """The people whose badges may change and the campaigns of these, where there is any badge. Reads only."""
    badged = select(Badge.campaign_id)
    if session.exec(badged.limit(1)).first() is None:
        return []
    pairs: set[tuple[UUID, UUID]] = set()
    for table, wanted, owner in (
        (StepCompletion, reach.completion_ids, StepCompletion.participant_id),
        (Referral, reach.referral_ids, Referral.referrer_id),
        (Idea, reach.idea_ids, Idea.participant_id),
    ):
        query = columns(col(owner), col(Mission.campaign_id)).join_from(
            table, Mission, col(Mission.id) == col(table.mission_id)
        )
        found = query.where(col(table.id).in_(wanted), col(Mission.campaign_id).in_(badged))
        pairs |= {(person, campaign) for person, campaign in session.execute(found)} if wanted else set()
    acts = columns(col(CheckIn.participant_id), col(CheckIn.campaign_id)).where(col(CheckIn.campaign_id).in_(badged))
    for column, wanted in ((CheckIn.scan_id, reach.scan_ids), (CheckIn.participant_id, reach.participant_ids)):
        if wanted:
            pairs |= {(person, campaign) for person, campaign in session.execute(acts.where(col(column).in_(wanted)))}
    for person, campaign in session.execute(_joined(reach.participant_ids)) if reach.participant_ids else ():
        pairs.add((person, campaign))
    return sorted(pairs)


def badged_among(session: Session, scan_ids: Iterable[UUID]) -> list[UUID]:
    """Those of these scans on which an act rests, in a campaign with a badge, in their order."""
    badged = select(Badge.campaign_id)
    wanted = sorted(set(scan_ids))
    if not wanted or session.exec(badged.limit(1)).first() is None:
        return []
    query = select(CheckIn.scan_id).where(col(CheckIn.scan_id).in_(wanted), col(CheckIn.campaign_id).in_(badged))
    return sorted(session.exec(query).all())


def settle(session: Session, pairs: Sequence[tuple[UUID, UUID]], reason: str | None, *, now: datetime) -> list[UUID]:
    """Award these people the badges they have done enough for, and revoke those they have not; the awards revoked.

    Nobody is awarded anything while the campaign gives nothing (I20), nor who was erased.
    """
    people = hold_people(session, {person for person, _ in pairs})
    there = [(person, campaign) for person, campaign in pairs if person in people]
    for badge, person_id, phase, has in _looked_at(session, there):
        if has and session.get_one(Campaign, badge.campaign_id).state_at(now) in REWARDING:
            _award(session, badge, person_id, phase, now=now)
    return lose(session, there, reason or LOST, now=now)


def lose(session: Session, pairs: Sequence[tuple[UUID, UUID]], reason: str, *, now: datetime) -> list[UUID]:
    """Revoke the badges that these people have not done enough for any more. It holds nobody: memberships are held."""
    revoked: list[UUID] = []
    for badge, person_id, phase, has in _looked_at(session, pairs):
        if not has:
            revoked += _revoke(session, badge, person_id, phase, reason, now=now)
    return revoked


def _looked_at(session: Session, pairs: Sequence[tuple[UUID, UUID]]) -> Iterator[tuple[Badge, UUID, str, bool]]:
    """Each badge of these people's campaigns, in each phase, and whether they have done enough for it; in one order."""
    by_campaign: dict[UUID, list[Badge]] = defaultdict(list)
    of = {campaign for _, campaign in pairs}
    for badge in session.exec(select(Badge).where(col(Badge.campaign_id).in_(of)).order_by(col(Badge.id))):
        by_campaign[badge.campaign_id].append(badge)
    for person_id, campaign_id in sorted(pairs):
        for badge in by_campaign[campaign_id]:
            for phase in PHASES:
                yield badge, person_id, phase, tally(session, badge, person_id, phase) >= badge.at_least


def tally(session: Session, badge: Badge, participant_id: UUID, phase: str) -> int:
    """How much a person did of what a badge counts, leaving out what the judge has not found good."""
    return _TALLIES[BadgeKind(badge.kind)](session, badge, participant_id, phase)


def _completions(session: Session, badge: Badge, participant_id: UUID, phase: str, *further: Any) -> int:
    return len(settled(session, _done(session, badge, participant_id, phase, *further)))


def _votes(session: Session, badge: Badge, participant_id: UUID, phase: str) -> int:
    return _completions(session, badge, participant_id, phase, Step.kind == StepKind.VOTE.value)


def _places(session: Session, badge: Badge, participant_id: UUID, phase: str) -> int:
    """Distinct places. Of one mission: those of the visits that count in it."""
    mine = (CheckIn.participant_id == participant_id, CheckIn.campaign_id == badge.campaign_id, CheckIn.phase == phase)
    acts = session.exec(select(CheckIn).where(*mine, col(CheckIn.place_id).is_not(None))).all()
    if badge.mission_id is not None:
        of = (MissionPlace.mission_id == badge.mission_id, MissionPlace.participant_id == participant_id)
        count = set(session.exec(select(MissionPlace.check_in_id).where(*of, MissionPlace.phase == phase)).all())
        count |= {one.source_id for one in _done(session, badge, participant_id, phase)}
        acts = [one for one in acts if one.id in count]
    good = beyond_doubt(session, acts)
    return len({one.place_id for one in acts if one.id in good})


def _referrals(session: Session, badge: Badge, participant_id: UUID, phase: str) -> int:
    counted = (ReferralState.QUALIFIED.value, ReferralState.REWARDED.value)
    mine = (Referral.referrer_id == participant_id, Referral.phase == phase, col(Referral.state).in_(counted))
    return _number(session, Referral, badge, mine)


def _ideas(session: Session, badge: Badge, participant_id: UUID, phase: str) -> int:
    mine = (Idea.participant_id == participant_id, Idea.phase == phase, col(Idea.state).in_(CHOSEN))
    return _number(session, Idea, badge, mine)


_TALLIES = {
    BadgeKind.COMPLETIONS: _completions,
    BadgeKind.PLACES: _places,
    BadgeKind.VOTES: _votes,
    BadgeKind.REFERRALS: _referrals,
    BadgeKind.IDEAS_SELECTED: _ideas,
}


def _done(session: Session, badge: Badge, participant_id: UUID, phase: str, *further: Any) -> Sequence[StepCompletion]:
    query = select(StepCompletion).join(Step, col(Step.id) == StepCompletion.step_id)
    query = query.join(Mission, col(Mission.id) == StepCompletion.mission_id).where(*_of(badge), *further)
    mine = (StepCompletion.participant_id == participant_id, StepCompletion.phase == phase)
    verified = query.where(*mine, StepCompletion.state == CompletionState.VERIFIED.value)
    return session.exec(verified.execution_options(populate_existing=True)).all()


def _number(session: Session, table: Any, badge: Badge, mine: tuple[Any, ...]) -> int:
    query = columns(func.count()).select_from(table).join(Mission, col(Mission.id) == table.mission_id)
    return int(session.execute(query.where(*_of(badge), *mine)).scalar_one())


def _of(badge: Badge) -> tuple[Any, ...]:
    if badge.mission_id is not None:
        return (Mission.id == badge.mission_id,)
    return (Mission.campaign_id == badge.campaign_id,)


def _joined(participant_ids: Sequence[UUID]) -> Any:
    query = columns(col(missions.Membership.participant_id), col(Mission.campaign_id)).join_from(
        missions.Membership, Mission, col(Mission.id) == missions.Membership.mission_id
    )
    return query.where(col(missions.Membership.participant_id).in_(participant_ids))


def _award(session: Session, badge: Badge, participant_id: UUID, phase: str, *, now: datetime) -> None:
    key = {"badge_id": badge.id, "participant_id": participant_id, "phase": phase}
    if insert_once(session, BadgeAward, id=uuid7_at(now), awarded_at=now, **key):
        return
    lost = _mine(badge, participant_id, phase).where(col(BadgeAward.revoked_at).is_not(None))
    again = lost.values(awarded_at=now, revoked_at=None, reason=None)
    changed(session, again.execution_options(synchronize_session=False))


def _revoke(
    session: Session, badge: Badge, participant_id: UUID, phase: str, reason: str, *, now: datetime
) -> list[UUID]:
    stands = _mine(badge, participant_id, phase).where(col(BadgeAward.revoked_at).is_(None))
    gone = stands.values(revoked_at=now, reason=reason).returning(col(BadgeAward.id))
    return list(session.execute(gone.execution_options(synchronize_session=False)).scalars())


def _mine(badge: Badge, participant_id: UUID, phase: str) -> Any:
    return update(BadgeAward).where(
        col(BadgeAward.badge_id) == badge.id,
        col(BadgeAward.participant_id) == participant_id,
        col(BadgeAward.phase) == phase,
    )
