"""What becomes of a pledge: signed, active, ended, settled; each with its reason and its instant.

Everybody who changes a state holds the pledge's row.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from sqlalchemy import and_, or_
from sqlmodel import Session, col, select

from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid
from campaigns.events import Event, record_event
from campaigns.planning import Campaign
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import Account, AccountKind
from campaigns.sponsorship.models import Beneficiary, Pledge, PledgeState, WaitingAct

WINDOW_OVER: Final = "window_over"
CAMPAIGN_OVER: Final = "campaign_over"
WAITED: Final = "steps.waited"  # the event that lets acts be reckoned that could not be before
REASON_LENGTH = 500
LATE = timedelta(hours=72)  # an act of the last moment may be held for review as long, and count then
AT_ONCE = 100  # pledges a round of the worker


def open_book(session: Session, pledge: Pledge) -> None:
    """Open the book of a pledge that is signed: its commitment may go down to minus its cap, the others to zero."""
    floors = {
        AccountKind.COMMITMENT: -pledge.cap_minor,
        **dict.fromkeys((AccountKind.PENDING, AccountKind.DUE, AccountKind.SETTLED, AccountKind.FEES), 0),
    }
    ledger.open_book(session, pledge.id, floors, organisation_id=pledge.organisation_id, currency=pledge.currency)


def activate(session: Session, pledge: Pledge, causes: Sequence[Beneficiary], *, now: datetime) -> bool:
    """Signed to active once every beneficiary has accepted; whether it is. The pledge and its causes are held."""
    if pledge.state != PledgeState.SIGNED or not all(one.accepted_at for one in causes):
        return False
    _enter(session, pledge, PledgeState.ACTIVE, "active_at", now=now)
    return True


def end_pledge(session: Session, pledge: Pledge, *, reason: str, now: datetime) -> Pledge:
    """End a pledge before its time, for a public reason: no later act counts. What was accrued stays.

    Conflict (`wrong_state`) for a draft, which is deleted instead, and for one that has ended.
    """
    if not 0 < len(reason) <= REASON_LENGTH:
        raise Invalid(f"Say why, in at most {REASON_LENGTH} characters.", pointer="/reason")
    if pledge.state == PledgeState.DRAFT:
        raise Conflict("A draft promises nothing yet: delete it.", code="wrong_state")
    if pledge.state not in (PledgeState.SIGNED, PledgeState.ACTIVE, PledgeState.EXHAUSTED):
        raise Conflict("This pledge has ended already.", code="wrong_state")
    _end(session, pledge, reason, now=now)
    return pledge


def end_due(session: Session, *, now: datetime) -> int:
    """End the pledges whose window or campaign is over, and settle those of which nothing is open; how many changed."""
    ended = _held(session, _to_end(now))
    for pledge in ended:
        is_own = pledge.ends_at is not None and pledge.ends_at <= now
        _end(session, pledge, WINDOW_OVER if is_own else CAMPAIGN_OVER, now=now)
    session.flush()
    settled = _held(session, _to_settle(now))
    for pledge in settled:
        _enter(session, pledge, PledgeState.SETTLED, "settled_at", now=now)
    return len(ended) + len(settled)


def is_any_due(session: Session, *, now: datetime) -> bool:
    """Whether `end_due` would change anything: read without a lock."""
    due = or_(_to_end(now), _to_settle(now))
    return session.exec(_with_campaign(select(Pledge.id)).where(due).limit(1)).first() is not None


def _end(session: Session, pledge: Pledge, reason: str, *, now: datetime) -> None:
    _enter(session, pledge, PledgeState.ENDED, "ended_at", reason=reason, now=now)
    if pledge.active_at is None:
        _enter(session, pledge, PledgeState.SETTLED, "settled_at", now=now)  # it never counted anything


_EVENTS = {
    PledgeState.ACTIVE: "pledge.activated",
    PledgeState.ENDED: "pledge.ended",
    PledgeState.SETTLED: "pledge.settled",
}


def _enter(
    session: Session, pledge: Pledge, state: PledgeState, instant: str, *, reason: str | None = None, now: datetime
) -> None:
    pledge.state = state.value
    setattr(pledge, instant, now)
    if reason is not None:
        pledge.state_reason = reason
    pledge.changed_at = now
    session.add(pledge)
    session.flush()
    record_event(session, _EVENTS[state], now=now, reason=reason, **pledge.facts)
    announce(session, "campaign", pledge.campaign_id)


def _to_end(now: datetime) -> Any:
    runs = col(Pledge.state).in_((PledgeState.SIGNED, PledgeState.ACTIVE))
    return and_(runs, _is_over(now))


def _to_settle(now: datetime) -> Any:
    """Ended, or exhausted for good; the last act's review is over, nothing is pending or due, and no act waits."""
    open_kinds = col(Account.kind).in_((AccountKind.PENDING, AccountKind.DUE))
    open_ones = select(Account.id).where(Account.book_id == Pledge.id, open_kinds, Account.balance_minor != 0)
    late = now - LATE
    has_ended = and_(col(Pledge.state) == PledgeState.ENDED, col(Pledge.ended_at) <= late)
    is_full = and_(col(Pledge.state) == PledgeState.EXHAUSTED, col(Pledge.exhausted_at) <= late, _is_over(late))
    waiting = select(WaitingAct.completion_id).where(WaitingAct.campaign_id == Pledge.campaign_id)
    handed_on = select(Event.id).where(Event.name == WAITED)  # acts that waited, and are reckoned next
    return and_(or_(has_ended, is_full), ~open_ones.exists(), ~waiting.exists(), ~handed_on.exists())


def _is_over(at: datetime) -> Any:
    return or_(col(Pledge.ends_at) <= at, col(Campaign.ended_at) <= at, col(Campaign.ends_at) <= at)


def _with_campaign(query: Any) -> Any:
    return query.join(Campaign, col(Campaign.id) == Pledge.campaign_id)


def _held(session: Session, due: Any) -> Sequence[Pledge]:
    query = _with_campaign(select(Pledge)).where(due).order_by(col(Pledge.id)).limit(AT_ONCE)
    held: Sequence[Pledge] = session.exec(
        query.with_for_update(of=Pledge).execution_options(populate_existing=True)
    ).all()
    return held


def held(session: Session, pledge_ids: Sequence[UUID]) -> Sequence[Pledge]:
    """Pledges, held until the transaction ends in the order of their ids, and read anew."""
    query = select(Pledge).where(col(Pledge.id).in_(pledge_ids)).order_by(col(Pledge.id))
    return session.exec(query.with_for_update().execution_options(populate_existing=True)).all()
