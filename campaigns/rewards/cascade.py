"""All that a person earned when its ground changes: acts judged or reversed, two names made one, a person erased.

Lots of points come first, then coupons, then badges, as their locks do: people, memberships, payouts, lots, coupons,
offers, gifts.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns.missions import Mission
from campaigns.missions.models import StepCompletion
from campaigns.missions.settled import resting_on_scans
from campaigns.participants.merging import REASON, Merge
from campaigns.planning import Campaign, State
from campaigns.rewards import badges, ending, issuing, points
from campaigns.rewards.badges import Reach
from campaigns.rewards.issuing import Want
from campaigns.rewards.models import Coupon
from campaigns.rewards.point_models import BadgeAward, PointsLot, PointsSpend
from campaigns.rewards.points import Earning
from campaigns.scans import Effect, Undone
from campaigns.sponsorship.models import WaitingAct
from campaigns.storage import hand_over, insert_many_once

_POINTS = (col(PointsLot.participant_id), col(PointsSpend.participant_id))
PERSON_COLUMNS = (*ending.PERSON_COLUMNS, *_POINTS, col(BadgeAward.participant_id))


@dataclass(frozen=True)
class Due:
    """What is to be given for acts: coupons, lots of points, and whose badges are to be looked at.

    `waiting`: acts of a campaign that is paused, with the campaign; they are looked at again when it goes on or ends.
    """

    wants: Sequence[Want]
    earnings: Sequence[Earning]
    reached: Sequence[tuple[UUID, UUID]]
    waiting: Sequence[tuple[UUID, UUID]] = ()


def due(
    session: Session,
    *,
    scan_ids: Sequence[UUID] = (),
    completion_ids: Sequence[UUID] = (),
    undone_ids: Sequence[UUID] = (),
    referral_ids: Sequence[UUID] = (),
    idea_ids: Sequence[UUID] = (),
    now: datetime,
) -> Due:
    """What is due for scans the judge looked at, completions, referrals and ideas."""
    done = {"scan_ids": scan_ids, "completion_ids": completion_ids}
    earnings = points.due(session, now=now, **done)
    acts = [*completion_ids, *undone_ids, *(one.done.id for one in earnings)]
    reach = Reach(completion_ids=acts, scan_ids=scan_ids, referral_ids=referral_ids, idea_ids=idea_ids)
    wants = issuing.due(session, now=now, **done)
    return Due(wants, earnings, badges.reached(session, reach), _waiting(session, now=now, **done))


def give(session: Session, found: Due, *, now: datetime) -> None:
    """Give what is due, once each; and note what waits for its campaign to go on (I20)."""
    rows = [{"completion_id": id, "campaign_id": campaign_id} for id, campaign_id in found.waiting]
    if rows:
        insert_many_once(session, WaitingAct, rows)
    points.earn(session, found.earnings, now=now)
    issuing.issue(session, found.wants, now=now)
    badges.settle(session, found.reached, None, now=now)


def earning_among(session: Session, scan_ids: Iterable[UUID]) -> list[UUID]:
    """Those of these scans that an act rests on which may earn a coupon, points or a badge, in their order."""
    wanted = list(scan_ids)
    parts = (issuing.earning_among, points.earning_among, badges.badged_among)
    return sorted({id for part in parts for id in part(session, wanted)})


def unearn(session: Session, completion_ids: Sequence[UUID], reason: str | None, *, now: datetime) -> list[Effect]:
    """Take back the unspent points, unused coupons and unpaid gifts of completions that are reversed; what was done."""
    ending.hold_payouts(session, source_ids=completion_ids)
    effects = points.revoke(session, completion_ids, reason, now=now)
    return [*effects, *ending.unearn(session, completion_ids, reason, now=now)]


def reverse(session: Session, undone: Undone, now: datetime) -> list[Effect]:
    """Take back what voided acts earned, in the transaction that voids them (I19)."""
    gone = [one.subject_id for one in undone.effects if (one.what, one.outcome) == ("completion", "reversed")]
    met = [one.subject_id for one in undone.effects if one.what == "referral"]
    ending.hold_payouts(session, source_ids=gone)
    effects = points.revoke(session, gone, undone.reason, now=now)
    effects += ending.reverse(session, undone, now)
    people = [undone.participant_id] if undone.participant_id is not None else []
    pairs = badges.reached(session, Reach(participant_ids=people, completion_ids=gone, referral_ids=met))
    lost = badges.lose(session, pairs, undone.reason, now=now)
    return [*effects, *(Effect("badge", id) for id in lost)]


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the points, coupons and badges of the newer one; what rests on acts that went, goes."""
    mine = col(Coupon.participant_id).in_(merge.ids)
    ending.hold_payouts(session, source_ids=session.exec(select(Coupon.source_id).where(mine)).all())
    _merge_points(session, merge)
    ending.merge(session, merge)
    _merge_awards(session, merge)
    pairs = badges.reached(session, Reach(participant_ids=[merge.older.id]))
    merge.undone["badges"] += len(badges.settle(session, pairs, REASON, now=merge.now))


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave a person's points, coupons and badges to nobody: they stay counted."""
    ending.forget(session, participant_id, surrogate=surrogate)
    hand_over(session, (*_POINTS, col(BadgeAward.participant_id)), participant_id, surrogate)


