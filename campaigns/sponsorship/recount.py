"""Recounting sponsor money: balances, caps, counts and states against the accruals, and those against the ledger."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import Any
from uuid import UUID

from sqlalchemy import and_, case, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.clock import utc_now
from campaigns.events import Event
from campaigns.ids import show
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import Code, Transfer
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    Gift,
    Payout,
    PayoutItem,
    PayoutState,
    Pledge,
    PledgeAct,
    PledgeDay,
    PledgeKind,
    PledgePerson,
    PledgeState,
)
from campaigns.sponsorship.reckoning import is_over, least
from campaigns.sponsorship.undoing import STANDING
from campaigns.storage import columns_of

_ROWS = columns_of(Accrual)
_STANDS = _ROWS.state.in_(STANDING)
_CAPPED: tuple[tuple[Any, str, str, str], ...] = (
    (PledgePerson, "surrogate", "per_person_cap_minor", "somebody"),
    (PledgeDay, "civil_day", "per_day_cap_minor", "a day"),
)


def recount(session: Session) -> list[str]:
    """What does not add up in sponsor money, in words; empty when all does."""
    found = ledger.recount(session)
    pledges = {one.id: one for one in session.exec(select(Pledge).order_by(col(Pledge.id)))}
    sums, numbers = _accrued(session)
    counted = _counted(session)
    for pledge in pledges.values():
        told = [
            *_wrong_pledge(session, pledge, sums[pledge.id], numbers[pledge.id], counted[pledge.id]),
            *_wrong_state(session, pledge, pledges.get(pledge.matches_id) if pledge.matches_id else None),
        ]
        found += [f"{show('pld', pledge.id)} {one}" for one in told]
    found += [*_wrong_draws(session, pledges), *_unfounded(session)]
    return [*found, *_wrong_transfers(session), *_wrong_gifts(session), *_wrong_payouts(session)]


def _accrued(session: Session) -> tuple[defaultdict[UUID, Counter[str]], defaultdict[UUID, Counter[str]]]:
    """Amounts and numbers of accruals by pledge and state."""
    sums: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    numbers: defaultdict[UUID, Counter[str]] = defaultdict(Counter)
    by = (_ROWS.pledge_id, _ROWS.state)
    for pledge_id, state, amount, number in session.execute(
        columns(*by, func.sum(_ROWS.amount_minor), func.count()).group_by(*by)
    ):
        sums[pledge_id][state], numbers[pledge_id][state] = int(amount), number
    return sums, numbers


def _counted(session: Session) -> Counter[UUID]:
    by = col(PledgeAct.pledge_id)
    return Counter(dict(session.execute(columns(by, func.count()).group_by(by)).all()))


def _wrong_pledge(
    session: Session, pledge: Pledge, sums: Counter[str], numbers: Counter[str], counted: int
) -> Iterator[str]:
    """Balances of a pledge's book, its cap and its number of acts against its accruals."""
    held: Counter[str] = Counter(ledger.balances(session, pledge.id))
    pending, posted = sums[AccrualState.PENDING], sums[AccrualState.POSTED]
    if held["pending"] != pending:
        yield f"holds {held['pending']} pending, and its accruals say {pending}"
    if held["due"] + held["settled"] + held["fees"] != posted:
        yield f"holds {held['due'] + held['settled'] + held['fees']} posted, and its accruals say {posted}"
    if pending + posted > pledge.cap_minor:
        yield f"has accrued {pending + posted}, above its cap of {pledge.cap_minor}"
    acts = counted if pledge.kind == PledgeKind.THRESHOLD else sum(numbers[state] for state in STANDING)
    if pledge.acts != acts:
        yield f"counts {pledge.acts} acts, and there are {acts}"


def _wrong_state(session: Session, pledge: Pledge, matched: Pledge | None) -> Iterator[str]:
    if pledge.state not in (PledgeState.ACTIVE, PledgeState.EXHAUSTED):
        return
    room = pledge.cap_minor + ledger.balances(session, pledge.id).get("commitment", 0)
    is_full = room < least(pledge, matched)
    if is_full and pledge.state == PledgeState.ACTIVE:
        yield f"is active with {room} left, of which no act gets anything"
    if not is_full and pledge.state == PledgeState.EXHAUSTED and not is_over(pledge, now=utc_now()):
        yield f"is exhausted with {room} left"


