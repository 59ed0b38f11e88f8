"""Campaigns, their targets and their states."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from fastapi.responses import JSONResponse, Response
from pydantic import AfterValidator, BaseModel, BeforeValidator, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.approvals import ApprovalRead, launch_campaign, propose_launch
from api.approvals import show as show_approval
from api.dependencies import Acting, Core, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import blueprint, identity, ids, planning, tokens
from campaigns.blueprint import Blueprint
from campaigns.errors import Forbidden
from campaigns.identity import Right
from campaigns.planning import KPIS, Campaign, Objective
from campaigns.tokens.destinations import Rules, checked

router = APIRouter(prefix="/v1", tags=["campaigns"])


class TargetCreate(schemas.Request):
    """A figure to reach. The KPI fits the objective; `GET /v1/kpis` lists them."""

    kpi: str = Field(max_length=60)
    value: schemas.Number = Field(gt=0, le=schemas.MAX_INT)


class PilotCreate(schemas.Request):
    """Own people first: at these places, up to so many, and what must be shown before the launch.

    `thresholds` has at least one of `people`, `verified_acts`, `places` (numbers to reach), `verified_share` (verified
    scans / human scans) and `open_cases` (a most).
    """

    place_ids: list[schemas.Name] = Field(min_length=1, max_length=50)
    max_people: schemas.Whole = Field(ge=1, le=10_000)
    thresholds: dict[schemas.Name, schemas.Number] = Field(min_length=1, max_length=5)


class CampaignCreate(schemas.Request):
    """An objective and at least one target come first; tokens come after."""

    name: schemas.Name
    objective: Objective
    targets: list[TargetCreate] = Field(min_length=1, max_length=13)
    time_zone: str = Field(max_length=64)
    starts_at: schemas.Instant | None = None
    ends_at: schemas.Instant | None = None
    budget_minor: schemas.Whole | None = Field(None, ge=0, le=schemas.MAX_INT)
    currency: str | None = Field(None, pattern="^[A-Z]{3}$", description="ISO 4217")
    destination: str | None = Field(None, max_length=2000, description="http or https; none: the hosted page")
    rules: Rules | None = Field(None, description="where codes without destination or rules of their own lead")
    utm: schemas.UtmTemplates | None = Field(None, description="added to every destination of its codes")
    languages: list[Literal["fr", "en"]] = Field(["fr", "en"], min_length=1, max_length=2)
    pilot: PilotCreate | None = None
    external_id: schemas.ExternalId | None = None


class CampaignPatch(schemas.Request):
    """JSON merge patch. Objective and targets can change in a draft only."""

    name: Annotated[schemas.Name | None, schemas.Kept] = None
    objective: Annotated[Objective | None, schemas.Kept] = None
    targets: Annotated[list[TargetCreate] | None, schemas.Kept] = Field(None, max_length=13)
    starts_at: schemas.Instant | None = None
    ends_at: schemas.Instant | None = None
    destination: str | None = Field(None, max_length=2000)
    rules: Rules | None = None
    utm: schemas.UtmTemplates | None = None
    pilot: PilotCreate | None = Field(None, description="of a draft; null takes it away")


def _in_our_time(file: Blueprint) -> Blueprint:
    pledges = file.mission.pledges if file.mission else []
    for instant in (file.starts_at, file.ends_at, *(at for one in pledges for at in (one.starts_at, one.ends_at))):
        if instant is not None:
            schemas.in_our_time(instant)
    return file


CampaignFile = Annotated[Blueprint, BeforeValidator(schemas.clean_tree), AfterValidator(_in_our_time)]


class TargetRead(BaseModel):
    """A target as locked, or not yet."""

    kpi: str
    value: float
    locked_at: datetime | None


class PilotRead(BaseModel):
    """A pilot as declared; `GET /v1/campaigns/{id}/pilot` tells how far it is."""

    place_ids: list[str]
    max_people: int
    thresholds: dict[str, float]


class CampaignRead(BaseModel):
    """A campaign as stored, with the state a visitor meets now."""

    id: str
    external_id: str | None
    name: str
    objective: Objective
    state: str
    targets: list[TargetRead]
    time_zone: str
    starts_at: datetime | None
    ends_at: datetime | None
    budget_minor: int | None
    currency: str | None
    destination: str | None
    rules: list[dict[str, Any]] | None
    utm: dict[str, str] | None
    languages: list[str]
    pilot: PilotRead | None
    created_at: datetime
    pilot_started_at: datetime | None
    launched_at: datetime | None
    ended_at: datetime | None


class LaunchRead(CampaignRead):
    """A launched campaign with its checklist."""

    checklist: list[dict[str, Any]]
    warnings: list[str]


class BlueprintRead(BaseModel):
    """What applying a campaign file did, or would do."""

    campaign_id: str | None
    dry_run: bool
    created: list[str]
    changed: list[str]
    unchanged: int


def show(session: DbSession, campaign: Campaign, now: datetime) -> dict[str, Any]:
    stored = campaign.model_dump(exclude={"id", "organisation_id", "changed_at", "state"})
    pilot = planning.find_pilot(session, campaign.id)
    return stored | {
        "pilot": PilotRead(**pilot.model_dump(include=set(PilotRead.model_fields))) if pilot else None,
        "id": ids.show("cmp", campaign.id),
        "state": campaign.state_at(now),
        "targets": [
            TargetRead(kpi=one.kpi, value=one.value, locked_at=one.locked_at)
            for one in planning.list_targets(session, campaign.id)
        ],
    }


@router.get("/kpis", dependencies=[may(Right.CAMPAIGNS_READ)])
def list_kpis(actor: Actor) -> dict[str, list[str]]:
    """The closed list of KPIs by objective."""
    return {objective.value: list(kpis) for objective, kpis in KPIS.items()}


@router.post(
    "/campaigns",
    dependencies=[may(Right.CAMPAIGNS_WRITE)],
    status_code=201,
    response_model=CampaignRead,
)
def plan_campaign(body: CampaignCreate, actor: Actor, session: Session, core: Core, now: Now) -> Any:
    """Create a draft. 422 without an objective or a target, and for a KPI that does not fit: it lists those that do."""
    limits = tokens.limits_of(session, actor.organisation_id, core.settings.base_url)
    fields = checked(body.model_dump(exclude={"targets", "pilot"}), limits)
    targets = {target.kpi: target.value for target in body.targets}
    campaign = planning.plan_campaign(session, actor.organisation_id, targets=targets, now=now, **fields)
    if body.pilot is not None:
        planning.declare_pilot(session, campaign, _pilot(body.pilot), now=now)
    return show(session, campaign, now)


def _pilot(body: PilotCreate | None) -> planning.PilotPlan | None:
    return planning.PilotPlan(**body.model_dump()) if body else None


@router.get("/campaigns", dependencies=[may(Right.CAMPAIGNS_READ)])
def list_campaigns(actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Campaigns of the organisation, newest first."""
    rows = planning.list_campaigns(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: CampaignRead.model_validate(show(session, one, now)), lambda one: one.id)


