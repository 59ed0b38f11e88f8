"""Posting: what was accrued becomes due once its review period is over, or when a member releases it."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import select as columns
from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import audit
from campaigns.errors import Conflict, NotFound
from campaigns.sponsorship import ledger
from campaigns.sponsorship.accrual import Voiding, hold, reckon
from campaigns.sponsorship.ledger import AccountKind, Code, Move
from campaigns.sponsorship.models import Accrual, AccrualState, PayoutItem, Pledge
from campaigns.sponsorship.undoing import STANDING, Why
from campaigns.storage import changed, columns_of, newest

POSTED_AT_ONCE = 100  # in one transaction
RELEASED_AT_ONCE = 500  # by one request; the worker posts the rest
_ROWS = columns_of(Accrual)


def due_pledges(session: Session, *, now: datetime) -> Sequence[UUID]:
    """The pledges that have something to post."""
    query = columns(_ROWS.pledge_id).where(_ROWS.state == AccrualState.PENDING.value, _ROWS.review_until <= now)
    return session.execute(query.distinct().order_by(_ROWS.pledge_id)).scalars().all()


def post_due(session: Session, pledge_id: UUID, *, now: datetime) -> int:
    """Post what is due of a pledge, a hundred accruals at most, the oldest first; how many. None while paused (I20)."""
    pledge = session.get(Pledge, pledge_id)
    if pledge is None:
        return 0
    held, moving = hold(session, [pledge.mission_id], now=now)
    if pledge_id not in held or pledge.campaign_id not in moving:
        return 0
    query = columns(_ROWS.id, _ROWS.amount_minor).where(
        _ROWS.pledge_id == pledge_id, _ROWS.state == AccrualState.PENDING.value, _ROWS.review_until <= now
    )
    rows = session.execute(query.order_by(_ROWS.accrued_at, _ROWS.id).limit(POSTED_AT_ONCE)).all()
    if rows:
        ids = [id for id, _ in rows]
        pending = (_ROWS.id.in_(ids), _ROWS.state == AccrualState.PENDING.value)
        session.execute(update(_ROWS.id.table).where(*pending).values(state=AccrualState.POSTED.value, posted_at=now))
        moves = [Move(AccountKind.PENDING, AccountKind.DUE, int(amount), Code.POSTING, id) for id, amount in rows]
        ledger.post(session, ledger.book_of(session, pledge_id, mission_id=pledge.mission_id), moves, now=now)
    return len(rows)


def release(session: Session, pledge: Pledge, *, accrual_id: UUID | None = None, now: datetime) -> int:
    """Let the review of one accrual, or of all that are pending, end now; how many are released.

    The first 500 are posted at once, the others by the worker. Conflict (`campaign_paused`) while the campaign is
    paused; NotFound for an accrual that is not pending on the pledge.
    """
    _, moving = hold(session, [pledge.mission_id], now=now)
    if pledge.campaign_id not in moving:
        raise Conflict("The campaign is paused: nothing is posted until it goes on.", code="campaign_paused")
    pending = [_ROWS.pledge_id == pledge.id, _ROWS.state == AccrualState.PENDING.value]
    if accrual_id is not None:
        pending.append(_ROWS.id == accrual_id)
    released = changed(session, update(_ROWS.id.table).where(*pending).values(review_until=now))
    if accrual_id is not None and not released:
        raise NotFound("There is no such accrual that waits for its review.")
    for _ in range(RELEASED_AT_ONCE // POSTED_AT_ONCE):
        if post_due(session, pledge.id, now=now) < POSTED_AT_ONCE:
            break
    owner, changes = pledge.organisation_id, {"accruals": [released]}
    audit.note(session, "pledge.released", accrual_id or pledge.id, organisation_id=owner, changes=changes, now=now)
    return released


def accrual_of(session: Session, organisation_id: UUID, accrual_id: UUID) -> tuple[Accrual, Pledge]:
    """The organisation's accrual, with its pledge. NotFound for another's and for none."""
    query = select(Accrual, Pledge).join(Pledge, col(Pledge.id) == Accrual.pledge_id)
    mine = (Accrual.id == accrual_id, Pledge.organisation_id == organisation_id)
    found = session.exec(query.where(*mine).execution_options(populate_existing=True)).first()
    if found is None:
        raise NotFound("There is no such accrual.")
    return found


def list_accruals(
    session: Session, pledge_id: UUID, *, state: AccrualState | None = None, before: UUID | None, limit: int
) -> Sequence[Accrual]:
    """What acts accrued on a pledge, newest first, older than `before`; in one state if asked."""
    query = select(Accrual).where(Accrual.pledge_id == pledge_id)
    if state is not None:
        query = query.where(Accrual.state == state.value)
    return newest(session, query, Accrual, before=before, limit=limit)


def void(session: Session, accrual: Accrual, pledge: Pledge, *, reason: str, by: UUID, now: datetime) -> None:
    """Void an accrual, or reverse it once it is posted; what matches it goes too. Its act accrues no more.

    Nothing for one that is undone already; Conflict (`paid`) for one that was sent in a payout.
    """
    if accrual.state not in STANDING:
        return
    voiding = Voiding(accrual.id, Why(reason, by))
    reckon(session, [accrual.completion_id], voiding=voiding, now=now)
    session.refresh(accrual)
    if accrual.state in STANDING and session.get(PayoutItem, accrual.id) is not None:
        raise Conflict("It was sent in a payout: what was paid stays.", code="paid")
    owner, changes = pledge.organisation_id, {"reason": [reason]}
    audit.note(session, "accrual.voided", accrual.id, organisation_id=owner, changes=changes, now=now)
