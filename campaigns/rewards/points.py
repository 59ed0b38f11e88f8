"""Points: a lot for each completion, drawn by what their person spends, the one that ends first before the others.

Locks, everywhere: people, memberships, then lots by id, then coupons, offers and accounts. Whoever spends holds the
person's memberships of the campaign first, as whoever reverses one of its acts does.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, case, or_, update
from sqlmodel import Session, col, select

from campaigns.errors import Conflict
from campaigns.ids import uuid7_at
from campaigns.missions import Membership, Mission, Step
from campaigns.missions.acts import hold_membership
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.missions.settled import resting_on_scans, settled
from campaigns.planning import Campaign, Phase
from campaigns.rewards.issuing import REWARDING, hold_people
from campaigns.rewards.point_models import LotState, PointsLot, PointsSpend, PointsSpendLine
from campaigns.scans import CheckIn, Effect
from campaigns.storage import changed, columns_of, insert_once

CHUNK = 500  # lots a transaction


class Earning(NamedTuple):
    """The points of a completion. `is_sure`: the judge found nothing against the act, or none has to look at it."""

    done: StepCompletion
    mission: Mission
    is_sure: bool


def due(
    session: Session,
    *,
    scan_ids: Sequence[UUID] = (),
    completion_ids: Sequence[UUID] = (),
    now: datetime,
) -> list[Earning]:
    """The points that are due for scans the judge looked at, and for completions. Reads only."""
    found = {one.id: one for one in resting_on_scans(session, scan_ids)}
    named = select(StepCompletion).where(col(StepCompletion.id).in_(completion_ids))
    found |= {one.id: one for one in session.exec(named).all()}
    worth = [one for one in found.values() if one.points and one.phase != Phase.DRAFT.value]
    verified = [one for one in worth if one.state == CompletionState.VERIFIED.value]
    rewarding = _rewarding(session, {one.mission_id for one in verified}, now=now)
    sure = {one.id for one in settled(session, verified)}
    rows = sorted(verified, key=lambda one: (one.completed_at, one.id))
    return [Earning(one, rewarding[one.mission_id], one.id in sure) for one in rows if one.mission_id in rewarding]


def earning_among(session: Session, scan_ids: Iterable[UUID]) -> list[UUID]:
    """Those of these scans on which an act rests, in a campaign with a step that is worth points."""
    wanted = sorted(set(scan_ids))
    worth = select(Mission.campaign_id).join(Step, col(Step.mission_id) == Mission.id).where(Step.points > 0)
    if not wanted or session.exec(worth.limit(1)).first() is None:
        return []
    query = select(CheckIn.scan_id).where(col(CheckIn.scan_id).in_(wanted), col(CheckIn.campaign_id).in_(worth))
    return sorted(session.exec(query).all())


def earn(session: Session, earnings: Sequence[Earning], *, now: datetime) -> None:
    """Store the lots of these completions, once each; those beyond doubt are available. None for who was erased."""
    people = hold_people(session, {one.done.participant_id for one in earnings})
    for done, mission, is_sure in earnings:
        if done.participant_id not in people:
            continue
        insert_once(session, PointsLot, id=uuid7_at(now), **_lot(done, mission))
        if is_sure:
            days = mission.points_expire_days
            expires_at = now + timedelta(days=days) if days is not None else None
            session.execute(_RELEASED, {"done": done.id, "now": now, "until": expires_at})


def hold_account(session: Session, campaign_id: UUID, participant_id: UUID, phase: str) -> None:
    """Hold what a person's points of a campaign hang on: their memberships, in one order."""
    query = select(Membership.mission_id).join(Mission, col(Mission.id) == Membership.mission_id)
    mine = (Mission.campaign_id == campaign_id, Membership.participant_id == participant_id, Membership.phase == phase)
    for mission_id in session.exec(query.where(*mine).order_by(col(Membership.mission_id))).all():
        hold_membership(session, mission_id, participant_id, phase)


def balance(session: Session, campaign_id: UUID, participant_id: UUID, phase: str, *, now: datetime) -> int:
    """What a person may spend in a campaign now."""
    return sum(one.left for one in session.exec(_spendable(campaign_id, participant_id, phase, now)).all())


def draw(session: Session, spend: PointsSpend, *, now: datetime) -> list[PointsSpendLine]:
    """Take the points of a spend, already stored, from its person's lots: what ends first goes first.

    Conflict (`points_short`) when there are not enough. The person's account is held.
    """
    query = _spendable(spend.campaign_id, spend.participant_id, spend.phase, now).order_by(col(PointsLot.id))
    held = query.with_for_update(key_share=True).execution_options(populate_existing=True)
    lots = sorted(session.exec(held).all(), key=lambda one: (one.expires_at is None, one.expires_at or now, one.id))
    missing = spend.points
    lines = []
    for lot in lots:
        part = min(lot.left, missing)
        if part and session.execute(_DRAWN, {"lot": lot.id, "part": part, "now": now}).rowcount:  # type: ignore[attr-defined]  # a CursorResult
            lines.append(PointsSpendLine(spend_id=spend.id, lot_id=lot.id, points=part))
            missing -= part
            session.expire(lot)
    if missing:
        raise Conflict(f"This costs {spend.points} points; {spend.points - missing} are there.", code="points_short")
    session.add_all(lines)
    session.flush()
    return lines


