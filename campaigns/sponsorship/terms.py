"""The terms of a pledge: what is asked, which of it can be promised, and the hash of what was signed."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from campaigns.errors import Invalid
from campaigns.ids import show
from campaigns.missions.models import LocalText
from campaigns.sponsorship.models import (
    REVIEW_H,
    Beneficiary,
    LastSlice,
    Nature,
    Pledge,
    PledgeKind,
    Sponsor,
)
from campaigns.sponsorship.money import IN_KIND, require_amount, require_currency

MOST_CAUSES = 10
REVIEW_MOST_H = 720
THRESHOLD_MOST = 1_000_000_000
PERCENT_MOST = 1_000
LABEL_LENGTH = 60
LONGEST_WINDOW = timedelta(days=10 * 366)  # the ledger is kept ten years
# Every term; the causes stand apart. The signature freezes them all.
TERMS = (
    "sponsor_id",
    "kind",
    "nature",
    "step_id",
    "unit_minor",
    "currency",
    "cap_minor",
    "per_person_cap_minor",
    "per_day_cap_minor",
    "last_slice",
    "min_presence",
    "review_h",
    "threshold",
    "matches_id",
    "match_percent",
    "unit_label",
    "starts_at",
    "ends_at",
)


@dataclass(frozen=True)
class PledgePlan:
    """A pledge as a marketer describes it. Of a match the unit follows from what it matches: leave `unit_minor` out."""

    sponsor_id: UUID
    beneficiary_ids: Sequence[UUID]
    kind: PledgeKind
    currency: str
    cap_minor: int
    unit_minor: int | None = None
    per_person_cap_minor: int | None = None
    per_day_cap_minor: int | None = None
    nature: Nature = Nature.SPONSORSHIP
    min_presence: int = 0
    starts_at: datetime | None = None
    ends_at: datetime | None = None
    last_slice: LastSlice = LastSlice.PAY_REMAINDER
    review_h: int = REVIEW_H
    step_id: UUID | None = None
    threshold: int | None = None
    matches_id: UUID | None = None
    match_percent: int | None = None
    unit_label: LocalText | None = None
    external_id: str | None = field(default=None, compare=False)

    @classmethod
    def of(cls, pledge: Pledge, beneficiary_ids: Sequence[UUID]) -> "PledgePlan":
        """A pledge as it stands."""
        terms = {name: getattr(pledge, name) for name in TERMS}
        kinds = {
            "kind": PledgeKind(pledge.kind),
            "nature": Nature(pledge.nature),
            "last_slice": LastSlice(pledge.last_slice),
        }
        unit = None if pledge.kind == PledgeKind.MATCH else pledge.unit_minor
        return cls(**{**terms, **kinds, "unit_minor": unit}, beneficiary_ids=tuple(beneficiary_ids))


def check(plan: PledgePlan, *, unit_minor: int, now: datetime) -> None:
    """Invalid, with the field's pointer, for what cannot be promised. `unit_minor`: of a match, what it comes to."""
    _check_amounts(plan, unit_minor)
    _check_kind(plan)
    _check_window(plan, now)
    if not 0 <= plan.min_presence <= 3:
        raise Invalid("Presence is 0, 1, 2 or 3.", pointer="/min_presence")
    if not 0 <= plan.review_h <= REVIEW_MOST_H:
        raise Invalid(f"The review takes 0 to {REVIEW_MOST_H} hours.", pointer="/review_h")
    if not 1 <= len(plan.beneficiary_ids) <= MOST_CAUSES:
        raise Invalid(f"A pledge names 1 to {MOST_CAUSES} beneficiaries.", pointer="/beneficiary_ids")
    if len(set(plan.beneficiary_ids)) != len(plan.beneficiary_ids):
        raise Invalid("A beneficiary is named twice.", pointer="/beneficiary_ids")


def matched_unit(unit_minor: int, percent: int) -> int:
    """What a match adds to a whole unit, rounded down."""
    return unit_minor * percent // 100


def signed_terms(
    pledge: Pledge, sponsor: Sponsor, causes: Sequence[Beneficiary], *, organisation_name: str
) -> dict[str, Any]:
    """What a sponsor signs: every term, and the names and legal ids of all sides, as plain JSON."""
    stated = {name: _plain(name, getattr(pledge, name)) for name in TERMS if name != "sponsor_id"}
    if pledge.kind == PledgeKind.MATCH:
        del stated["unit_minor"]  # it follows from what is matched
    return {
        "pledge": show("pld", pledge.id),
        "mission": show("mis", pledge.mission_id),
        "organisation": organisation_name,
        "sponsor": _party("spo", sponsor),
        "beneficiaries": [_party("ben", one) for one in causes],
        **stated,
    }