def _wrong_draws(session: Session, pledges: dict[UUID, Pledge]) -> Iterator[str]:
    """What people and days drew against what was accrued under their names."""
    for table, key, cap, who in _CAPPED:
        capped = [one.id for one in pledges.values() if getattr(one, cap) is not None]
        rows, by = columns_of(table), (_ROWS.pledge_id, _ROWS[key])
        sums = columns(*by, func.sum(_ROWS.amount_minor)).where(_STANDS, _ROWS.pledge_id.in_(capped)).group_by(*by)
        accrued = {(pledge, one): int(amount) for pledge, one, amount in session.execute(sums)}
        drawn = {
            (pledge, one): int(amount)
            for pledge, one, amount in session.execute(columns(rows.pledge_id, rows[key], rows.drawn_minor))
        }
        for pledge_id, one in sorted(accrued.keys() | drawn.keys(), key=str):
            is_, should = drawn.get((pledge_id, one), 0), accrued.get((pledge_id, one), 0)
            if is_ != should:
                yield f"{who} drew {is_} from {show('pld', pledge_id)}, and the accruals say {should}"


def _unfounded(session: Session) -> Iterator[str]:
    """Accruals that stand though their act was reversed, unless an event of that still waits, or they were paid.

    A threshold's stand for a number of acts, which is counted apart.
    """
    waiting = session.exec(select(Event).where(Event.name == "step.reversed")).all()
    told = {UUID(one.facts["completion_id"]) for one in waiting}
    query = (
        columns(_ROWS.id, _ROWS.completion_id)
        .join_from(_ROWS.id.table, StepCompletion, col(StepCompletion.id) == _ROWS.completion_id)
        .join(Pledge, col(Pledge.id) == _ROWS.pledge_id)
        .where(_STANDS, _ROWS.act_undone_at.is_(None), col(Pledge.kind) != PledgeKind.THRESHOLD.value)
        .where(col(StepCompletion.state) == CompletionState.REVERSED.value)
    )
    for id, completion_id in session.execute(query.order_by(_ROWS.id)):
        if completion_id not in told:
            yield f"{show('acr', id)} stands, and its act was reversed"


def _wrong_transfers(session: Session) -> Iterator[str]:
    """Accruals whose transfers do not come to what they are worth: pending and due, reversals taken off."""
    rows = columns_of(Transfer)
    signed = case((rows.reverses.is_(None), rows.amount_minor), else_=-rows.amount_minor)
    stands = case((_STANDS, _ROWS.amount_minor), else_=0)
    posted = case((_ROWS.state == AccrualState.POSTED.value, _ROWS.amount_minor), else_=0)
    for code, worth in ((Code.ACCRUAL, stands), (Code.POSTING, posted)):
        mine = columns(rows.subject_id, func.sum(signed).label("moved")).where(rows.code == code.value)
        moved = mine.group_by(rows.subject_id).subquery()
        query = columns(_ROWS.id).outerjoin_from(_ROWS.id.table, moved, moved.c.subject_id == _ROWS.id)
        for id in session.execute(query.where(func.coalesce(moved.c.moved, 0) != worth).order_by(_ROWS.id)).scalars():
            yield f"{show('acr', id)} is not what its transfers of {code.value} come to"


def _wrong_gifts(session: Session) -> Iterator[str]:
    """Gifts whose transfers do not come to what they are worth, reversals taken off; and transfers for no gift."""
    rows = columns_of(Transfer)
    signed = case((rows.reverses.is_(None), rows.amount_minor), else_=-rows.amount_minor)
    mine = columns(rows.subject_id, func.sum(signed)).where(rows.code == Code.GIFT.value).group_by(rows.subject_id)
    moved = {id: int(amount) for id, amount in session.execute(mine)}
    for gift in session.exec(select(Gift).order_by(col(Gift.id))):
        if moved.pop(gift.id, 0) != (gift.amount_minor if gift.undone_at is None else 0):
            yield f"{show('gft', gift.id)} is not what its transfers come to"
    for id, amount in sorted(moved.items()):
        if amount:
            yield f"{id.hex} is no gift, and transfers give for it"


