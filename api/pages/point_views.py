"""What pages show of points and badges: a person's own, and what may be earned in a mission."""

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from babel.dates import format_date
from fastapi import Request
from sqlmodel import Session as DbSession

from api.pages.phone import onward
from campaigns import ids, missions, rewards
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.planning import Campaign, State
from campaigns.rewards import LotState, Told


def of_person(
    request: Request, session: DbSession, person: Participant, *, language: str, now: datetime
) -> dict[str, Any]:
    """A person's points by campaign, each lot with why, and their badges, in the phase each campaign is shown in."""
    purses: dict[UUID, dict[str, Any]] = {}
    for one in rewards.told(session, person.id):
        campaign = session.get_one(Campaign, one.lot.campaign_id)
        phase = missions.phase_shown(campaign, person)
        if one.lot.phase != phase:
            continue
        if campaign.id not in purses:
            purses[campaign.id] = _purse(session, campaign, person, phase, now)
        purses[campaign.id]["lots"].append(_lot(one, language, now))
    return {
        "purses": list(purses.values()),
        "take_url": onward(request, "/me/coupons"),
        "badges": _badges(session, person, language),
    }


def of_mission(
    request: Request, session: DbSession, mission: Mission, person: Participant | None, *, now: datetime
) -> dict[str, Any]:
    """What may be earned in a mission: the points of its steps, what they buy, its badges and what each asks for.

    `points` are what this person has; None for nobody. `is_open`: whether the campaign takes anything now.
    """
    campaign = session.get_one(Campaign, mission.campaign_id)
    worth = [
        {"title": step.title, "kind": step.kind, "points": step.points}
        for step in missions.steps_of(session, mission.id)
        if step.points
    ]
    badges = [
        {"name": one.name, "description": one.description, "kind": one.kind, "at_least": one.at_least}
        for one in rewards.badges_for(session, mission)
    ]
    points = None
    if person is not None:
        phase = missions.phase_shown(campaign, person)
        points = rewards.balance(session, campaign.id, person.id, phase, now=now)
    return {
        "worth": worth,
        "badges": badges,
        "days": mission.points_expire_days,
        "points": points,
        "offers": _offers(session, campaign, person, points or 0, now),
        "is_open": missions.state_shown(campaign, person, now=now) in (State.LIVE, State.PILOT),
        "take_url": onward(request, "/me/coupons"),
    }


def _purse(session: DbSession, campaign: Campaign, person: Participant, phase: str, now: datetime) -> dict[str, Any]:
    held = rewards.balance(session, campaign.id, person.id, phase, now=now)
    offers = _offers(session, campaign, person, held, now)
    return {"campaign": campaign.name, "points": held, "lots": [], "offers": offers}


def _offers(
    session: DbSession, campaign: Campaign, person: Participant | None, held: int, now: datetime
) -> list[dict[str, Any]]:
    """What points buy in a campaign, and whether those of a person are enough for it."""
    return [
        {
            "id": ids.show("off", one.id),
            "title": one.title,
            "points": one.points,
            "missing": max(0, (one.points or 0) - held),
            "is_theirs": person is not None and rewards.has_theirs(session, one, person),
            "client_id": str(uuid4()),
        }
        for one in rewards.for_points(session, campaign.id, now=now)
    ]


def _lot(one: Told, language: str, now: datetime) -> dict[str, Any]:
    lot = one.lot
    return {
        "step": one.step.title,
        "kind": one.step.kind,
        "mission": one.mission.title,
        "place": one.place or "",
        "when": _day(lot.earned_at, language),
        "amount": lot.amount,
        "state": lot.state_at(now).value,
        "until": _day(lot.expires_at, language) if lot.expires_at else "",
        "reason": lot.reason or "",
        "spends": [
            {"points": number, "on": offer.title, "when": _day(spend.spent_at, language)}
            for spend, offer, number in one.spends
        ],
        "is_owed": lot.state == LotState.REVOKED and lot.spent > 0,
    }


def _badges(session: DbSession, person: Participant, language: str) -> list[dict[str, Any]]:
    return [
        {
            "name": badge.name,
            "kind": badge.kind,
            "at_least": badge.at_least,
            "when": _day(award.awarded_at, language),
            "lost": _day(award.revoked_at, language) if award.revoked_at else "",
            "reason": award.reason or "",
        }
        for award, badge in rewards.awards_of(session, person.id)
        if award.phase == missions.phase_shown(session.get_one(Campaign, badge.campaign_id), person)
    ]


def _day(at: datetime, language: str) -> str:
    return format_date(at, "d MMMM", locale=language)
