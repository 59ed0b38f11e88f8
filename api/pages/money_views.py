"""A mission's money as pages and programs are told it: sums in words, the bar of each pledge, what was corrected."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from babel.numbers import format_decimal
from sqlmodel import Session

from campaigns import ids
from campaigns.missions import Mission
from campaigns.sponsorship import meter
from campaigns.sponsorship.meter import Meter, Sums
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
    """A pledge in public. `disclosure` is its sentence; without one its unit and cap are told."""

    sponsor: str
    beneficiaries: Sequence[str]
    unit: str
    sums: SumsView
    kind: str
    threshold: int = 0
    percent: int = 0
    disclosure: str = ""


@dataclass(frozen=True)
class MoneyView:
    """All pledges of a mission. `totals` of each currency that more than one pledge has."""

    pledges: Sequence[PledgeView]
    totals: Sequence[SumsView] = field(default_factory=list)
    url: str = ""  # of the meter
    ledger_url: str = ""


def money_view(
    session: Session, mission: Mission, language: str, disclosures: Mapping[UUID, str] | None = None
) -> MoneyView | None:
    """The money of a mission for a page; None without a pledge that was active once. `disclosures` by pledge."""
    found = meter.meters_of(session, mission.id)
    if not found:
        return None
    shared = Counter(one.sums.currency for one in found if one.pledge.unit_label is None)
    return MoneyView(
        pledges=[_pledge_view(language, one, (disclosures or {}).get(one.pledge.id, "")) for one in found],
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
    }


def _pledge_view(language: str, found: Meter, disclosure: str) -> PledgeView:
    pledge = found.pledge
    return PledgeView(
        sponsor=found.sponsor,
        beneficiaries=found.beneficiaries,
        unit=amount(pledge.unit_minor, pledge.currency, language, pledge.unit_label),
        sums=_sums_view(language, found.sums, pledge.unit_label),
        kind=pledge.kind,
        threshold=pledge.threshold or 0,
        percent=pledge.match_percent or 0,
        disclosure=disclosure,
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
