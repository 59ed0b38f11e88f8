"""Reckoning: bringing what pledges owe for acts in line with what is known of them. Again and again, in any order.

For each act and each pledge that counts it: to be paid and not yet accrued, it accrues; accrued and not to be paid any
more, it is undone; else nothing happens. So no event need come before another, and one that comes twice changes
nothing. Locks come in one order: people, the campaign (shared: who pauses it waits), pledges by id, accounts.

What falls in a round goes before what comes, and frees its room; then acts are paid in the order they were done.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.announcements import announce
from campaigns.events import record_event
from campaigns.missions import Mission
from campaigns.participants.merging import REASON as MERGED
from campaigns.planning import Campaign
from campaigns.scans import Effect
from campaigns.sponsorship import ledger
from campaigns.sponsorship.acts import acts_of, hold_people, missions_of
from campaigns.sponsorship.drawing import accrue
from campaigns.sponsorship.ledger import AccountKind
from campaigns.sponsorship.lifecycle import WAITED
from campaigns.sponsorship.models import Accrual, Pledge, PledgeAct, PledgeKind, PledgeState, WaitingAct
from campaigns.sponsorship.reckoning import (
    DRAWN_ON,
    SIGNED,
    Act,
    Worth,
    counts,
    is_over,
    least,
    moves_money,
    reached,
    wanted,
    worth,
)
from campaigns.sponsorship.undoing import Standing, Why, standing, undo
from campaigns.storage import columns_of, insert_many_once, store_all

ACTS_AT_ONCE = 100  # in one transaction: a hundred hold the write lock for some 30 ms
CAP_REACHED = "cap_reached"
_ROWS = columns_of(Accrual)


@dataclass(frozen=True)
class Voiding:
    """That a member voids one accrual, and why."""

    accrual_id: UUID
    why: Why


@dataclass
class Ground:
    """What one reckoning knows of its pledges: those held, what stands on the acts, and what may accrue no more.

    `voided`: when an accrual of a pledge and completion was last undone for good, by a member or by a merge.
    """

    now: datetime
    pledges: dict[UUID, Pledge]
    moving: set[UUID]  # campaigns whose money moves now
    stands: dict[tuple[UUID, UUID], Standing] = field(default_factory=dict)
    voided: dict[tuple[UUID, UUID], datetime] = field(default_factory=dict)
    counted: set[tuple[UUID, UUID]] = field(default_factory=set)  # acts of threshold pledges
    undo_only: bool = False
    voiding: Voiding | None = None

    def matched(self, pledge: Pledge) -> Pledge | None:
        return self.pledges.get(pledge.matches_id) if pledge.matches_id else None


def reckon(
    session: Session,
    completion_ids: Iterable[UUID],
    *,
    undo_only: bool = False,
    voiding: Voiding | None = None,
    now: datetime,
) -> list[Effect]:
    """Bring the accruals of these completions in line; what was undone, or stays paid all the same (`kept`).

    `undo_only` leaves what would accrue to the worker: for whoever holds memberships already. The pledges of all
    these acts are held before the first is reckoned: hundreds of acts of several missions hold them in one order too.
    """
    wanted_ids = sorted(set(completion_ids))
    if not undo_only:
        hold_people(session, wanted_ids)  # all of them before the first pledge: who holds one waits for no person
    rounds = [wanted_ids[start : start + ACTS_AT_ONCE] for start in range(0, len(wanted_ids), ACTS_AT_ONCE)]
    held: tuple[dict[UUID, Pledge], set[UUID]] | None = None
    effects: list[Effect] = []
    for ids in rounds:
        acts = acts_of(session, ids)
        if held is None:
            wanted_missions = {act.mission_id for act in acts} | missions_of(session, rounds[1:])
            held = hold(session, wanted_missions, now=now) if wanted_missions else ({}, set())
        ground = _ground(session, acts, held, undo_only=undo_only, voiding=voiding, now=now)
        # What is matched goes first: what it gives is what the others match.
        for pledge in sorted(ground.pledges.values(), key=lambda one: (one.matches_id is not None, one.id)):
            effects += _reckon_on(session, ground, pledge, acts)
    return effects


def hold(session: Session, mission_ids: Iterable[UUID], *, now: datetime) -> tuple[dict[UUID, Pledge], set[UUID]]:
    """Hold the signed pledges of missions until the transaction ends, in order; and which campaigns' money moves."""
    named = col(Mission.id).in_(set(mission_ids))
    pledged = select(Pledge.campaign_id).where(col(Pledge.mission_id).in_(set(mission_ids)), _is_signed())
    theirs = select(Campaign).join(Mission, col(Mission.campaign_id) == Campaign.id)
    campaigns = theirs.where(named, col(Campaign.id).in_(pledged)).order_by(col(Campaign.id))
    shared = campaigns.with_for_update(read=True, of=Campaign).execution_options(populate_existing=True)
    moving = {one.id for one in session.exec(shared).all() if moves_money(one, now=now)}
    query = select(Pledge).where(col(Pledge.mission_id).in_(set(mission_ids)), _is_signed()).order_by(col(Pledge.id))
    held = session.exec(query.with_for_update(key_share=True).execution_options(populate_existing=True)).all()
    return {one.id: one for one in held}, moving