@router.get("/campaigns/{campaign_id}", dependencies=[may(Right.CAMPAIGNS_READ)], response_model=CampaignRead)
def read_campaign(campaign_id: str, actor: Actor, session: ReadSession, now: Now, tags: Tagged) -> Any:
    """One campaign, by id or `ext_<external_id>`."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    return tags.read(CampaignRead.model_validate(show(session, campaign, now)))


@router.patch("/campaigns/{campaign_id}", dependencies=[may(Right.CAMPAIGNS_WRITE)], response_model=CampaignRead)
def change_campaign(
    campaign_id: str, body: CampaignPatch, actor: Actor, session: Session, core: Core, now: Now, tags: Tagged
) -> Any:
    """Change a campaign; printed codes follow at the next scan.

    409 for locked targets, 422 for targets that do not fit a new objective, 412 when `If-Match` names another state.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    tags.require(session, campaign, lambda one: CampaignRead.model_validate(show(session, one, now)))
    limits = tokens.limits_of(session, actor.organisation_id, core.settings.base_url)
    fields = checked(body.model_dump(exclude_unset=True, exclude={"targets", "pilot"}), limits, utm=campaign.utm)
    if "pilot" in body.model_fields_set:
        planning.declare_pilot(session, campaign, _pilot(body.pilot), now=now)
    planning.change_campaign(session, campaign, now=now, **fields)
    targets = body.targets
    if targets is None and "objective" in fields and campaign.state in planning.BEFORE_LAUNCH:
        targets = [TargetCreate(kpi=one.kpi, value=one.value) for one in planning.list_targets(session, campaign.id)]
    if targets is not None:
        planning.set_targets(session, campaign, {one.kpi: one.value for one in targets}, now=now)
    return tags.changed(CampaignRead.model_validate(show(session, campaign, now)))


