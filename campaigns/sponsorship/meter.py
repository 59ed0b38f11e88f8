"""The public meter of a mission: what its pledges unlocked, what is under review, what was paid or taken back.

And what people gave to its causes by their coupons. `paid` is what was sent to causes, without fees, as everywhere.
Read from the ledger, so it is never something else than the ledger says. Only pledges that were active
once are shown: before that a beneficiary may not have accepted that its name is used (DOMAIN §7).
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from campaigns.participants.merging import REASON as MERGED
from campaigns.sponsorship.gifts import ROLLED_BACK
from campaigns.sponsorship.ledger import Account, AccountKind, Code, Transfer
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    Beneficiary,
    Gift,
    Payout,
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


@dataclass(frozen=True)
class Given:
    """What coupons gave to a cause, in minor units of one currency: `given` is what stands, paid or not.

    Corrections: `undone` was taken back from so many gifts whose act was void; `kept` was paid before.
    """

    beneficiary: str
    currency: str
    gifts: int = 0
    given_minor: int = 0
    paid_minor: int = 0
    fees_minor: int = 0
    undone_minor: int = 0
    undone_gifts: int = 0
    kept_minor: int = 0
    kept_gifts: int = 0

    @property
    def due_minor(self) -> int:
        """What is still to be paid."""
        return self.given_minor - self.paid_minor - self.fees_minor


def given_in(session: Session, mission_id: UUID) -> list[Given]:
    """What coupons gave in a mission, by cause and currency, in the order of the causes' names."""
    amount, one = func.coalesce(func.sum(col(Gift.amount_minor)), 0), (col(Gift.beneficiary_id), col(Gift.currency))
    mine = select(*one, amount, func.count()).where(col(Gift.mission_id) == mission_id).group_by(*one)
    told = func.coalesce(col(Gift.reason), "").not_in((MERGED, ROLLED_BACK))
    stands = col(Gift.undone_at).is_(None)
    parts = {
        ("given_minor", "gifts"): mine.where(stands),
        ("undone_minor", "undone_gifts"): mine.where(~stands, told),
        ("kept_minor", "kept_gifts"): mine.where(stands, col(Gift.act_undone_at).is_not(None)),
    }
    found: defaultdict[tuple[UUID, str], dict[str, int]] = defaultdict(dict)
    for names, query in parts.items():
        for cause, currency, *numbers in session.execute(query):
            found[cause, currency] |= dict(zip(names, map(int, numbers), strict=True))
    for cause, currency, code, sent in session.execute(_sent_for_gifts(mission_id)) if found else ():
        found[cause, currency]["paid_minor" if code == Code.PAYOUT else "fees_minor"] = int(sent)
    named = select(col(Beneficiary.id), col(Beneficiary.name)).where(col(Beneficiary.id).in_({id for id, _ in found}))
    names_of = dict(session.execute(named).all()) if found else {}
    shown = [Given(names_of[cause], currency, **numbers) for (cause, currency), numbers in found.items()]
    return sorted(shown, key=lambda given: (given.beneficiary, given.currency))


def _sent_for_gifts(mission_id: UUID) -> Any:
    """What payouts and their fees took from what coupons gave in a mission, by cause and currency."""
    by = (col(Payout.beneficiary_id), col(Transfer.currency), col(Transfer.code))
    return (
        select(*by, func.sum(col(Transfer.amount_minor)))
        .join(Account, col(Account.id) == Transfer.debit_id)
        .join(Payout, col(Payout.id) == Transfer.subject_id)
        .where(col(Transfer.mission_id) == mission_id, col(Account.kind) == AccountKind.GIVEN.value)
        .group_by(*by)
    )


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
