"""How far a campaign's pilot is: figures of its phase alone, from the floors that keep them, for who launches it."""

from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from campaigns import missions, planning, scans, tokens
from campaigns.care.models import OPEN_STATES, Case
from campaigns.planning import Campaign, Criterion, Phase, Pilot, PilotFacts, Threshold
from campaigns.scans import CheckIn


def pilot_facts(session: Session, campaign: Campaign) -> PilotFacts | None:
    """What the campaign's pilot came to, by criterion; None where none was declared.

    `people` took part; `verified_acts` and `places` are of counted acts; `verified_share` is verified scans / human
    scans, None without a human one; `open_cases` are those of the campaign that wait for an answer.
    """
    pilot = planning.find_pilot(session, campaign.id)
    if pilot is None:
        return None
    return PilotFacts(_found(session, campaign, pilot), is_small=pilot.people < missions.LEAST_GROUP)


def pilot_standing(session: Session, campaign: Campaign) -> list[Threshold]:
    """Each declared threshold with what was found and who waived it; empty without a pilot."""
    pilot, facts = planning.find_pilot(session, campaign.id), pilot_facts(session, campaign)
    return planning.thresholds_of(session, pilot, facts) if pilot and facts else []


def _found(session: Session, campaign: Campaign, pilot: Pilot) -> dict[str, float | None]:
    figures = scans.totals(session, tokens.ids_of_campaign(campaign.id), phase=Phase.PILOT.value)
    return {
        Criterion.PEOPLE: pilot.people,
        Criterion.VERIFIED_ACTS: missions.verified_acts(session, campaign.id, phase=Phase.PILOT.value),
        Criterion.PLACES: _count(session, func.count(func.distinct(col(CheckIn.place_id))), *_visits(campaign.id)),
        Criterion.VERIFIED_SHARE: round(figures.verified / figures.human, 4) if figures.human else None,
        Criterion.OPEN_CASES: _count(
            session,
            func.count(col(Case.id)),
            col(Case.campaign_id) == campaign.id,
            col(Case.state).in_([one.value for one in OPEN_STATES]),
        ),
    }


def _visits(campaign_id: UUID) -> tuple[Any, ...]:
    return col(CheckIn.campaign_id) == campaign_id, col(CheckIn.phase) == Phase.PILOT.value, col(CheckIn.counted)


def _count(session: Session, what: Any, *where: Any) -> int:
    return int(session.execute(select(what).where(*where)).scalar_one())
