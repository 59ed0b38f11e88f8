"""Pilots, for marketers: own people first. What is declared with a campaign is shown here beside what it came to."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel
from sqlmodel import Session as DbSession

from api.dependencies import Now, ReadSession, Session
from api.policies import Actor, may
from campaigns import ids, missions, pilots, planning
from campaigns.identity import Member, Right
from campaigns.planning import Campaign, Criterion, PilotWaiver, Threshold

router = APIRouter(prefix="/v1", tags=["campaigns"])


class WaiverRead(BaseModel):
    """Who let a threshold go, and why."""

    member_id: str
    member_name: str
    reason: str
    waived_at: datetime


class ThresholdRead(BaseModel):
    """A declared threshold; `open_cases` is a most.

    `found` is what the pilot came to: null for a share of nothing, and while fewer than five people took part.
    """

    criterion: Criterion
    wanted: float
    found: float | None
    is_met: bool
    waiver: WaiverRead | None


class PilotStandingRead(BaseModel):
    """A pilot, and whether a launch would be let through (`is_passed`). `people` is null below five."""

    campaign_id: str
    state: str
    place_ids: list[str]
    max_people: int
    people: int | None
    started_at: datetime | None
    thresholds: list[ThresholdRead]
    is_passed: bool


def show(session: DbSession, campaign: Campaign, now: datetime) -> PilotStandingRead:
    pilot = planning.require_declared(session, campaign.id)
    standing = pilots.pilot_standing(session, campaign)
    return PilotStandingRead(
        campaign_id=ids.show("cmp", campaign.id),
        state=campaign.state_at(now),
        started_at=campaign.pilot_started_at,
        thresholds=[_threshold(session, one) for one in standing],
        is_passed=all(one.is_passed for one in standing),
        people=pilot.people if pilot.people >= missions.LEAST_GROUP else None,
        **pilot.model_dump(include={"place_ids", "max_people"}),
    )


@router.get("/campaigns/{campaign_id}/pilot", dependencies=[may(Right.CAMPAIGNS_READ)])
def read_pilot(campaign_id: str, actor: Actor, session: ReadSession, now: Now) -> PilotStandingRead:
    """How far a campaign's pilot is: its thresholds with what was found, and who waived which. 409 `no_pilot`."""
    return show(session, planning.campaign_by_name(session, actor.organisation_id, campaign_id), now)


@router.post("/campaigns/{campaign_id}/pilot", dependencies=[may(Right.CAMPAIGNS_LAUNCH)])
def start_pilot(campaign_id: str, actor: Actor, session: Session, now: Now) -> PilotStandingRead:
    """Draft to pilot: the team tries the campaign, apart from all public figures.

    409 `no_pilot` where none was declared, `wrong_state` from another state. Thresholds are waived in the console, by a
    member who says why; a launch is 409 `pilot_unmet`, with `unmet`, until each is met or waived.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    planning.start_pilot(session, campaign, now=now)
    return show(session, campaign, now)


def _threshold(session: DbSession, one: Threshold) -> ThresholdRead:
    return ThresholdRead(
        criterion=Criterion(one.criterion),
        wanted=one.wanted,
        found=one.shown,
        is_met=one.is_met,
        waiver=_waiver(session, one.waiver) if one.waiver else None,
    )


def _waiver(session: DbSession, waiver: PilotWaiver) -> WaiverRead:
    member = session.get(Member, waiver.member_id)
    return WaiverRead(
        member_id=ids.show("mbr", waiver.member_id),
        member_name=member.name if member else "",
        reason=waiver.reason,
        waived_at=waiver.waived_at,
    )
