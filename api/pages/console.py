"""The console's first page: what waits, what runs. Campaigns are launched, paused and ended here, proposals decided."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api.approvals import carry_out, launch_campaign, launch_checklist, propose_launch
from api.pages.console_names import Names
from api.pages.console_session import Anyone, Form, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import approvals, care, identity, ids, missions, pilots, planning, stats
from campaigns.approvals import Approval, ApprovalState
from campaigns.errors import CampaignError, Invalid
from campaigns.identity import Right
from campaigns.missions import StepKind
from campaigns.missions.models import LocalText
from campaigns.planning import Campaign, Target, Threshold
from campaigns.stats import RaisedAlert

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
CAMPAIGNS_SHOWN = 25
WAITING_SHOWN = 50
DECIDED_SHOWN = 10
REPORTS_LOOKED_AT = 100
ALERTS_SHOWN = 10
REASON_LIMIT = 500
Launcher = Annotated[Seat, member_may(Right.CAMPAIGNS_LAUNCH)]
Decider = Annotated[Seat, member_may(Right.APPROVALS_DECIDE)]


@dataclass(frozen=True)
class TargetView:
    """A target and, where a mission counts it, how far it is."""

    kpi: str
    value: float
    done: int | None

    @property
    def percent(self) -> int | None:
        return None if self.done is None else min(100, int(self.done * 100 // self.value))


@dataclass(frozen=True)
class SpreadView:
    """Word of mouth of a mission: `k` is None below five people."""

    mission: LocalText
    brought: int
    people: int
    k: float | None
    formula: str


@dataclass(frozen=True)
class CampaignView:
    """A campaign as the overview shows it."""

    id: str
    name: str
    state: str
    stored_state: str
    time_zone: str
    starts_at: datetime | None
    ends_at: datetime | None
    targets: list[TargetView]
    spread: list[SpreadView]
    waits: bool


@dataclass(frozen=True)
class ApprovalView:
    """A proposal, who made it and who decided."""

    id: str
    subject_name: str
    state: str
    proposed_at: datetime
    proposer: str
    is_mine: bool
    decided_at: datetime | None
    decider: str
    reason: str | None
    waivers: list[tuple[Threshold, str]]


@router.get("", response_class=HTMLResponse)
def overview(seat: Anyone, cursor: str | None = None) -> HTMLResponse:
    """What waits for a decision, the campaigns, what was decided."""
    return _overview(seat, cursor=cursor)


@router.get("/campaigns/{campaign_id}/launch", response_class=HTMLResponse)
def show_launch(seat: Launcher, campaign_id: str) -> HTMLResponse:
    """What the checklist says before a launch, and the button."""
    return _launch_page(seat, campaign_id)


@router.post("/campaigns/{campaign_id}/launch")
def launch(seat: Launcher, form: Form, campaign_id: str) -> Response:
    """Launch, or propose it where the organisation says that a launch needs approval."""
    try:
        with seat.writing() as session:
            campaign = _campaign(session, seat, campaign_id, lock=True)
            if identity.organisation_by_id(session, seat.organisation.id).launch_needs_approval:
                propose_launch(session, campaign, key_id=None, member_id=seat.member.id, now=seat.now)
                done = "proposed"
            else:
                launch_campaign(session, campaign, now=seat.now)
                done = "launched"
    except CampaignError as error:
        return _overview(seat, error=_shown_if_ours(error))
    return seat.see("/console", done=done)


@router.get("/campaigns/{campaign_id}/end", response_class=HTMLResponse)
def show_end(seat: Launcher, campaign_id: str) -> HTMLResponse:
    """Ending is for good: a page that asks once more."""
    with seat.reading() as session:
        campaign = _campaign(session, seat, campaign_id)
    return seat.page(
        "console_sure.html", what="end", whom=campaign.name, action=f"/console/campaigns/{campaign_id}/end"
    )


@router.post("/campaigns/{campaign_id}/pause")
def pause(seat: Launcher, form: Form, campaign_id: str) -> Response:
    """Live to paused."""
    return _advance(seat, campaign_id, planning.pause, "pause")


@router.post("/campaigns/{campaign_id}/resumption")
def resume(seat: Launcher, form: Form, campaign_id: str) -> Response:
    """Paused to live."""
    return _advance(seat, campaign_id, planning.resume, "resumption")


@router.post("/campaigns/{campaign_id}/end")
def end(seat: Launcher, form: Form, campaign_id: str) -> Response:
    """Live or paused to ended, for good."""
    return _advance(seat, campaign_id, planning.end, "end")


@router.post("/approvals/{approval_id}/approval")
def approve(seat: Decider, form: Form, approval_id: str) -> Response:
    """Approve what somebody else proposed, and do it, in one transaction."""

    def act(session: DbSession, approval: Approval) -> None:
        state = ApprovalState.APPROVED
        approvals.decide(session, approval, state, member_id=seat.member.id, reason=None, now=seat.now)
        carry_out(session, approval, now=seat.now)

    return _decide(seat, approval_id, "approved", act)


@router.post("/approvals/{approval_id}/refusal")
def refuse(seat: Decider, form: Form, approval_id: str) -> Response:
    """Refuse it, with a reason that who proposed it reads."""
    reason = " ".join(form["reason"].split())

    def act(session: DbSession, approval: Approval) -> None:
        if not 0 < len(reason) <= REASON_LIMIT:
            raise Invalid("Say why, in 500 characters at most.", pointer="/reason")
        state = ApprovalState.REFUSED
        approvals.decide(session, approval, state, member_id=seat.member.id, reason=reason, now=seat.now)

    return _decide(seat, approval_id, "refused", act, typed={approval_id: form["reason"]})


@router.post("/approvals/{approval_id}/withdrawal")
def withdraw(seat: Launcher, form: Form, approval_id: str) -> Response:
    """Take a proposal back."""

    def act(session: DbSession, approval: Approval) -> None:
        approvals.withdraw(session, approval, now=seat.now)

    return _decide(seat, approval_id, "withdrawn", act)


def _advance(seat: Seat, campaign_id: str, move: Callable[..., None], done: str) -> Response:
    try:
        with seat.writing() as session:
            move(session, _campaign(session, seat, campaign_id, lock=True), now=seat.now)
    except CampaignError as error:
        return _overview(seat, error=_shown_if_ours(error))
    return seat.see("/console", done=done)


def _decide(
    seat: Seat,
    approval_id: str,
    done: str,
    act: Callable[[DbSession, Approval], None],
    typed: dict[str, str] | None = None,
) -> Response:
    """One decision in one transaction: what it leads to stands or falls with it."""
    try:
        with seat.writing() as session:
            act(session, approvals.approval_by_id(session, seat.organisation.id, ids.parse("apr", approval_id)))
    except CampaignError as error:
        return _overview(seat, error=_shown_if_ours(error), typed=typed)
    return seat.see("/console", done=done)


def _shown_if_ours(error: CampaignError) -> CampaignError:
    """What is not the organisation's is no more than a 404; the rest is told on the page."""
    if error.code == "not_found":
        raise error
    return error


