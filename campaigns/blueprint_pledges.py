"""Sponsors, beneficiaries and pledges of a campaign file, idempotent by `external_id`.

A pledge that is signed stays as it was signed: a file that says otherwise is refused, whole.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StrictInt
from sqlmodel import Session

from campaigns import missions, sponsorship
from campaigns.errors import Conflict, Invalid
from campaigns.missions import Mission
from campaigns.missions.models import LocalText
from campaigns.sponsorship import Beneficiary, LastSlice, Nature, Pledge, PledgeKind, PledgePlan, Sponsor
from campaigns.sponsorship.models import REVIEW_H
from campaigns.sponsorship.parties import Party
from campaigns.sponsorship.terms import TERMS

ExternalId = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:-]+$")]
Minor = Annotated[StrictInt, Field(ge=1, le=2**53 - 1)]
Note = Callable[[str, dict[str, Any] | None], None]


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class SponsorPlan(_Plan):
    """A sponsor of the file."""

    external_id: ExternalId
    name: str = Field(min_length=1, max_length=200)
    legal_id: str | None = Field(None, min_length=1, max_length=60)
    url: str | None = Field(None, max_length=500, pattern="^https?://[^@ ]+$")


class BeneficiaryPlan(SponsorPlan):
    """A beneficiary of the file."""

    legal_id: str = Field(min_length=1, max_length=60)


class PledgeFile(_Plan):
    """A pledge of the file's mission. Who and what it names is named by external id, a step by its number."""

    external_id: ExternalId
    sponsor: ExternalId
    beneficiaries: list[ExternalId] = Field(min_length=1)
    kind: PledgeKind
    unit_minor: Minor | None = None
    currency: str = Field(pattern="^[A-Z]{3}$")
    cap_minor: Minor
    per_person_cap_minor: Minor | None = None
    per_day_cap_minor: Minor | None = None
    nature: Nature = Nature.SPONSORSHIP
    min_presence: Annotated[StrictInt, Field(ge=0, le=3)] = 2
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    last_slice: LastSlice = LastSlice.PAY_REMAINDER
    review_h: StrictInt = REVIEW_H
    step: Annotated[StrictInt, Field(ge=1, le=20)] | None = None
    threshold: StrictInt | None = None
    matches: ExternalId | None = None
    match_percent: StrictInt | None = None
    unit_label: str | LocalText | None = None


def register_all(
    session: Session,
    table: type[Party],
    organisation_id: UUID,
    plans: Sequence[SponsorPlan],
    note: Note,
    *,
    now: datetime,
) -> dict[str, Party]:
    """Make or change the sponsors or the beneficiaries of the file, by external id."""
    found: dict[str, Party] = {}
    noun = "sponsor" if issubclass(table, Sponsor) else "beneficiary"
    for plan in plans:
        fields = plan.model_dump()
        known = sponsorship.find_party(session, table, organisation_id, external_id=plan.external_id)
        if known is None:
            note(f"{noun} {plan.external_id}", None)
            found[plan.external_id] = sponsorship.register(session, table, organisation_id, now=now, **fields)
            continue
        changes = {name: value for name, value in fields.items() if getattr(known, name) != value}
        note(f"{noun} {plan.external_id}", changes)
        if changes:
            held = sponsorship.party_by_name(session, table, organisation_id, f"ext_{plan.external_id}", lock=True)
            known = sponsorship.change_party(session, held, now=now, **changes)
        found[plan.external_id] = known
    return found


def promise_all(
    session: Session,
    mission: Mission,
    plans: Sequence[PledgeFile],
    parties: tuple[Mapping[str, Sponsor], Mapping[str, Beneficiary]],
    note: Note,
    local: Callable[[str | LocalText], LocalText],
    *,
    now: datetime,
) -> None:
    """Make or change the pledges of the file's mission. Conflict (`terms_frozen`) for other terms of a signed one."""
    steps = [one.id for one in missions.steps_of(session, mission.id)]
    for number, plan in enumerate(plans):
        where = f"/mission/pledges/{number}"
        wanted = _wanted(session, mission, plan, parties, steps, local, where)
        found = sponsorship.find_pledge(session, mission.id, external_id=plan.external_id)
        if found is None:
            note(f"pledge {plan.external_id}", None)
            sponsorship.promise(session, mission, wanted, now=now)
            continue
        changes = _changes(session, found, wanted)
        note(f"pledge {plan.external_id}", changes)
        if changes:
            held = sponsorship.hold_pledge(session, mission.organisation_id, found.id)
            try:
                sponsorship.change_pledge(session, held, now=now, **changes)
            except Conflict as error:
                told = f"pledge {plan.external_id}: {error.detail} The file changes {', '.join(sorted(changes))}."
                raise Conflict(told, code=error.code) from error


def _changes(session: Session, pledge: Pledge, wanted: PledgePlan) -> dict[str, Any]:
    before = PledgePlan.of(pledge, [one.id for one in sponsorship.causes_of(session, pledge.id)])
    names = (*TERMS, "beneficiary_ids")
    return {name: getattr(wanted, name) for name in names if getattr(wanted, name) != getattr(before, name)}


def _wanted(
    session: Session,
    mission: Mission,
    plan: PledgeFile,
    parties: tuple[Mapping[str, Sponsor], Mapping[str, Beneficiary]],
    steps: Sequence[UUID],
    local: Callable[[str | LocalText], LocalText],
    where: str,
) -> PledgePlan:
    sponsors, causes = parties
    unknown = [name for name in (plan.sponsor,) if name not in sponsors]
    unknown += [name for name in plan.beneficiaries if name not in causes]
    if unknown:
        raise Invalid(f"It names who is not in the file: {', '.join(unknown)}.", pointer=where)
    if plan.step is not None and plan.step > len(steps):
        raise Invalid(f"The mission has {len(steps)} steps.", pointer=f"{where}/step")
    matched = sponsorship.find_pledge(session, mission.id, external_id=plan.matches) if plan.matches else None
    if plan.matches and matched is None:
        raise Invalid("It matches a pledge that does not come before it.", pointer=f"{where}/matches")
    own = plan.model_dump(exclude={"sponsor", "beneficiaries", "step", "matches", "unit_label"})
    return PledgePlan(
        **own,
        sponsor_id=sponsors[plan.sponsor].id,
        beneficiary_ids=tuple(causes[name].id for name in plan.beneficiaries),
        step_id=steps[plan.step - 1] if plan.step else None,
        matches_id=matched.id if matched else None,
        unit_label=local(plan.unit_label) if plan.unit_label else None,
    )
