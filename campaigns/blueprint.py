"""A whole campaign from one description: places, campaign, mission and tokens in one step.

Idempotent by `external_id`: applying a file twice changes nothing, applying an edited one changes what was edited.
One transaction: it is applied whole or not at all; `--dry-run` rolls back and shows the difference.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    ValidationInfo,
    field_validator,
)
from sqlmodel import Session

from campaigns import identity, ids, missions, places, planning, sponsorship, tokens
from campaigns.blueprint_pledges import BeneficiaryPlan, PledgeFile, SponsorPlan, promise_all, register_all
from campaigns.errors import Invalid
from campaigns.identity import LegalData
from campaigns.missions import GoalMetric, Mission, Repeat, StepKind, StepPlan
from campaigns.missions.models import LocalText
from campaigns.places import Place
from campaigns.places.service import Geocode
from campaigns.planning import Campaign, Objective
from campaigns.rewards.files import OFFER_TEXTS, OfferFile, apply_offer
from campaigns.sponsorship import Beneficiary, Sponsor
from campaigns.tokens import Kind, Medium
from campaigns.tokens.addresses import Limits
from campaigns.tokens.destinations import Rules, Utm, checked
from campaigns.tokens.notices import require_printable

ExternalId = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:-]+$")]


class _Plan(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


class PlacePlan(_Plan):
    """A place of the file."""

    external_id: ExternalId
    name: str = Field(min_length=1, max_length=200)
    lat: float | None = None
    lon: float | None = None
    radius_m: int = 100
    time_zone: str = "Europe/Paris"
    address: str | None = Field(None, max_length=500)
    opening_hours: dict[str, list[list[str]]] | None = None


class TargetPlan(_Plan):
    """A target of the file."""

    kpi: str
    value: float = Field(gt=0, le=2**53 - 1)


class StepFile(_Plan):
    """A step of the file."""

    kind: StepKind
    mode: str | None = None
    min_presence: int = Field(0, ge=0, le=3)
    repeat: Repeat | Annotated[int, Field(ge=2, le=100)] = Repeat.ONCE
    points: int = Field(0, ge=0, le=1_000_000)
    title: str | LocalText | None = None
    params: dict[str, Any] = Field(default_factory=dict, max_length=20)

    @field_validator("params")
    @classmethod
    def _places_of_the_file(cls, params: dict[str, Any]) -> dict[str, Any]:
        """Places are named by their external ids, as everywhere in a file."""
        if not isinstance(params.get("places"), list):
            return params
        return {**params, "places": [f"ext_{one}" if isinstance(one, str) else one for one in params["places"]]}


class GoalPlan(_Plan):
    """What the mission counts towards."""

    metric: GoalMetric
    value: int = Field(ge=1, le=2**53 - 1)


class MissionPlan(_Plan):
    """The mission of the file."""

    external_id: ExternalId
    title: str | LocalText
    promise: str | LocalText
    goal: GoalPlan
    steps: list[StepFile] = Field(min_length=1, max_length=20)
    pledges: list[PledgeFile] = Field(default_factory=list, max_length=50)
    points_expire_days: int | None = Field(None, ge=1, le=3650)


class PilotFile(_Plan):
    """The pilot of the file: its own people first. `places` is "all" or a list of external ids."""

    places: Literal["all"] | list[ExternalId] = "all"
    max_people: int = Field(ge=1, le=10_000)
    thresholds: dict[str, float] = Field(min_length=1, max_length=5)


class TokenPlan(_Plan):
    """Tokens of the file: one a place and medium. `places` is "all" or a list of external ids.

    Those of kind `live`, whose one medium is `qr`, are for the screens of the places.
    """

    kind: Literal[Kind.STATIC, Kind.LIVE] = Kind.STATIC
    places: Literal["all"] | list[ExternalId] = "all"
    media: list[Medium] = Field(default_factory=lambda: [Medium.QR], min_length=1)
    label: str | None = Field(None, max_length=200)
    channel: str | None = Field(None, max_length=80)
    destination: str | None = None
    rules: Rules | None = None
    utm: Utm | None = None
    pass_scan_id: StrictBool = False
    continue_page: StrictBool = False


class Blueprint(_Plan):
    """The file. Dates without a zone are refused. `organisation` says who publishes, for the legal pages."""

    external_id: ExternalId
    name: str = Field(min_length=1, max_length=200)
    objective: Objective
    targets: list[TargetPlan] = Field(min_length=1)
    time_zone: str = "Europe/Paris"
    starts_at: AwareDatetime | None = None
    ends_at: AwareDatetime | None = None
    budget_minor: int | None = Field(None, ge=0, le=2**53 - 1)
    currency: str | None = Field(None, pattern="^[A-Z]{3}$")
    destination: str | None = None
    rules: Rules | None = None
    utm: Utm | None = None
    languages: list[Literal["fr", "en"]] = Field(["fr", "en"], min_length=1)
    organisation: LegalData | None = None
    places: list[PlacePlan] = Field(default_factory=list, max_length=2000)
    sponsors: list[SponsorPlan] = Field(default_factory=list, max_length=200)
    beneficiaries: list[BeneficiaryPlan] = Field(default_factory=list, max_length=200)
    mission: MissionPlan | None = None
    pilot: PilotFile | None = None
    tokens: list[TokenPlan] = Field(default_factory=list)
    offers: list[OfferFile] = Field(default_factory=list, max_length=100)

    @field_validator("places", "sponsors", "beneficiaries")
    @classmethod
    def _each_once(cls, named: list[Any], info: ValidationInfo) -> list[Any]:
        names = [one.external_id for one in named]
        if len(set(names)) != len(names):
            raise ValueError(f"two {info.field_name} have one external_id")
        return named


@dataclass
class Difference:
    """What applying a blueprint did or would do."""

    created: list[str] = field(default_factory=list)
    changed: list[str] = field(default_factory=list)
    unchanged: int = 0
    campaign_id: UUID | None = None

    def note(self, what: str, changes: dict[str, Any] | None) -> None:
        if changes is None:
            self.created.append(what)
        elif changes:
            self.changed.append(f"{what}: {', '.join(sorted(changes))}")
        else:
            self.unchanged += 1


def apply(
    session: Session,
    organisation_id: UUID,
    plan: Blueprint,
    *,
    geocode: Geocode | None,
    now: datetime,
    base_url: str = "",
    changed_by: UUID | None = None,
) -> Difference:
    """Make or change what the blueprint describes. Invalid or Conflict leaves nothing behind."""
    difference = Difference()
    limits = tokens.limits_of(session, organisation_id, base_url)
    if plan.organisation is not None:
        _organisation(session, organisation_id, plan.organisation, difference, now)
    shops = {one.external_id: _place(session, organisation_id, one, geocode, difference, now) for one in plan.places}
    campaign = _campaign(session, organisation_id, plan, limits, difference, now)
    difference.campaign_id = campaign.id
    if plan.pilot is not None:
        _pilot(session, campaign, plan.pilot, shops, difference, now)
    parties = _parties(session, organisation_id, plan, difference, now)
    if plan.mission is not None:
        mission = _mission(session, campaign, plan.mission, difference, now)
        promise_all(session, mission, plan.mission.pledges, parties, difference.note, local, now=now)
    for at, offer in enumerate(plan.offers):
        texts = {name: local(text) if (text := getattr(offer, name)) else None for name in OFFER_TEXTS}
        changes = apply_offer(session, campaign, offer, shops, texts, pointer=f"/offers/{at}", now=now)
        difference.note(f"offer {offer.external_id}", changes)
    for wanted in plan.tokens:
        _tokens(session, campaign, wanted, shops, limits, difference, changed_by, now)
    return difference


def local(text: str | LocalText) -> LocalText:
    """A text as it is stored: by language, or under "" when given once. Invalid when it is empty."""
    stored = {"": text} if isinstance(text, str) else text
    if not stored or not all(stored.values()):
        raise Invalid("A text is one string, or one for each language named; none of them is empty.")
    return stored


# Parts of the file that are no fields of the campaign.
_APART = {"organisation", "targets", "places", "sponsors", "beneficiaries", "mission", "pilot", "tokens", "offers"}


def _changes(found: object, fields: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in fields.items() if getattr(found, key) != value}


def _organisation(
    session: Session, organisation_id: UUID, plan: LegalData, difference: Difference, now: datetime
) -> None:
    """Say who publishes. What the file leaves out stays as it is."""
    organisation = identity.organisation_by_id(session, organisation_id, lock=True)
    wanted = plan.stored()
    require_printable(wanted.get("mandatory_notice"))
    changes = _changes(organisation, wanted)
    difference.note("organisation", changes)
    if changes:
        identity.describe(session, organisation, now=now, **changes)


def _place(
    session: Session,
    organisation_id: UUID,
    plan: PlacePlan,
    geocode: Geocode | None,
    difference: Difference,
    now: datetime,
) -> Place:
    fields = plan.model_dump()
    found = places.find_place(session, organisation_id, external_id=plan.external_id)
    if found is not None and plan.lat is None and plan.lon is None and plan.address == found.address:
        fields["lat"], fields["lon"] = found.lat, found.lon  # geocoded before; the address is the same
    fields["lat"], fields["lon"] = places.locate(plan.address, fields["lat"], fields["lon"], geocode)
    if found is None:
        difference.note(f"place {plan.external_id}", None)
        return places.open_place(session, organisation_id, now=now, **fields)
    changes = _changes(found, fields)
    difference.note(f"place {plan.external_id}", changes)
    return places.change_place(session, found, now=now, **changes) if changes else found


def _campaign(
    session: Session, organisation_id: UUID, plan: Blueprint, limits: Limits, difference: Difference, now: datetime
) -> Campaign:
    fields = checked(plan.model_dump(exclude=_APART), limits)
    targets = {target.kpi: target.value for target in plan.targets}
    found = planning.find_campaign(session, organisation_id, external_id=plan.external_id)
    if found is None:
        difference.note(f"campaign {plan.external_id}", None)
        return planning.plan_campaign(session, organisation_id, targets=targets, now=now, **fields)
    changes = _changes(found, fields)
    if changes:
        planning.change_campaign(session, found, now=now, **changes)
    if {one.kpi: one.value for one in planning.list_targets(session, found.id)} != targets:
        planning.set_targets(session, found, targets, now=now)
        changes["targets"] = targets
    difference.note(f"campaign {plan.external_id}", changes)
    return found


def _pilot(
    session: Session,
    campaign: Campaign,
    plan: PilotFile,
    shops: dict[str, Place],
    difference: Difference,
    now: datetime,
) -> None:
    """Declare the pilot. Conflict when the file changes it after it began."""
    names = list(shops) if plan.places == "all" else plan.places
    unknown = [name for name in names if name not in shops]
    if unknown:
        raise Invalid(f"pilot names places that are not in the file: {', '.join(unknown)}.", pointer="/pilot/places")
    places_of = sorted(ids.show("plc", shops[name].id) for name in names)
    wanted: dict[str, Any] = {"place_ids": places_of, "max_people": plan.max_people, "thresholds": plan.thresholds}
    found = planning.find_pilot(session, campaign.id)
    changes = None if found is None else _changes(found, wanted)
    difference.note("pilot", changes)
    if changes is None or changes:
        planning.declare_pilot(session, campaign, planning.PilotPlan(**wanted), now=now)


def _parties(
    session: Session, organisation_id: UUID, plan: Blueprint, difference: Difference, now: datetime
) -> tuple[dict[str, Sponsor], dict[str, Beneficiary]]:
    """Who gives and who receives, by external id."""
    sponsors = register_all(session, Sponsor, organisation_id, plan.sponsors, difference.note, now=now)
    causes = register_all(session, Beneficiary, organisation_id, plan.beneficiaries, difference.note, now=now)
    return sponsors, causes


def _mission(session: Session, campaign: Campaign, plan: MissionPlan, difference: Difference, now: datetime) -> Mission:
    steps = [_step(session, campaign, number, one) for number, one in enumerate(plan.steps)]
    for step in plan.steps:
        require_mode(step.kind, step.mode)
    fields: dict[str, Any] = {
        "title": local(plan.title),
        "promise": local(plan.promise),
        "goal_metric": plan.goal.metric,
        "goal_value": plan.goal.value,
        "points_expire_days": plan.points_expire_days,
    }
    found = missions.find_mission(session, campaign.id, external_id=plan.external_id)
    if found is None:
        difference.note(f"mission {plan.external_id}", None)
        return missions.start_mission(session, campaign, steps=steps, external_id=plan.external_id, now=now, **fields)
    changes = _changes(found, fields)
    stored = [
        StepPlan(StepKind(s.kind), s.min_presence, s.repeat, s.points, s.title, s.params)
        for s in missions.steps_of(session, found.id)
    ]
    if stored != steps:
        sponsorship.require_steps_free(session, found.id)
        missions.set_steps(session, found, steps, now=now)
        changes["steps"] = steps
    difference.note(f"mission {plan.external_id}", changes)
    words = {key: value for key, value in changes.items() if key != "steps"}
    return missions.change_mission(session, found, now=now, **words) if changes else found


def _step(session: Session, campaign: Campaign, number: int, plan: StepFile) -> StepPlan:
    """A step of the file as it is stored: its places by their ids."""
    where = f"/mission/steps/{number}"
    repeat = missions.repeat_of(plan.repeat, pointer=f"{where}/repeat")
    params = missions.checked_params(
        session, campaign.organisation_id, plan.kind, plan.params, repeat=repeat, pointer=where
    )
    title = local(plan.title) if plan.title else None
    return StepPlan(plan.kind, plan.min_presence, repeat, plan.points, title, params)


def require_mode(kind: StepKind, mode: str | None) -> None:
    """Invalid when a step's mode is given and is not that of its kind."""
    if mode is not None and mode != missions.MODES[kind]:
        raise Invalid(f"A step of kind {kind} is {missions.MODES[kind]}.", pointer="/steps")