def turn(session: Session, pledge: Pledge, matched: Pledge | None, *, now: datetime) -> None:
    """Let the state of a pledge that is held follow the room that is left: exhausted, or active again."""
    stood, is_full = pledge.state, ledger.room_of(session, pledge.id, AccountKind.COMMITMENT) < least(pledge, matched)
    if pledge.state == PledgeState.ACTIVE and is_full:
        pledge.state, pledge.state_reason, pledge.exhausted_at = PledgeState.EXHAUSTED.value, CAP_REACHED, now
        record_event(session, "pledge.exhausted", now=now, **pledge.facts)
    elif pledge.state == PledgeState.EXHAUSTED and not is_full and not is_over(pledge, now=now):
        pledge.state, pledge.state_reason, pledge.exhausted_at = PledgeState.ACTIVE.value, "room_again", None
    session.add(pledge)
    session.flush()
    if pledge.state != stood:
        announce(session, "campaign", pledge.campaign_id)


def release_waiting(session: Session, *, now: datetime) -> None:
    """Hand the acts that waited for a paused campaign to the worker, once it goes on or ended."""
    paused = select(WaitingAct.campaign_id).distinct()
    for campaign in session.exec(select(Campaign).where(col(Campaign.id).in_(paused)).order_by(col(Campaign.id))).all():
        if moves_money(campaign, now=now):
            mine = col(WaitingAct.campaign_id) == campaign.id
            waiting = session.exec(select(WaitingAct.completion_id).where(mine)).all()
            hand_on(session, waiting, now=now)
            gone = delete(WaitingAct).where(col(WaitingAct.completion_id).in_(waiting))
            session.execute(gone.execution_options(synchronize_session=False))


def hand_on(session: Session, completion_ids: Sequence[UUID], *, now: datetime) -> None:
    """Events that let the worker reckon these completions."""
    for start in range(0, len(completion_ids), ACTS_AT_ONCE):
        chunk = completion_ids[start : start + ACTS_AT_ONCE]
        record_event(session, WAITED, now=now, completion_ids=[id.hex for id in chunk])


def _is_signed() -> Any:
    return col(Pledge.state).in_(SIGNED)