def _wrong_payouts(session: Session) -> Iterator[str]:
    """Payouts against what they hold, and what their transfers took from each book: all is paid once (I6)."""
    held, strangers = _held_by_payouts(session)
    moved, fees = _moved_by_payouts(session)
    for payout in session.exec(select(Payout).order_by(col(Payout.id))):
        name, shares = f"{show('pay', payout.id)} ({payout.state})", held.pop(payout.id, {})
        wanted = 0 if payout.state == PayoutState.CANCELLED else payout.amount_minor
        if sum(shares.values()) != wanted:
            yield f"{name} is over {payout.amount_minor}, and its items come to {sum(shares.values())}"
        if strangers[payout.id]:
            yield f"{name} holds {strangers[payout.id]} amounts that are not due, or not to its beneficiary"
        was_sent = payout.state in (PayoutState.SENT, PayoutState.CONFIRMED)
        if moved.pop(payout.id, {}) != (shares if was_sent else {}):
            yield f"{name} moved another amount than its items come to, book by book"
        if fees[payout.id] != (payout.fee_minor if was_sent else 0):
            yield f"{name} has a fee of {payout.fee_minor}, and its transfers say {fees[payout.id]}"
    for id in sorted(moved):
        yield f"{id.hex} is no payout, and transfers pay it"


def _held_by_payouts(session: Session) -> tuple[dict[UUID, dict[UUID, int]], Counter[UUID]]:
    """What each payout holds of each book; and how many accruals and gifts that it must not hold."""
    items, payouts = columns_of(PayoutItem), columns_of(Payout)
    is_right = and_(
        _ROWS.state == AccrualState.POSTED.value,
        _ROWS.beneficiary_id == payouts.beneficiary_id,
        _ROWS.currency == payouts.currency,
    )
    by = (items.payout_id, _ROWS.pledge_id)
    query = (
        columns(*by, func.sum(_ROWS.amount_minor), func.sum(case((is_right, 0), else_=1)))
        .join_from(items.payout_id.table, _ROWS.id.table, _ROWS.id == items.accrual_id)
        .join(payouts.id.table, payouts.id == items.payout_id)
        .group_by(*by)
    )
    held: defaultdict[UUID, dict[UUID, int]] = defaultdict(dict)
    strangers: Counter[UUID] = Counter()
    for payout_id, book_id, amount, wrong in (*session.execute(query), *session.execute(_gifts_in_payouts())):
        held[payout_id][book_id] = int(amount)
        strangers[payout_id] += int(wrong)
    return held, strangers


def _gifts_in_payouts() -> Any:
    gifts, payouts = columns_of(Gift), columns_of(Payout)
    is_right = and_(gifts.beneficiary_id == payouts.beneficiary_id, gifts.currency == payouts.currency)
    by = (gifts.payout_id, gifts.book_id)
    return (
        columns(*by, func.sum(gifts.amount_minor), func.sum(case((is_right, 0), else_=1)))
        .join_from(gifts.id.table, payouts.id.table, payouts.id == gifts.payout_id)
        .group_by(*by)
    )


def _moved_by_payouts(session: Session) -> tuple[dict[UUID, dict[UUID, int]], Counter[UUID]]:
    """What transfers took from each book for each payout, fees included; and the fees."""
    rows = columns_of(Transfer)
    by = (rows.subject_id, rows.book_id, rows.code)
    mine = columns(*by, func.sum(rows.amount_minor)).where(rows.code.in_((Code.PAYOUT.value, Code.FEE.value)))
    moved: defaultdict[UUID, dict[UUID, int]] = defaultdict(dict)
    fees: Counter[UUID] = Counter()
    for payout_id, book_id, code, amount in session.execute(mine.group_by(*by)):
        moved[payout_id][book_id] = moved[payout_id].get(book_id, 0) + int(amount)
        fees[payout_id] += int(amount) * (code == Code.FEE)
    return moved, fees