def revoke(session: Session, completion_ids: Sequence[UUID], reason: str | None, *, now: datetime) -> list[Effect]:
    """Take back what is left of the lots of completions that are reversed, once; what was spent of them stays spent.

    Each has the reason of its completion when none is given.
    """
    if not completion_ids:
        return []
    mine = (col(PointsLot.completion_id).in_(completion_ids), PointsLot.state != LotState.REVOKED.value)
    query = select(PointsLot).where(*mine).order_by(col(PointsLot.id))
    held = session.exec(query.with_for_update(key_share=True).execution_options(populate_existing=True)).all()
    effects = []
    for lot in held:
        done = session.get_one(StepCompletion, lot.completion_id, populate_existing=True)
        if done.state != CompletionState.REVERSED:
            continue
        lot.state, lot.ended_at, lot.reason = LotState.REVOKED.value, now, reason or done.reason or "voided"
        session.add(lot)
        effects.append(Effect("points", lot.id, "used" if lot.spent else "reversed"))
    session.flush()
    return effects


def has_expired(session: Session, *, now: datetime) -> bool:
    """Whether there is a lot past its date that nobody noted. Reads only."""
    return session.exec(select(PointsLot.id).where(*_past(now)).limit(1)).first() is not None


def expire(session: Session, *, now: datetime, limit: int = CHUNK) -> int:
    """Note lots past their date as expired; how many, at most `limit`."""
    query = select(PointsLot.id).where(*_past(now)).order_by(col(PointsLot.id)).limit(limit)
    found = session.exec(query.with_for_update(skip_locked=True, key_share=True)).all()
    over = update(PointsLot).where(col(PointsLot.id).in_(found), *_past(now))
    over = over.values(state=LotState.EXPIRED.value, ended_at=col(PointsLot.expires_at))
    return changed(session, over.execution_options(synchronize_session=False)) if found else 0


def lines_of(session: Session, lot_ids: Sequence[UUID]) -> dict[UUID, list[tuple[PointsSpend, int]]]:
    """What was spent of each of these lots, oldest first."""
    query = select(PointsSpend, PointsSpendLine).join(PointsSpendLine, col(PointsSpendLine.spend_id) == PointsSpend.id)
    rows = session.exec(query.where(col(PointsSpendLine.lot_id).in_(lot_ids)).order_by(col(PointsSpend.id))).all()
    found: dict[UUID, list[tuple[PointsSpend, int]]] = defaultdict(list)
    for spend, line in rows:
        found[line.lot_id].append((spend, line.points))
    return found


def _lot(done: StepCompletion, mission: Mission) -> dict[str, Any]:
    return {
        "organisation_id": mission.organisation_id,
        "campaign_id": mission.campaign_id,
        "mission_id": mission.id,
        "step_id": done.step_id,
        "completion_id": done.id,
        "participant_id": done.participant_id,
        "phase": done.phase,
        "amount": done.points,
        "spent": 0,
        "state": LotState.PENDING.value,
        "earned_at": done.completed_at,
    }


def _rewarding(session: Session, mission_ids: set[UUID], *, now: datetime) -> dict[UUID, Mission]:
    """Those of these missions whose campaign gives anything now (I20)."""
    query = select(Mission, Campaign).join(Campaign, col(Campaign.id) == Mission.campaign_id)
    rows = session.exec(query.where(col(Mission.id).in_(mission_ids))).all() if mission_ids else []
    return {mission.id: mission for mission, campaign in rows if campaign.state_at(now) in REWARDING}


def _spendable(campaign_id: UUID, participant_id: UUID, phase: str, now: datetime) -> Any:
    return select(PointsLot).where(
        PointsLot.campaign_id == campaign_id,
        PointsLot.participant_id == participant_id,
        PointsLot.phase == phase,
        PointsLot.state == LotState.AVAILABLE.value,
        or_(col(PointsLot.expires_at).is_(None), col(PointsLot.expires_at) > now),
    )


def _past(now: datetime) -> tuple[Any, ...]:
    return PointsLot.state == LotState.AVAILABLE.value, col(PointsLot.expires_at) <= now


_TABLE, _AT = PointsLot.__table__, columns_of(PointsLot)  # type: ignore[attr-defined]  # SQLModel does not type it
_RELEASED = (
    update(_TABLE)
    .where(_AT.completion_id == bindparam("done"), _AT.state == LotState.PENDING.value)
    .values(state=LotState.AVAILABLE.value, available_at=bindparam("now"), expires_at=bindparam("until"))
)
_DRAWN = (
    update(_TABLE)
    .where(
        _AT.id == bindparam("lot"),
        _AT.state == LotState.AVAILABLE.value,
        or_(_AT.expires_at.is_(None), _AT.expires_at > bindparam("now")),
        _AT.spent + bindparam("part") <= _AT.amount,
    )
    .values(
        spent=_AT.spent + bindparam("part"),
        state=case((_AT.spent + bindparam("part") == _AT.amount, LotState.SPENT.value), else_=_AT.state),
    )
)