def _ground(
    session: Session,
    acts: Sequence[Act],
    held: tuple[dict[UUID, Pledge], set[UUID]],
    *,
    undo_only: bool,
    voiding: Voiding | None,
    now: datetime,
) -> Ground:
    theirs, (pledges, moving) = {act.mission_id for act in acts}, held
    pledges = {id: one for id, one in pledges.items() if one.mission_id in theirs}
    ground = Ground(now, pledges, moving, undo_only=undo_only, voiding=voiding)
    if not pledges:
        return ground
    done = [act.id for act in acts]
    mine = (_ROWS.pledge_id.in_(list(pledges)), _ROWS.completion_id.in_(done))
    ground.stands = {(one.pledge_id, one.completion_id): one for one in standing(session, *mine)}
    final = columns(_ROWS.pledge_id, _ROWS.completion_id, _ROWS.accrued_at).where(
        *mine, _ROWS.undone_at.is_not(None), _ROWS.undone_by.is_not(None) | (_ROWS.reason == MERGED)
    )
    ground.voided = {(pledge, act): at for pledge, act, at in session.execute(final.order_by(_ROWS.accrued_at))}
    if any(one.kind == PledgeKind.THRESHOLD for one in pledges.values()):
        counted = columns(col(PledgeAct.pledge_id), col(PledgeAct.completion_id))
        rows = session.execute(counted.where(col(PledgeAct.completion_id).in_(done)))
        ground.counted = {(pledge, act) for pledge, act in rows}
    return ground


def _reckon_on(session: Session, ground: Ground, pledge: Pledge, acts: Sequence[Act]) -> list[Effect]:
    """Reckon acts on one pledge."""
    matched, acts_before = ground.matched(pledge), pledge.acts
    effects = _void(session, ground, pledge)
    falling: list[tuple[Act, Why]] = []
    rising: list[Act] = []
    for act in acts:
        if not counts(matched or pledge, act):
            continue
        judged, reason = _worth(ground, pledge, act)
        if judged is Worth.NO:
            falling.append((act, Why(reason)))
        elif judged is Worth.YES:
            rising.append(act)
    is_threshold = pledge.kind == PledgeKind.THRESHOLD
    effects += (_fall_below if is_threshold else _fall)(session, ground, pledge, falling)
    fresh = _fresh(session, ground, pledge, rising)
    if fresh:
        (_rise_above if is_threshold else _rise)(session, ground, pledge, fresh)
    if effects or fresh or pledge.acts != acts_before:
        turn(session, pledge, matched, now=ground.now)
    return effects


def _void(session: Session, ground: Ground, pledge: Pledge) -> list[Effect]:
    """Undo the accrual that a member voids, if it is of this pledge: its act accrues no more."""
    voiding = ground.voiding
    for key, one in ground.stands.items():
        if voiding is not None and one.id == voiding.accrual_id and one.pledge_id == pledge.id:
            effects = undo(session, pledge, [(one, voiding.why)], now=ground.now)
            if any(effect.outcome == "reversed" for effect in effects):
                del ground.stands[key]
                ground.voided[key] = one.accrued_at
                pledge.acts -= pledge.kind != PledgeKind.THRESHOLD
            return effects
    return []


def _worth(ground: Ground, pledge: Pledge, act: Act) -> tuple[Worth, str]:
    judged, reason = worth(pledge, act)
    if judged is Worth.YES and pledge.matches_id is not None and (pledge.matches_id, act.id) not in ground.stands:
        return Worth.NO, ground.voiding.why.reason if ground.voiding else "unmatched"
    return judged, reason


def _fresh(session: Session, ground: Ground, pledge: Pledge, rising: Sequence[Act]) -> list[Act]:
    """Acts that are to be paid and are not yet. Those of a paused campaign wait for it."""
    stands = [ground.stands[pledge.id, act.id] for act in rising if (pledge.id, act.id) in ground.stands]
    is_threshold = pledge.kind == PledgeKind.THRESHOLD
    if not is_threshold:
        _note_done_again(session, [one.id for one in stands if one.is_told])
    known = ground.counted if is_threshold else ground.stands.keys()
    fresh = [act for act in rising if (pledge.id, act.id) not in known and not _is_void(ground, pledge, act)]
    if not fresh or pledge.state not in DRAWN_ON:
        return []
    if pledge.campaign_id not in ground.moving:
        rows = [{"completion_id": act.id, "campaign_id": pledge.campaign_id} for act in fresh]
        insert_many_once(session, WaitingAct, rows)
        return []
    if ground.undo_only:
        hand_on(session, [act.id for act in fresh], now=ground.now)
        return []
    return fresh


