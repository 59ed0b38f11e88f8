"""The public meter of a mission: what its pledges unlocked, what is under review, what was paid or taken back.

Read from the balances of the ledger, so it is never something else than the ledger says. Only pledges that were active
once are shown: before that a beneficiary may not have accepted that its name is used (DOMAIN §7).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from campaigns.participants.merging import REASON as MERGED
from campaigns.sponsorship.ledger import Account, AccountKind
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    Beneficiary,
    PayoutItem,
    Pledge,
    PledgeBeneficiary,
    Sponsor,
)

_UNDONE = (AccrualState.VOIDED.value, AccrualState.REVERSED.value)


@dataclass(frozen=True)
class Sums:
    """Amounts in minor units of one currency. `unlocked` was posted, paid or not; the cap bounds it with what pends.

    Corrections: `undone` was taken back from so many acts; `kept` was paid before so many acts were found void.
    """

    currency: str
    cap_minor: int = 0
    unlocked_minor: int = 0
    pending_minor: int = 0
    paid_minor: int = 0
    fees_minor: int = 0
    undone_minor: int = 0
    undone_acts: int = 0
    kept_minor: int = 0
    kept_acts: int = 0

    def __add__(self, other: "Sums") -> "Sums":
        fields = {name: getattr(self, name) + getattr(other, name) for name in vars(self) if name != "currency"}
        return Sums(self.currency, **fields)


@dataclass(frozen=True)
class Meter:
    """A pledge in public: who gives, to whom, and its sums."""

    pledge: Pledge
    sponsor: str
    beneficiaries: Sequence[str]
    sums: Sums


def meters_of(session: Session, mission_id: UUID) -> list[Meter]:
    """The pledges of a mission that were active once, the oldest first, each with its sums."""
    query = select(Pledge, col(Sponsor.name)).join(Sponsor, col(Sponsor.id) == Pledge.sponsor_id)
    shown = (col(Pledge.mission_id) == mission_id, col(Pledge.active_at).is_not(None))
    pledges = session.execute(query.where(*shown).order_by(col(Pledge.active_at), col(Pledge.id))).all()
    if not pledges:
        return []
    ids = [pledge.id for pledge, _ in pledges]
    balances, undone, kept, causes = (
        _balances(session, ids),
        _undone(session, ids),
        _kept(session, ids),
        _causes(session, ids),
    )
    none = (0, 0)
    return [
        Meter(
            pledge,
            sponsor,
            causes[pledge.id],
            _sums(pledge, balances[pledge.id], undone.get(pledge.id, none), kept.get(pledge.id, none)),
        )
        for pledge, sponsor in pledges
    ]


def labels_of(session: Session, mission_id: UUID) -> dict[UUID, dict[str, str]]:
    """What the units of each pledge in kind of a mission are called."""
    query = select(col(Pledge.id), col(Pledge.unit_label)).where(col(Pledge.mission_id) == mission_id)
    return {pledge_id: label for pledge_id, label in session.execute(query) if label}


def in_all(meters: Sequence[Meter]) -> list[Sums]:
    """The sums of all pledges, by currency. Things have no sum: each pledge in kind counts its own."""
    found: dict[str, Sums] = {}
    for one in meters:
        currency = one.sums.currency
        if one.pledge.unit_label is None:
            found[currency] = found[currency] + one.sums if currency in found else one.sums
    return [found[currency] for currency in sorted(found)]


def _sums(pledge: Pledge, balances: dict[str, int], undone: tuple[int, int], kept: tuple[int, int]) -> Sums:
    paid, fees = balances.get(AccountKind.SETTLED, 0), balances.get(AccountKind.FEES, 0)
    return Sums(
        currency=pledge.currency,
        cap_minor=pledge.cap_minor,
        unlocked_minor=balances.get(AccountKind.DUE, 0) + paid + fees,
        pending_minor=balances.get(AccountKind.PENDING, 0),
        paid_minor=paid,
        fees_minor=fees,
        undone_minor=undone[0],
        undone_acts=undone[1],
        kept_minor=kept[0],
        kept_acts=kept[1],
    )


def _balances(session: Session, pledge_ids: Sequence[UUID]) -> defaultdict[UUID, dict[str, int]]:
    found: defaultdict[UUID, dict[str, int]] = defaultdict(dict)
    query = select(col(Account.book_id), col(Account.kind), col(Account.balance_minor))
    for pledge_id, kind, balance in session.execute(query.where(col(Account.book_id).in_(pledge_ids))):
        found[pledge_id][kind] = int(balance)
    return found


def _undone(session: Session, pledge_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """What was taken back because acts were found void. Not what two names of one person had too much."""
    amount, acts = func.sum(col(Accrual.amount_minor)), func.count(col(Accrual.completion_id).distinct())
    void = (col(Accrual.state).in_(_UNDONE), func.coalesce(col(Accrual.reason), "") != MERGED)
    query = select(col(Accrual.pledge_id), amount, acts).where(col(Accrual.pledge_id).in_(pledge_ids), *void)
    rows = session.execute(query.group_by(col(Accrual.pledge_id)))
    return {pledge_id: (int(total), int(number)) for pledge_id, total, number in rows}


def _kept(session: Session, pledge_ids: Sequence[UUID]) -> dict[UUID, tuple[int, int]]:
    """What was in a payout that was sent when its act was found void: it stays posted, all others are reversed."""
    amount, acts = func.sum(col(Accrual.amount_minor)), func.count()
    query = (
        select(col(Accrual.pledge_id), amount, acts)
        .join(PayoutItem, col(PayoutItem.accrual_id) == Accrual.id)
        .where(
            col(Accrual.pledge_id).in_(pledge_ids),
            col(Accrual.state) == AccrualState.POSTED.value,
            col(Accrual.act_undone_at).is_not(None),
        )
        .group_by(col(Accrual.pledge_id))
    )
    return {pledge_id: (int(total), int(number)) for pledge_id, total, number in session.execute(query)}


def _causes(session: Session, pledge_ids: Sequence[UUID]) -> defaultdict[UUID, list[str]]:
    found: defaultdict[UUID, list[str]] = defaultdict(list)
    query = (
        select(col(PledgeBeneficiary.pledge_id), col(Beneficiary.name))
        .join(Beneficiary, col(Beneficiary.id) == PledgeBeneficiary.beneficiary_id)
        .where(col(PledgeBeneficiary.pledge_id).in_(pledge_ids))
        .order_by(col(PledgeBeneficiary.pledge_id), col(PledgeBeneficiary.position))
    )
    for pledge_id, name in session.execute(query):
        found[pledge_id].append(name)
    return found