def _overview(
    seat: Seat,
    *,
    cursor: str | None = None,
    error: CampaignError | None = None,
    typed: dict[str, str] | None = None,
) -> HTMLResponse:
    with seat.reading() as session:
        owner, names = seat.organisation.id, Names(session, seat.language)
        rows = planning.list_campaigns(session, owner, before=before(cursor), limit=CAMPAIGNS_SHOWN + 1)
        proposed = approvals.list_approvals(
            session, owner, state=ApprovalState.WAITING, before=None, limit=WAITING_SHOWN
        )
        recent = approvals.list_approvals(session, owner, state=None, before=None, limit=WAITING_SHOWN)
        decided = [one for one in recent if one.state != ApprovalState.WAITING][:DECIDED_SHOWN]
        waits = {one.subject_id for one in proposed}
        context: dict[str, Any] = {
            "campaigns": [_view(session, one, waits, seat.now) for one in rows[:CAMPAIGNS_SHOWN]],
            "waiting": [_approval(session, names, one, seat) for one in proposed],
            "decided": [_approval(session, names, one, seat) for one in decided],
            "reports": _open_reports(session, seat),
            "raised": _raised(session, names, seat),
        }
    more = ids.show("cur", rows[CAMPAIGNS_SHOWN - 1].id) if len(rows) > CAMPAIGNS_SHOWN else ""
    asked = sum(1 for one in context["waiting"] if not one.is_mine) if seat.may(Right.APPROVALS_DECIDE) else 0
    return seat.page("console.html", error=error, more=more, asked=asked, typed=typed or {}, **context)


