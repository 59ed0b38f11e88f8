"""What a person's acts brought, in words: on `/me` and on an attestation."""

from dataclasses import dataclass

from babel.dates import format_date, format_datetime

from api.pages.money_views import amount
from campaigns import ids
from campaigns.missions.models import LocalText
from campaigns.sponsorship.attestation import Attested
from campaigns.sponsorship.models import AccrualState


@dataclass(frozen=True)
class AttestedView:
    """An accrual for its person. `until`: when its review ends; empty once it did."""

    url: str
    amount: str
    cause: str
    sponsor: str
    mission: LocalText
    day: str
    state: str
    until: str
    number: int | None
    hash: str
    taken_back: int | None


def attested_view(found: Attested, language: str) -> AttestedView:
    """One accrual in words; instants in UTC."""
    accrual = found.accrual
    waits = accrual.state == AccrualState.PENDING
    return AttestedView(
        url=f"/me/attestations/{ids.show('acr', accrual.id)}?lang={language}",
        amount=amount(accrual.amount_minor, accrual.currency, language),
        cause=found.cause,
        sponsor=found.sponsor,
        mission=found.mission.title,
        day=format_date(accrual.civil_day, "d MMMM", locale=language),
        state=accrual.state,
        until=format_datetime(accrual.review_until, "d MMMM, HH:mm", locale=language) if waits else "",
        number=found.number,
        hash=found.hash,
        taken_back=found.taken_back,
    )
