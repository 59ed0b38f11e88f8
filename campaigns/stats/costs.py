"""What a campaign cost: items somebody typed, and what the ledger says of rewards and pledges.

Cost = media + print + staff hours + rewards redeemed + pledges paid + fees (DOMAIN §6), and what else was typed in.
Rewards count at the face value of coupons that tills took or that people gave to a cause, those of a pilot too: that
is real money. Pledges count what acts made due on them, paid out or still to be, and only where the advertiser pays:
the sponsor is the advertiser when its legal id is the organisation's registration, or, where one of the two is not
known, when it bears the organisation's legal name or name. Everybody else's pledge is a gift, and no cost.
"""

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import identity, ids
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.identity import Organisation
from campaigns.planning import Campaign
from campaigns.rewards import Offer
from campaigns.sponsorship.ledger import Account, AccountKind
from campaigns.sponsorship.models import Pledge, Sponsor
from campaigns.sponsorship.money import require_currency
from campaigns.stats.models import CostItem, CostKind, MoneyTerms
from campaigns.storage import changed, find_own, insert_once, newest

SPENT = (AccountKind.DUE, AccountKind.GIVEN, AccountKind.SETTLED, AccountKind.FEES)
_NOT_WORD = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class Costs:
    """What a campaign cost, in minor units of one currency. `other_currencies` could not be added, and is in no sum."""

    by_kind: dict[str, int]
    rewards_minor: int
    pledges_minor: int
    other_currencies: list[tuple[str, str, int]]  # what it is, its currency, the amount

    @property
    def total_minor(self) -> int:
        return sum(self.by_kind.values()) + self.rewards_minor + self.pledges_minor


def add_cost(
    session: Session,
    campaign: Campaign,
    *,
    kind: CostKind,
    amount_minor: int,
    currency: str,
    incurred_on: date,
    label: str,
    external_id: str | None = None,
    now: datetime,
) -> CostItem:
    """Note a cost. Invalid in another currency than the campaign's; Conflict for an `external_id` used before."""
    settle_currency(session, campaign, currency, now=now)
    if external_id is not None and _by_external_id(session, campaign.organisation_id, external_id) is not None:
        raise Conflict(f"A cost with external_id {external_id!r} is there already.", pointer="/external_id")
    item = CostItem(
        id=ids.uuid7_at(now),
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        external_id=external_id,
        kind=kind.value,
        amount_minor=amount_minor,
        currency=currency,
        incurred_on=incurred_on,
        label=label,
        created_at=now,
        changed_at=now,
    )
    session.add(item)
    session.flush()
    return item


def change_cost(session: Session, item: CostItem, *, now: datetime, **fields: Any) -> CostItem:
    """Correct a cost; the audit log keeps what it was."""
    for name, value in fields.items():
        setattr(item, name, value)
    item.changed_at = now
    session.add(item)
    session.flush()
    return item


def remove_cost(session: Session, item: CostItem) -> None:
    """Take a cost away; the audit log keeps it."""
    session.delete(item)
    session.flush()


def cost_by_name(session: Session, organisation_id: UUID, name: str) -> CostItem:
    """The cost a path names: `cst_...` or `ext_<external_id>`. NotFound else."""
    theirs = ids.external(name)
    found = _by_external_id(session, organisation_id, theirs) if theirs else None
    item = find_own(session, CostItem, organisation_id, found.id if found else ids.parse("cst", name))
    if item is None:
        raise NotFound("There is no such cost.")
    return item


def list_costs(
    session: Session, organisation_id: UUID, *, campaign_id: UUID | None, before: UUID | None, limit: int
) -> Sequence[CostItem]:
    """Costs of an organisation, or of one campaign, newest first."""
    query = select(CostItem).where(CostItem.organisation_id == organisation_id)
    if campaign_id is not None:
        query = query.where(CostItem.campaign_id == campaign_id)
    return newest(session, query, CostItem, before=before, limit=limit)


# The currency of a campaign's money, and its margin --------------------------------------------------------------


def find_terms(session: Session, campaign_id: UUID) -> MoneyTerms | None:
    return session.exec(select(MoneyTerms).where(MoneyTerms.campaign_id == campaign_id)).first()


def set_margin(session: Session, campaign: Campaign, margin_bp: int | None, *, now: datetime) -> MoneyTerms:
    """Say which share of revenue is margin, in hundredths of a percent; None: not known, so no profit is reckoned."""
    _open_terms(session, campaign, now=now)
    terms = session.exec(select(MoneyTerms).where(MoneyTerms.campaign_id == campaign.id)).one()
    terms.margin_bp, terms.changed_at = margin_bp, now
    session.add(terms)
    session.flush()
    return terms


