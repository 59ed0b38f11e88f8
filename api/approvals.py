"""What waits for a second person, and carrying out what was approved. Members decide, in the console; never a key."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel
from sqlmodel import Session as DbSession

from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import approvals, identity, ids, missions, pilots, planning, rewards, sponsorship, tokens
from campaigns.approvals import Approval, ApprovalKind, ApprovalState
from campaigns.errors import Conflict
from campaigns.identity import Right
from campaigns.planning import ChecklistItem

router = APIRouter(prefix="/v1/approvals", tags=["approvals"])


class ApprovalRead(BaseModel):
    """A proposal. Members approve or refuse it in the console: not who proposed it, nor who issued the key that did."""

    id: str
    kind: ApprovalKind
    subject_id: str
    subject_name: str
    state: ApprovalState
    proposed_at: datetime
    proposed_by_key_id: str | None
    proposed_by_member_id: str | None
    decided_at: datetime | None
    decided_by_member_id: str | None
    reason: str | None


def show(approval: Approval) -> ApprovalRead:
    def shown(prefix: str, id: Any) -> str | None:
        return ids.show(prefix, id) if id else None

    return ApprovalRead(
        id=ids.show("apr", approval.id),
        subject_id=ids.show("cmp", approval.subject_id),
        proposed_by_key_id=shown("key", approval.proposed_by_key_id),
        proposed_by_member_id=shown("mbr", approval.proposed_by_member_id),
        decided_by_member_id=shown("mbr", approval.decided_by_member_id),
        **approval.model_dump(include={"kind", "subject_name", "state", "proposed_at", "decided_at", "reason"}),
    )


@router.get("", dependencies=[may(Right.APPROVALS_READ)])
def list_approvals(
    actor: Actor,
    session: ReadSession,
    state: ApprovalState | None = Query(None, description="only those in this state"),
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """What was proposed, newest first."""
    rows = approvals.list_approvals(session, actor.organisation_id, state=state, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show, lambda one: one.id)


@router.get("/{approval_id}", dependencies=[may(Right.APPROVALS_READ)], response_model=ApprovalRead)
def read_approval(approval_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One proposal, and what was decided."""
    return tags.read(show(approvals.approval_by_id(session, actor.organisation_id, ids.parse("apr", approval_id))))


@router.post("/{approval_id}/withdrawal", dependencies=[may(Right.CAMPAIGNS_LAUNCH)])
def withdraw(approval_id: str, actor: Actor, session: Session, now: Now) -> ApprovalRead:
    """Take a proposal back. 409 when it is decided already."""
    approval = approvals.approval_by_id(session, actor.organisation_id, ids.parse("apr", approval_id))
    return show(approvals.withdraw(session, approval, now=now))


def carry_out(session: DbSession, approval: Approval, *, now: datetime) -> None:
    """Do what was approved, in the transaction of the decision. Conflict when it can be done no more."""
    DEEDS[ApprovalKind(approval.kind)](session, approval, now)


def propose_launch(
    session: DbSession, campaign: planning.Campaign, *, key_id: UUID | None, member_id: UUID | None, now: datetime
) -> Approval:
    """Let a launch wait for another member. Conflict once it was launched, or while its pilot is not passed."""
    campaign.require(*planning.BEFORE_LAUNCH)
    planning.require_passed(session, campaign.id, pilots.pilot_facts(session, campaign))
    return approvals.propose(
        session,
        campaign.organisation_id,
        kind=ApprovalKind.LAUNCH,
        subject_id=campaign.id,
        subject_name=campaign.name,
        key_id=key_id,
        member_id=member_id,
        since=_changed_at(session, campaign),
        now=now,
    )


def launch_campaign(session: DbSession, campaign: planning.Campaign, *, now: datetime) -> list[ChecklistItem]:
    """Draft or pilot to live, with the facts that launching asks of missions and tokens; the checklist."""
    return planning.launch(session, campaign, _facts(session, campaign), now=now)


def launch_checklist(session: DbSession, campaign: planning.Campaign) -> list[ChecklistItem]:
    """What the checklist would say of a launch now."""
    organisation = identity.organisation_by_id(session, campaign.organisation_id)
    return planning.checklist(campaign, _facts(session, campaign), organisation.missing_legal_data)


def _facts(session: DbSession, campaign: planning.Campaign) -> planning.LaunchFacts:
    number = len(missions.list_missions(session, campaign.id))
    facts = tokens.launch_facts(session, campaign.id, missions=number)
    return replace(
        facts,
        pilot=pilots.pilot_facts(session, campaign),
        pledges_inactive=sponsorship.not_active(session, campaign.id),
        promotions=tuple(rewards.launch_warnings(session, campaign)),
    )


def _launch(session: DbSession, approval: Approval, now: datetime) -> None:
    campaign = planning.campaign_by_id(session, approval.organisation_id, approval.subject_id, lock=True)
    if _changed_at(session, campaign) > approval.proposed_at:
        raise Conflict("It changed after it was proposed: look at it again, and propose it anew.", code="changed_since")
    launch_campaign(session, campaign, now=now)


def _changed_at(session: DbSession, campaign: planning.Campaign) -> datetime:
    """When what shoppers would meet was changed last: the campaign or one of its missions."""
    return max([campaign.changed_at, *(one.changed_at for one in missions.list_missions(session, campaign.id))])


DEEDS: dict[ApprovalKind, Callable[[DbSession, Approval, datetime], None]] = {ApprovalKind.LAUNCH: _launch}
