"""A mission's money as pages and programs are told it: sums in words, the bar of each pledge, what was corrected."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from babel.numbers import format_decimal
from sqlmodel import Session

from campaigns import ids, sponsorship
from campaigns.missions import Mission
from campaigns.sponsorship import meter
from campaigns.sponsorship.meter import Given, Meter, Sums
from campaigns.sponsorship.money import IN_KIND, shown

BAR_WIDTH = 316.0  # of the drawing inside its frame
LEAST = 3.0  # what is above nothing is seen


@dataclass(frozen=True)
class SumsView:
    """Sums in words, empty for nothing but `unlocked`. `bars`: x and width of what was paid, is due, is under review.

    Corrections: `undone` was taken back from acts found void, `kept` was paid before its acts were.
    """

    unlocked: str
    cap: str
    paid: str
    due: str
    pending: str
    fees: str
    percent: int
    bars: Sequence[tuple[float, float]]
    undone: str
    undone_acts: int
    kept: str
    kept_acts: int


@dataclass(frozen=True)
class PledgeView:
    """A pledge in public. `disclosure` is the sentence made from its terms."""

    sponsor: str
    beneficiaries: Sequence[str]
    disclosure: str
    sums: SumsView


@dataclass(frozen=True)
class GivenView:
    """What coupons gave to a cause, in words; empty for nothing but `given`. Corrections as those of `SumsView`."""

    cause: str
    gifts: int
    given: str
    paid: str
    due: str
    fees: str
    undone: str
    undone_gifts: int
    kept: str
    kept_gifts: int


@dataclass(frozen=True)
class MoneyView:
    """All pledges of a mission, and what coupons gave. `totals` of each currency that more than one pledge has."""

    pledges: Sequence[PledgeView]
    gifts: Sequence[GivenView]
    totals: Sequence[SumsView] = field(default_factory=list)
    url: str = ""  # of the meter
    ledger_url: str = ""


def money_view(session: Session, mission: Mission, language: str) -> MoneyView | None:
    """The money of a mission for a page; None without a pledge that was active once and without a gift."""
    found, given = meter.meters_of(session, mission.id), meter.given_in(session, mission.id)
    if not found and not given:
        return None
    facts = sponsorship.facts_of(session, [one.pledge for one in found]) if found else []
    disclosures = {one.pledge.id: sponsorship.disclose(one, language).headline for one in facts}
    shared = Counter(one.sums.currency for one in found if one.pledge.unit_label is None)
    return MoneyView(
        pledges=[_pledge_view(language, one, disclosures[one.pledge.id]) for one in found],
        gifts=[_given_view(language, one) for one in given],
        totals=[_sums_view(language, one) for one in meter.in_all(found) if shared[one.currency] > 1],
        url=f"/m/{mission.slug}/meter?lang={language}",
        ledger_url=f"/m/{mission.slug}/ledger?lang={language}",
    )


def money_body(session: Session, mission_id: UUID) -> dict[str, Any]:
    """The same for programs: amounts in minor units."""
    found = meter.meters_of(session, mission_id)
    return {
        "pledges": [
            {"pledge": ids.show("pld", one.pledge.id), "sponsor": one.sponsor, "beneficiaries": list(one.beneficiaries)}
            | {"state": one.pledge.state, "unit_minor": one.pledge.unit_minor}
            | vars(one.sums)
            for one in found
        ],
        "totals": [vars(one) for one in meter.in_all(found)],
        "gifts": [vars(one) | {"due_minor": one.due_minor} for one in meter.given_in(session, mission_id)],
    }


def _pledge_view(language: str, found: Meter, disclosure: str) -> PledgeView:
    return PledgeView(
        sponsor=found.sponsor,
        beneficiaries=found.beneficiaries,
        disclosure=disclosure,
        sums=_sums_view(language, found.sums, found.pledge.unit_label),
    )


def _given_view(language: str, found: Given) -> GivenView:
    def told(minor: int) -> str:
        return shown(minor, found.currency, language) if minor else ""

    return GivenView(
        cause=found.beneficiary,
        gifts=found.gifts,
        given=shown(found.given_minor, found.currency, language),
        paid=told(found.paid_minor),
        due=told(found.due_minor),
        fees=told(found.fees_minor),
        undone=told(found.undone_minor),
        undone_gifts=found.undone_gifts,
        kept=told(found.kept_minor),
        kept_gifts=found.kept_gifts,
    )


def amount(minor: int, currency: str, language: str, label: Mapping[str, str] | None = None) -> str:
    """An amount with its currency; of a pledge in kind with what its units are called."""
    if currency != IN_KIND:
        return shown(minor, currency, language)
    words = (label or {}).get(language) or next(iter((label or {}).values()), "")
    return f"{format_decimal(minor, locale=language)} {words}".strip()


def _sums_view(language: str, sums: Sums, label: Mapping[str, str] | None = None) -> SumsView:
    def told(minor: int) -> str:
        return amount(minor, sums.currency, language, label) if minor else ""

    due = sums.unlocked_minor - sums.paid_minor - sums.fees_minor
    return SumsView(
        unlocked=amount(sums.unlocked_minor, sums.currency, language, label),
        cap=amount(sums.cap_minor, sums.currency, language, label),
        paid=told(sums.paid_minor),
        due=told(due),
        pending=told(sums.pending_minor),
        fees=told(sums.fees_minor),
        percent=sums.unlocked_minor * 100 // sums.cap_minor,
        bars=_bars((sums.paid_minor + sums.fees_minor, due, sums.pending_minor), sums.cap_minor),
        undone=told(sums.undone_minor),
        undone_acts=sums.undone_acts,
        kept=told(sums.kept_minor),
        kept_acts=sums.kept_acts,
    )


def _bars(parts: Sequence[int], cap: int) -> list[tuple[float, float]]:
    """Where each part begins and how wide it is: in proportion to the cap, and none unseen where there is room."""
    found, x = [], 0.0
    for part in parts:
        width = min(max(part * BAR_WIDTH / cap, LEAST), BAR_WIDTH - x) if part else 0.0
        found.append((round(x, 1), round(width, 1)))
        x += width
    return found
