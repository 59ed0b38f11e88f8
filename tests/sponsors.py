"""Sponsors, causes and pledges that are active: what tests of money begin with."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import worker
from campaigns.missions import Mission
from campaigns.planning import Campaign
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import AccountKind
from campaigns.sponsorship.models import (
    Accrual,
    Beneficiary,
    LastSlice,
    Nature,
    Pledge,
    PledgeBeneficiary,
    PledgeKind,
    PledgeState,
    Sponsor,
)
from campaigns.storage import Database
from tests.factories import NOON


def make_cause(
    session: Session, organisation_id: UUID, name: str = "Les Jardins", *, now: datetime = NOON
) -> Beneficiary:
    cause = Beneficiary(
        organisation_id=organisation_id,
        name=name,
        legal_id="W691234567",
        accepted_at=now,
        created_at=now,
        changed_at=now,
    )
    session.add(cause)
    session.flush()
    return cause


def make_pledge(
    session: Session, mission: Mission, *, causes: list[Beneficiary] | None = None, **overrides: Any
) -> Pledge:
    """An active pledge of 0.10 EUR an act up to 100.00 EUR, since an hour before noon, with its book."""
    owner, now = mission.organisation_id, overrides.pop("now", NOON - timedelta(hours=1))
    fields: dict[str, Any] = {
        "kind": PledgeKind.PER_ACT.value,
        "nature": Nature.SPONSORSHIP.value,
        "unit_minor": 10,
        "currency": "EUR",
        "cap_minor": 10_000,
        "last_slice": LastSlice.PAY_REMAINDER.value,
        "min_presence": 0,
        "review_h": 72,
        "state": PledgeState.ACTIVE.value,
        "active_at": now,
        **overrides,
    }
    sponsor = Sponsor(organisation_id=owner, name="La Banque", created_at=now, changed_at=now)
    session.add(sponsor)
    session.flush()
    pledge = Pledge(
        organisation_id=owner,
        campaign_id=mission.campaign_id,
        mission_id=mission.id,
        sponsor_id=sponsor.id,
        signed_at=now,
        created_at=now,
        changed_at=now,
        **fields,
    )
    session.add(pledge)
    session.flush()
    for position, cause in enumerate(causes or [make_cause(session, owner)]):
        session.add(PledgeBeneficiary(pledge_id=pledge.id, beneficiary_id=cause.id, position=position))
    floors = dict.fromkeys((AccountKind.PENDING, AccountKind.DUE, AccountKind.SETTLED, AccountKind.FEES), 0)
    floors[AccountKind.COMMITMENT] = -pledge.cap_minor
    ledger.open_book(session, pledge.id, floors, organisation_id=owner, currency=pledge.currency)
    session.flush()
    return pledge


def pledged(database: Database, mission: Mission, **overrides: Any) -> Pledge:
    """The same, committed."""
    with database.transaction() as session:
        return make_pledge(session, mission, **overrides)


def drain(database: Database, *, now: datetime) -> None:
    while worker.drain(database, now=now).done:
        pass


def book(database: Database, pledge: Pledge) -> dict[str, int]:
    """The balances of a pledge that are not zero."""
    with database.snapshot() as session:
        return {kind: amount for kind, amount in ledger.balances(session, pledge.id).items() if amount}


def accruals(database: Database, pledge: Pledge | None = None) -> list[Accrual]:
    with database.snapshot() as session:
        query = select(Accrual).order_by(col(Accrual.accrued_at), col(Accrual.id))
        return list(session.exec(query.where(Accrual.pledge_id == pledge.id) if pledge else query).all())


def told(database: Database, pledge: Pledge | None = None) -> list[tuple[int, str, str | None]]:
    """Amount, state and reason of each accrual, in their order."""
    return [(one.amount_minor, one.state, one.reason) for one in accruals(database, pledge)]


def standing(database: Database, pledge: Pledge) -> Pledge:
    with database.snapshot() as session:
        return session.get_one(Pledge, pledge.id)


def turn_campaign(database: Database, campaign: Campaign, act: Any, *, now: datetime) -> None:
    """Pause, resume or end a campaign."""
    with database.transaction() as session:
        act(session, session.get_one(Campaign, campaign.id), now=now)
