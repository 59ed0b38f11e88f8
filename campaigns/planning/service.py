"""Campaigns from draft to end: an objective and a target before any token, targets locked at launch."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete
from sqlmodel import Session, col, select

from campaigns import clock, identity
from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import external, parse, uuid7_at
from campaigns.planning.models import KPIS, Campaign, Objective, State, Target, target_problem
from campaigns.planning.pilot import PilotFacts, require_declared, require_passed
from campaigns.storage import find_own, newest

BEFORE_LAUNCH = (State.DRAFT, State.PILOT)


@dataclass(frozen=True)
class LaunchFacts:
    """What launch must know from floors above: the caller reads it and passes it in."""

    tokens: int
    tokens_without_place: int
    places: int
    missions: int
    pilot: PilotFacts | None = None
    pledges_inactive: int = 0


@dataclass(frozen=True)
class ChecklistItem:
    """One line of the launch checklist. `warning` says what a shopper or the law would miss."""

    item: str
    ok: bool
    warning: str | None = None


def plan_campaign(
    session: Session, organisation_id: UUID, *, targets: dict[str, float], now: datetime, **fields: Any
) -> Campaign:
    """Create a draft with its targets. Invalid without an objective, a target, or with an unknown KPI."""
    _check(fields)
    external_id = fields.get("external_id")
    if external_id and find_campaign(session, organisation_id, external_id=external_id):
        raise Conflict(f"A campaign with external_id {external_id!r} is there already.", pointer="/external_id")
    campaign = Campaign(id=uuid7_at(now), organisation_id=organisation_id, created_at=now, changed_at=now, **fields)
    session.add(campaign)
    session.flush()
    set_targets(session, campaign, targets, now=now)
    return campaign


def set_targets(session: Session, campaign: Campaign, targets: dict[str, float], *, now: datetime) -> None:
    """Replace a draft's targets. Conflict once they are locked, Invalid for none or an unknown KPI."""
    if campaign.state not in BEFORE_LAUNCH:
        raise Conflict("Targets are locked since the campaign went live.", code="targets_locked")
    if not targets:
        fitting = ", ".join(KPIS[Objective(campaign.objective)])
        raise Invalid(f"Name at least one target; this objective has {fitting}.", pointer="/targets")
    for kpi, value in targets.items():
        if problem := target_problem(campaign.objective, kpi, value):
            raise Invalid(problem, pointer="/targets", kpis=list(KPIS[Objective(campaign.objective)]))
    session.execute(delete(Target).where(col(Target.campaign_id) == campaign.id))
    in_order = sorted(uuid7_at(now) for _ in targets)  # ids of one millisecond come in any order
    for id, (kpi, value) in zip(in_order, targets.items(), strict=True):
        session.add(Target(id=id, campaign_id=campaign.id, kpi=kpi, value=value))
    session.flush()


def change_campaign(session: Session, campaign: Campaign, *, now: datetime, **fields: Any) -> Campaign:
    """Change fields of a campaign; printed codes follow at once. The objective is locked with the targets."""
    if campaign.state not in BEFORE_LAUNCH and fields.get("objective", campaign.objective) != campaign.objective:
        raise Conflict("The objective is locked since the campaign went live.", code="targets_locked")
    for key, value in fields.items():
        setattr(campaign, key, value)
    _check(campaign.model_dump())
    campaign.changed_at = now
    session.add(campaign)
    announce(session, "campaign", campaign.id)
    return campaign


def launch(session: Session, campaign: Campaign, facts: LaunchFacts, *, now: datetime) -> list[ChecklistItem]:
    """Draft or pilot to live: targets lock, and the checklist says what is missing. Invalid when a target does not fit.

    Conflict (`pilot_unmet`, with the list) while its pilot has not shown what was declared, nor a member waived it.
    """
    require_passed(session, campaign.id, facts.pilot)
    for target in list_targets(session, campaign.id):
        if problem := target_problem(campaign.objective, target.kpi, target.value):
            raise Invalid(problem, pointer="/targets", kpis=list(KPIS[Objective(campaign.objective)]))
    _advance(session, campaign, State.LIVE, of=BEFORE_LAUNCH, event="campaign.launched", now=now)
    campaign.launched_at = now
    for target in list_targets(session, campaign.id):
        target.locked_at = now
        session.add(target)
    organisation = identity.organisation_by_id(session, campaign.organisation_id)
    return checklist(campaign, facts, organisation.missing_legal_data)