def settle_currency(
    session: Session, campaign: Campaign, currency: str, *, now: datetime, pointer: str = "/currency"
) -> None:
    """Fix the currency of a campaign's money by its first amount. Invalid for any other: sums are of one currency."""
    require_currency(currency, pointer=pointer)
    mine = col(MoneyTerms.campaign_id) == campaign.id
    booked = session.execute(columns(col(MoneyTerms.currency)).where(mine)).scalar()
    if booked is None:
        _open_terms(session, campaign, now=now)
        first = update(MoneyTerms).where(mine, col(MoneyTerms.currency).is_(None))
        first = first.values(currency=campaign.currency or currency)
        changed(session, first.execution_options(synchronize_session=False))
        booked = session.execute(columns(col(MoneyTerms.currency)).where(mine)).scalar_one()
    if booked != currency:
        raise Invalid(f"The money of this campaign is in {booked}, and this is in {currency}.", pointer=pointer)


def _open_terms(session: Session, campaign: Campaign, *, now: datetime) -> None:
    owner = {"organisation_id": campaign.organisation_id, "campaign_id": campaign.id}
    insert_once(session, MoneyTerms, id=ids.uuid7_at(now), **owner, currency=None, margin_bp=None, changed_at=now)


# Sums ------------------------------------------------------------------------------------------------------------


def costs_of(session: Session, campaign: Campaign, currency: str | None) -> Costs:
    """What the campaign cost so far, in this currency."""
    by_kind = dict.fromkeys((one.value for one in CostKind), 0)
    sums = columns(col(CostItem.kind), func.sum(col(CostItem.amount_minor)))
    for kind, amount in session.execute(sums.where(col(CostItem.campaign_id) == campaign.id).group_by(CostItem.kind)):
        by_kind[kind] = int(amount)
    rewards, pledges = _rewards(session, campaign.id), _pledges(session, campaign)
    others = [
        (what, other, amount)
        for what, spent in (("rewards", rewards), ("pledges", pledges))
        for other, amount in sorted(spent.items())
        if other != currency
    ]
    return Costs(by_kind, rewards.get(currency or "", 0), pledges.get(currency or "", 0), others)


def _rewards(session: Session, campaign_id: UUID) -> dict[str, int]:
    """The face value of redeemed coupons by currency, from the offers' books: what was rolled back is not in it."""
    books = columns(col(Offer.id)).where(col(Offer.campaign_id) == campaign_id)
    return _spent(session, books)


def _pledges(session: Session, campaign: Campaign) -> dict[str, int]:
    """What acts made due on the advertiser's own pledges, by currency."""
    owner = identity.organisation_by_id(session, campaign.organisation_id)
    query = select(Pledge, Sponsor).join(Sponsor, col(Sponsor.id) == col(Pledge.sponsor_id))
    found = session.exec(query.where(Pledge.campaign_id == campaign.id)).all()
    own = [pledge.id for pledge, sponsor in found if is_advertiser(owner, sponsor)]
    return _spent(session, own) if own else {}


def is_advertiser(owner: Organisation, sponsor: Sponsor) -> bool:
    """Whether the sponsor is the advertiser itself: the rule is in the module's docstring."""
    registration, legal_id = _folded(owner.registration), _folded(sponsor.legal_id)
    if registration and legal_id:
        # A registration is written with its register's town, and a SIREN is the beginning of a SIRET.
        return legal_id in registration or registration in legal_id
    return _folded(sponsor.name) in {_folded(owner.legal_name), _folded(owner.name)} - {""}


def _folded(text: str | None) -> str:
    return _NOT_WORD.sub("", text or "").casefold()


def _spent(session: Session, books: Any) -> dict[str, int]:
    spent: dict[str, int] = defaultdict(int)
    query = columns(col(Account.currency), func.sum(col(Account.balance_minor))).where(
        col(Account.book_id).in_(books), col(Account.kind).in_([one.value for one in SPENT])
    )
    for currency, amount in session.execute(query.group_by(col(Account.currency))):
        spent[currency] += int(amount)
    return {currency: amount for currency, amount in spent.items() if amount}


def _by_external_id(session: Session, organisation_id: UUID, external_id: str) -> CostItem | None:
    query = select(CostItem).where(CostItem.organisation_id == organisation_id, CostItem.external_id == external_id)
    return session.exec(query).first()