def hash_of(terms: Mapping[str, Any]) -> str:
    """SHA-256 of the terms as canonical JSON: keys sorted, no white space, UTF-8. 64 hexadecimal digits."""
    canonical = json.dumps(terms, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def _check_amounts(plan: PledgePlan, unit_minor: int) -> None:
    require_amount(unit_minor, pointer="/unit_minor")
    require_amount(plan.cap_minor, pointer="/cap_minor")
    caps = {"cap_minor": plan.cap_minor}
    for name in ("per_person_cap_minor", "per_day_cap_minor"):
        cap = getattr(plan, name)
        if cap is None:
            continue
        require_amount(cap, pointer=f"/{name}")
        if cap > plan.cap_minor:
            raise Invalid("It is above the cap of the whole pledge.", pointer=f"/{name}")
        caps[name] = cap
    if plan.last_slice == LastSlice.KEEP_REMAINDER:
        for name, cap in caps.items():
            if cap < unit_minor:
                raise Invalid(
                    "It is below one unit, and only whole units are paid: nothing ever would be.", pointer=f"/{name}"
                )


def _check_kind(plan: PledgePlan) -> None:
    if plan.kind == PledgeKind.IN_KIND:
        _check_label(plan)
    else:
        if plan.currency == IN_KIND:
            raise Invalid("XXX is the currency of things: of kind in_kind alone.", pointer="/currency")
        require_currency(plan.currency)
        _require_none(plan.unit_label, "unit_label", "in_kind")
    if plan.kind == PledgeKind.THRESHOLD:
        if plan.threshold is None or not 2 <= plan.threshold <= THRESHOLD_MOST:
            raise Invalid("A threshold is how many acts pay a unit: 2 to 10^9.", pointer="/threshold")
    else:
        _require_none(plan.threshold, "threshold", "threshold")
    if plan.kind == PledgeKind.MATCH:
        if plan.matches_id is None:
            raise Invalid("Name the pledge that is matched.", pointer="/matches_id")
        if plan.match_percent is None or not 1 <= plan.match_percent <= PERCENT_MOST:
            raise Invalid(f"A match adds 1 to {PERCENT_MOST} per cent.", pointer="/match_percent")
        if plan.step_id is not None:
            raise Invalid("A match counts the acts that the other pledge counts.", pointer="/step_id")
    else:
        _require_none(plan.matches_id, "matches_id", "match")
        _require_none(plan.match_percent, "match_percent", "match")


def _check_label(plan: PledgePlan) -> None:
    if plan.currency != IN_KIND:
        raise Invalid("What is given in kind has the currency XXX.", pointer="/currency")
    texts = list((plan.unit_label or {}).values())
    if not texts or not all(0 < len(text) <= LABEL_LENGTH for text in texts):
        raise Invalid(f"Say what one unit is, in at most {LABEL_LENGTH} characters a language.", pointer="/unit_label")


def _require_none(value: object, name: str, kind: str) -> None:
    if value is not None:
        raise Invalid(f"This is of pledges of kind {kind} alone.", pointer=f"/{name}")


def _check_window(plan: PledgePlan, now: datetime) -> None:
    for name in ("starts_at", "ends_at"):
        instant = getattr(plan, name)
        if instant is not None and not datetime(2000, 1, 1, tzinfo=UTC) <= instant < datetime(2100, 1, 1, tzinfo=UTC):
            raise Invalid("Times are between 2000 and 2100.", pointer=f"/{name}")
    if plan.ends_at is not None:
        if plan.ends_at <= now:
            raise Invalid("It ends in the past.", pointer="/ends_at")
        if plan.ends_at <= (plan.starts_at or now):
            raise Invalid("It ends before it starts.", pointer="/ends_at")
        if plan.ends_at - (plan.starts_at or now) > LONGEST_WINDOW:
            raise Invalid("A pledge runs ten years at most.", pointer="/ends_at")
    if plan.starts_at is not None and plan.starts_at > now + LONGEST_WINDOW:
        raise Invalid("A pledge starts within ten years.", pointer="/starts_at")


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, UUID):
        return show({"step_id": "stp", "matches_id": "pld"}[name], value)
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    return value


def _party(prefix: str, party: Sponsor | Beneficiary) -> dict[str, str | None]:
    return {"id": show(prefix, party.id), "name": party.name, "legal_id": party.legal_id}