def _is_void(ground: Ground, pledge: Pledge, act: Act) -> bool:
    """Whether this very act's accrual was undone for good; the same completion, done anew, is another act."""
    at = ground.voided.get((pledge.id, act.id))
    return pledge.kind != PledgeKind.THRESHOLD and at is not None and at >= act.completed_at


def _note_done_again(session: Session, accrual_ids: Sequence[UUID]) -> None:
    """What was paid, undone and done again is simply paid."""
    if accrual_ids:
        mine = update(_ROWS.id.table).where(_ROWS.id.in_(accrual_ids))
        session.execute(mine.values(act_undone_at=None, reason=None))


def _fall(session: Session, ground: Ground, pledge: Pledge, falling: Sequence[tuple[Act, Why]]) -> list[Effect]:
    """Undo what acts accrued that are not to be paid any more."""
    going = [(ground.stands[pledge.id, act.id], why) for act, why in falling if (pledge.id, act.id) in ground.stands]
    effects = undo(session, pledge, going, now=ground.now)
    gone = {one.subject_id for one in effects if one.outcome == "reversed"}
    for one, _ in going:
        if one.id in gone:
            del ground.stands[pledge.id, one.completion_id]
    pledge.acts -= len(gone)
    return effects


def _fall_below(session: Session, ground: Ground, pledge: Pledge, falling: Sequence[tuple[Act, Why]]) -> list[Effect]:
    """Count acts no more; units that are not reached then go, the last one first."""
    less = [(act, why) for act, why in falling if (pledge.id, act.id) in ground.counted]
    if not less:
        return []
    gone = [act.id for act, _ in less]
    mine = (col(PledgeAct.pledge_id) == pledge.id, col(PledgeAct.completion_id).in_(gone))
    session.execute(delete(PledgeAct).where(*mine).execution_options(synchronize_session=False))
    ground.counted -= {(pledge.id, id) for id in gone}
    pledge.acts -= len(gone)
    units = standing(session, _ROWS.pledge_id == pledge.id)
    surplus = [(one, less[-1][1]) for one in units[reached(pledge, pledge.acts) :]]
    effects = undo(session, pledge, surplus, now=ground.now)
    for effect in effects:
        if effect.outcome == "reversed":
            ground.stands = {key: one for key, one in ground.stands.items() if one.id != effect.subject_id}
    return effects


def _rise(session: Session, ground: Ground, pledge: Pledge, fresh: Sequence[Act]) -> None:
    """Accrue acts in their order, each what the room leaves it."""
    owed = []
    for act in fresh:
        base = ground.stands.get((pledge.matches_id, act.id)) if pledge.matches_id else None
        owed.append((act, wanted(pledge, base.amount_minor if base else 0)))
    pledge.acts += _accrue(session, ground, pledge, owed)


def _rise_above(session: Session, ground: Ground, pledge: Pledge, fresh: Sequence[Act]) -> None:
    """Count acts; each that reaches the threshold once more accrues a unit."""
    store_all(session, PledgeAct, [{"pledge_id": pledge.id, "completion_id": act.id} for act in fresh])
    units = standing(session, _ROWS.pledge_id == pledge.id)
    taken = {one.completion_id for one in units}
    owed: list[tuple[Act, int]] = []
    for act in fresh:
        pledge.acts += 1
        is_reached = pledge.acts % (pledge.threshold or 1) == 0
        if is_reached and len(units) + len(owed) < reached(pledge, pledge.acts) and act.id not in taken:
            owed.append((act, wanted(pledge, 0)))
    _note_done_again(session, [one.id for one in units[: reached(pledge, pledge.acts)] if one.is_told])
    _accrue(session, ground, pledge, owed)


def _accrue(session: Session, ground: Ground, pledge: Pledge, owed: Sequence[tuple[Act, int]]) -> int:
    fresh = accrue(session, pledge, owed, now=ground.now)
    ground.stands |= {(pledge.id, one.completion_id): one for one in fresh}
    return len(fresh)