@router.post(
    "/campaigns/{campaign_id}/launch",
    dependencies=[may(Right.CAMPAIGNS_LAUNCH)],
    response_model=LaunchRead,
    responses={202: {"model": ApprovalRead, "description": "It waits for approval"}},
)
def launch(campaign_id: str, actor: Actor, session: Session, now: Now) -> Any:
    """Draft or pilot to live: targets lock. Answers with the checklist and its warnings; 409 from another state.

    409 `pilot_unmet` while a declared pilot has not shown what it must and no member waived it; `unmet` lists what.

    Where the organisation says that a launch needs approval, 202 with what waits: a member other than who proposed it,
    or issued the key that did, approves it in the console, and the campaign is live. 403 `maker_unknown` then for a key
    of which nobody can tell whose it is.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    if identity.organisation_by_id(session, actor.organisation_id).launch_needs_approval:
        return _propose_launch(session, actor, campaign, now)
    checklist = launch_campaign(session, campaign, now=now)
    return show(session, campaign, now) | {
        "checklist": [{"item": one.item, "ok": one.ok, "warning": one.warning} for one in checklist],
        "warnings": [one.warning for one in checklist if one.warning],
    }


def _require_rights_of(file: Blueprint, actor: Acting) -> None:
    """Forbidden for a key that could not make what the file makes one by one."""
    needed = (
        (Right.ORGANISATION_WRITE, file.organisation),
        (Right.PLACES_WRITE, file.places),
        (Right.MISSIONS_WRITE, file.mission),
        (Right.TOKENS_WRITE, file.tokens),
        (Right.REWARDS_WRITE, file.offers),
        (Right.PLEDGES_WRITE, file.sponsors or file.beneficiaries or (file.mission and file.mission.pledges)),
    )
    for right, part in needed:
        if part and right not in actor.rights:
            raise Forbidden(f"This file needs the right {right}, which this key does not have.", code="right_missing")


def _propose_launch(session: DbSession, actor: Acting, campaign: Campaign, now: datetime) -> Response:
    approval = propose_launch(session, campaign, key_id=actor.key_id, member_id=actor.key.issued_by_member_id, now=now)
    shown = show_approval(approval)
    headers = {"Location": f"/v1/approvals/{shown.id}"}
    return JSONResponse(shown.model_dump(mode="json"), 202, headers=headers)


@router.post(
    "/campaigns/{campaign_id}/pause",
    dependencies=[may(Right.CAMPAIGNS_LAUNCH)],
    response_model=CampaignRead,
)
def pause(campaign_id: str, actor: Actor, session: Session, now: Now) -> Any:
    """Live to paused: codes explain themselves, nothing counts."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    planning.pause(session, campaign, now=now)
    return show(session, campaign, now)


@router.post(
    "/campaigns/{campaign_id}/resumption", dependencies=[may(Right.CAMPAIGNS_LAUNCH)], response_model=CampaignRead
)
def resume(campaign_id: str, actor: Actor, session: Session, now: Now) -> Any:
    """Paused to live."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    planning.resume(session, campaign, now=now)
    return show(session, campaign, now)


@router.post(
    "/campaigns/{campaign_id}/end",
    dependencies=[may(Right.CAMPAIGNS_LAUNCH)],
    response_model=CampaignRead,
)
def end(campaign_id: str, actor: Actor, session: Session, now: Now) -> Any:
    """Live, paused or pilot to ended, for good: codes show the outcome and thanks."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    planning.end(session, campaign, now=now)
    return show(session, campaign, now)


@router.put(
    "/campaign-files/{external_id}",
    dependencies=[may(Right.CAMPAIGNS_WRITE)],
    response_model=BlueprintRead,
)
def apply_file(
    external_id: schemas.ExternalId,
    body: CampaignFile,
    actor: Actor,
    session: Session,
    core: Core,
    now: Now,
    dry_run: bool = False,
) -> Any:
    """Make places, campaign, mission and tokens from one description, whole or not at all.

    Idempotent by `external_id`: the same file again changes nothing. `dry_run` shows the difference and keeps nothing.
    403 for a key that lacks the right to something the file has.
    """
    _require_rights_of(body, actor)
    if body.external_id != external_id:
        body = body.model_copy(update={"external_id": external_id})
    base_url = core.settings.base_url
    difference = blueprint.apply(
        session,
        actor.organisation_id,
        body,
        geocode=core.geocode,
        base_url=base_url,
        changed_by=actor.key_id,
        now=now,
    )
    if dry_run:
        session.rollback()
        session.info.pop("announcements", None)
    shown = ids.show("cmp", difference.campaign_id) if difference.campaign_id and not dry_run else None
    return BlueprintRead(
        campaign_id=shown,
        dry_run=dry_run,
        created=difference.created,
        changed=difference.changed,
        unchanged=difference.unchanged,
    )