def _open_reports(session: DbSession, seat: Seat) -> int:
    if not seat.may(Right.CARE_READ):
        return 0
    found = care.list_reports(session, seat.organisation.id, before=None, limit=REPORTS_LOOKED_AT)
    return sum(1 for one in found if one.handled_at is None)


def _raised(session: DbSession, names: Names, seat: Seat) -> list[tuple[str, RaisedAlert]]:
    """Thresholds that are crossed now, each with its campaign."""
    if not seat.may(Right.FIGURES_READ):
        return []
    found = stats.list_raised(session, seat.organisation.id, is_open=True, before=None, limit=ALERTS_SHOWN)
    return [(names.of("campaign", one.campaign_id), one) for one in found]


def _launch_page(seat: Seat, campaign_id: str) -> HTMLResponse:
    with seat.reading() as session:
        campaign = _campaign(session, seat, campaign_id)
        campaign.require(*planning.BEFORE_LAUNCH)
        pilot = planning.find_pilot(session, campaign.id)
        standing = pilots.pilot_standing(session, campaign)
        names = Names(session, seat.language)
        waivers = {one.criterion: names.member(one.waiver.member_id) for one in standing if one.waiver}
        checklist = launch_checklist(session, campaign)
        targets = planning.list_targets(session, campaign.id)
    return seat.page(
        "console_launch.html",
        campaign=campaign,
        pilot=pilot,
        thresholds=standing,
        waivers=waivers,
        is_passed=all(one.is_passed for one in standing),
        pilot_action=f"/console/campaigns/{campaign_id}/pilot",
        targets=targets,
        warnings=[one for one in checklist if one.warning],
        fine=[one for one in checklist if not one.warning],
        needs_approval=seat.organisation.launch_needs_approval,
        action=f"/console/campaigns/{campaign_id}/launch",
    )


def _campaign(session: DbSession, seat: Seat, campaign_id: str, *, lock: bool = False) -> Campaign:
    return planning.campaign_by_id(session, seat.organisation.id, ids.parse("cmp", campaign_id), lock=lock)


def _view(session: DbSession, campaign: Campaign, waits: set[UUID], now: datetime) -> CampaignView:
    done: dict[str, int] = {}
    spread: list[SpreadView] = []
    for mission in missions.list_missions(session, campaign.id):
        for metric, total in missions.counters(session, mission.id).items():
            done[metric] = done.get(metric, 0) + total
        if any(step.kind == StepKind.REFERRAL for step in missions.steps_of(session, mission.id)):
            told = missions.word_of_mouth(session, mission.id)
            spread.append(SpreadView(mission.title, told.brought, told.people, told.k_factor, told.formula))
    return CampaignView(
        id=ids.show("cmp", campaign.id),
        name=campaign.name,
        state=campaign.state_at(now),
        stored_state=campaign.state,
        time_zone=campaign.time_zone,
        starts_at=campaign.starts_at,
        ends_at=campaign.ends_at,
        targets=[_target(one, done) for one in planning.list_targets(session, campaign.id)],
        spread=spread,
        waits=campaign.id in waits,
    )


_COUNTED = ("check_ins", "participants", "completions", "ideas", "votes", "referrals")  # by missions, as they happen


def _target(target: Target, done: dict[str, int]) -> TargetView:
    return TargetView(target.kpi, target.value, done.get(target.kpi, 0) if target.kpi in _COUNTED else None)


def _approval(session: DbSession, names: Names, approval: Approval, seat: Seat) -> ApprovalView:
    return ApprovalView(
        id=ids.show("apr", approval.id),
        subject_name=approval.subject_name,
        state=approval.state,
        proposed_at=approval.proposed_at,
        proposer=names.proposer(approval),
        is_mine=approval.proposed_by_member_id == seat.member.id,
        decided_at=approval.decided_at,
        decider=names.member(approval.decided_by_member_id) if approval.decided_by_member_id else "",
        reason=approval.reason,
        waivers=_waivers(session, names, approval),
    )


def _waivers(session: DbSession, names: Names, approval: Approval) -> list[tuple[Threshold, str]]:
    """What a launch that is proposed leaves aside of its pilot, and who let it go: who approves must see it."""
    campaign = session.get(Campaign, approval.subject_id)
    standing = pilots.pilot_standing(session, campaign) if campaign else []
    return [(one, names.member(one.waiver.member_id)) for one in standing if one.waiver]