def _tokens(
    session: Session,
    campaign: Campaign,
    plan: TokenPlan,
    shops: dict[str, Place],
    limits: Limits,
    difference: Difference,
    changed_by: UUID | None,
    now: datetime,
) -> None:
    # What the file does not say of where codes lead stays as it is: it may have been changed since they were printed.
    said = plan.model_fields_set & {"destination", *tokens.LEADING}
    leading = checked(plan.model_dump(include=said), limits)
    names = list(shops) if plan.places == "all" else plan.places
    unknown = [name for name in names if name not in shops]
    if unknown:
        raise Invalid(f"tokens name places that are not in the file: {', '.join(unknown)}.", pointer="/tokens")
    for name in names:
        for medium in plan.media:
            carrier = "live" if plan.kind is Kind.LIVE else medium.value
            external_id = "-".join(part for part in (plan.channel, name, carrier) if part)
            fields: dict[str, Any] = {"label": plan.label, "channel": plan.channel, **leading}
            found = tokens.find_token(session, campaign.id, external_id=external_id)
            if found is None:
                difference.note(f"token {external_id}", None)
                tokens.issue(
                    session,
                    campaign,
                    medium=medium,
                    kind=plan.kind,
                    place=shops[name],
                    external_id=external_id,
                    onward=fields,
                    now=now,
                )
                continue
            changes = _changes(found, fields)
            difference.note(f"token {external_id}", changes)
            if changes:
                tokens.change_token(session, found, now=now, changed_by=changed_by, **changes)