def has_expired(session: Session, *, now: datetime) -> bool:
    """Whether there is a coupon to let go or a lot to note. Reads only."""
    return points.has_expired(session, now=now) or ending.has_expired(session, now=now)


def expire(session: Session, *, now: datetime) -> int:
    """Note lots past their date, and let coupons go; how many, at most 500 of each."""
    return points.expire(session, now=now) + ending.expire(session, now=now)


def _waiting(
    session: Session, *, scan_ids: Sequence[UUID], completion_ids: Sequence[UUID], now: datetime
) -> list[tuple[UUID, UUID]]:
    """The acts among these whose campaign is paused now, with it."""
    stored = session.exec(select(Campaign).where(Campaign.state == State.PAUSED.value)).all()
    paused = [one.id for one in stored if one.state_at(now) is State.PAUSED]
    if not paused:
        return []
    ids = {*completion_ids, *(one.id for one in resting_on_scans(session, scan_ids))}
    query = select(StepCompletion.id, Mission.campaign_id).join(Mission, col(Mission.id) == StepCompletion.mission_id)
    theirs = query.where(col(StepCompletion.id).in_(ids), col(Mission.campaign_id).in_(paused))
    return sorted(session.exec(theirs).all())


def _merge_points(session: Session, merge: Merge) -> None:
    mine = select(PointsLot).where(col(PointsLot.participant_id).in_(merge.ids)).order_by(col(PointsLot.id))
    lots = session.exec(mine.with_for_update(key_share=True)).all()
    older, newer = merge.ids
    spends = (col(PointsSpend.participant_id) == newer, col(PointsSpend.client_id).in_(_client_ids(older)))
    twins = session.exec(select(PointsSpend.id).where(*spends).order_by(col(PointsSpend.id))).all()
    for id in twins:  # two phones may have made one id: the newer one's is never asked for again
        renamed = update(PointsSpend).where(col(PointsSpend.id) == id).values(client_id=f"merged-{uuid4().hex}")
        session.execute(renamed.execution_options(synchronize_session=False))
    hand_over(session, _POINTS, newer, older)
    session.expire_all()
    gone = points.revoke(session, [one.completion_id for one in lots], REASON, now=merge.now)
    merge.undone["points"] += len(gone)


def _client_ids(participant_id: UUID) -> Any:
    return select(PointsSpend.client_id).where(PointsSpend.participant_id == participant_id)


def _merge_awards(session: Session, merge: Merge) -> None:
    """One award a badge and phase: the one that stands, the older of two."""
    mine = select(BadgeAward).where(col(BadgeAward.participant_id).in_(merge.ids)).order_by(col(BadgeAward.id))
    rows = session.exec(mine.with_for_update().execution_options(populate_existing=True)).all()
    best: dict[tuple[UUID, str], BadgeAward] = {}
    for row in sorted(rows, key=lambda one: (one.revoked_at is not None, one.awarded_at, one.id)):
        best.setdefault((row.badge_id, row.phase), row)
    kept = {one.id for one in best.values()}
    doubled = [one.id for one in rows if one.id not in kept]
    if doubled:
        gone = delete(BadgeAward).where(col(BadgeAward.id).in_(doubled))
        session.execute(gone.execution_options(synchronize_session=False))
    hand_over(session, [col(BadgeAward.participant_id)], merge.newer.id, merge.older.id)
    session.expire_all()
