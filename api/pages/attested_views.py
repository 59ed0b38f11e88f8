"""What a person's acts and gifts brought, in words: on `/me` and on an attestation."""

from dataclasses import dataclass

from babel.dates import format_date, format_datetime

from api.pages.money_views import amount
from campaigns.missions.models import LocalText
from campaigns.sponsorship.attestation import Attested
from campaigns.sponsorship.models import AccrualState


@dataclass(frozen=True)
class AttestedView:
    """An accrual or a gift for its person. `until`: when its review ends; empty once it did."""

    url: str
    amount: str
    cause: str
    sponsor: str
    mission: LocalText
    day: str
    state: str
    is_gift: bool
    until: str
    number: int | None
    hash: str
    taken_back: int | None


def attested_view(found: Attested, language: str) -> AttestedView:
    """One of them in words; instants in UTC."""
    waits = found.review_until if found.state == AccrualState.PENDING else None
    return AttestedView(
        url=f"/me/attestations/{found.name}?lang={language}",
        amount=amount(found.amount_minor, found.currency, language),
        cause=found.cause,
        sponsor=found.sponsor,
        mission=found.mission.title,
        day=format_date(found.day, "d MMMM", locale=language),
        state=found.state,
        is_gift=found.is_gift,
        until=format_datetime(waits, "d MMMM, HH:mm", locale=language) if waits else "",
        number=found.number,
        hash=found.hash,
        taken_back=found.taken_back,
    )