def checklist(campaign: Campaign, facts: LaunchFacts, legal_missing: Sequence[str]) -> list[ChecklistItem]:
    """What a campaign should have before the first shopper scans; `legal_missing`: what its legal pages lack."""

    def item(name: str, ok: bool, warning: str) -> ChecklistItem:
        return ChecklistItem(name, ok, None if ok else warning)

    return [
        item("objective", True, ""),
        item("places", facts.places > 0, "No token stands in a place: nobody can prove presence."),
        item("tokens", facts.tokens > 0, "There is no token yet: nothing can be scanned."),
        item(
            "tokens_placed",
            facts.tokens_without_place == 0,
            f"{facts.tokens_without_place} tokens have no place: their check-ins are worth presence 0.",
        ),
        item(
            "promise",
            facts.missions > 0 or campaign.destination is not None,
            "There is no mission and no destination: the page will promise nothing.",
        ),
        item(
            "flight",
            campaign.ends_at is not None,
            "There is no end date: the campaign runs until it is ended.",
        ),
        item(
            "disclosure",
            facts.pledges_inactive == 0,
            f"{facts.pledges_inactive} pledges are not active: nothing of them is public, and no act accrues on them.",
        ),
        item("reward", True, ""),
        item(
            "legal_pages",
            not legal_missing,
            f"The legal pages do not name {', '.join(legal_missing)} yet: give them with PATCH /v1/organisation.",
        ),
    ]


def start_pilot(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Draft to pilot: its codes count for its own people, apart from all public figures. Conflict without a pilot."""
    require_declared(session, campaign.id)
    _advance(session, campaign, State.PILOT, of=(State.DRAFT,), event="campaign.piloted", now=now)
    campaign.pilot_started_at = now


def pause(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Live to paused: codes explain themselves, nothing counts."""
    _advance(session, campaign, State.PAUSED, of=(State.LIVE,), event="campaign.paused", now=now)


def resume(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Paused to live."""
    _advance(session, campaign, State.LIVE, of=(State.PAUSED,), event="campaign.resumed", now=now)


def end(session: Session, campaign: Campaign, *, now: datetime) -> None:
    """Live, paused or pilot to ended, for good: codes show the outcome and thanks."""
    _advance(
        session, campaign, State.ENDED, of=(State.LIVE, State.PAUSED, State.PILOT), event="campaign.ended", now=now
    )
    campaign.ended_at = now


def find_campaign(session: Session, organisation_id: UUID, *, external_id: str) -> Campaign | None:
    return session.exec(
        select(Campaign).where(Campaign.organisation_id == organisation_id, Campaign.external_id == external_id)
    ).first()


def campaign_by_id(session: Session, organisation_id: UUID, campaign_id: UUID, *, lock: bool = False) -> Campaign:
    """The organisation's campaign, locked for a change of state if asked; NotFound for another's."""
    # Found by name it is in the session already: read it again under the lock, or two launches both see a draft.
    campaign = find_own(session, Campaign, organisation_id, campaign_id, lock=lock)
    if campaign is None:
        raise NotFound("There is no such campaign.")
    return campaign


def campaign_by_name(session: Session, organisation_id: UUID, name: str, *, lock: bool = False) -> Campaign:
    """The campaign a path names: `cmp_...` or `ext_<external_id>`. NotFound else."""
    theirs = external(name)
    found = find_campaign(session, organisation_id, external_id=theirs) if theirs else None
    id = found.id if found is not None else parse("cmp", name)
    return campaign_by_id(session, organisation_id, id, lock=lock)


def list_campaigns(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Campaign]:
    """Newest first, older than `before`."""
    query = select(Campaign).where(Campaign.organisation_id == organisation_id)
    return newest(session, query, Campaign, before=before, limit=limit)


def list_targets(session: Session, campaign_id: UUID) -> Sequence[Target]:
    """In the order they were named."""
    return session.exec(select(Target).where(Target.campaign_id == campaign_id).order_by(col(Target.id))).all()


def _advance(
    session: Session, campaign: Campaign, to: State, *, of: tuple[State, ...], event: str, now: datetime
) -> None:
    campaign.move(to, of=of, now=now)
    session.add(campaign)
    record_event(session, event, now=now, campaign_id=campaign.id)
    announce(session, "campaign", campaign.id)


def _check(fields: dict[str, Any]) -> None:
    clock.zone(fields["time_zone"])
    starts_at, ends_at = fields.get("starts_at"), fields.get("ends_at")
    if starts_at and ends_at and ends_at <= starts_at:
        raise Invalid("ends_at comes after starts_at.", pointer="/ends_at")
    if (fields.get("budget_minor") is None) != (fields.get("currency") is None):
        raise Invalid("A budget needs budget_minor and currency, both.", pointer="/budget_minor")
