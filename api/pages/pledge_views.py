"""What pages show of pledges: the disclosure beside each, the terms in plain words, the causes to choose among."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from babel.dates import format_datetime
from babel.numbers import format_decimal
from sqlmodel import Session as DbSession

from campaigns import clock, ids, sponsorship
from campaigns.missions import Mission
from campaigns.missions.models import LocalText
from campaigns.participants import Participant
from campaigns.sponsorship import Beneficiary, PledgeFacts


@dataclass(frozen=True)
class PledgeView:
    """A pledge as the public reads it."""

    id: str
    sponsor: str
    sponsor_url: str
    headline: str
    details: list[str]
    state: str


@dataclass(frozen=True)
class TermsView:
    """The terms of a pledge for who signs them: figures and instants in words, kinds as they are called."""

    kind: str
    nature: str
    last_slice: str
    min_presence: int
    sponsor: Any
    causes: Sequence[Beneficiary]
    unit: str
    cap: str
    per_person_cap: str
    per_day_cap: str
    threshold: str
    match_percent: str
    matched_sponsor: str
    starts: str
    ends: str
    review: str
    step_title: LocalText | None


def of_mission(session: DbSession, mission: Mission, language: str) -> list[PledgeView]:
    """The pledges that were ever active, oldest first."""
    return [view_of(one, language) for one in sponsorship.facts_of(session, sponsorship.promised(session, mission.id))]


def view_of(facts: PledgeFacts, language: str) -> PledgeView:
    """One pledge with its disclosure."""
    said = sponsorship.disclose(facts, language)
    return PledgeView(
        ids.show("pld", facts.pledge.id),
        facts.sponsor.name,
        facts.sponsor.url or "",
        said.headline,
        said.details,
        facts.pledge.state,
    )


def causes_of(session: DbSession, mission: Mission, person: Participant | None) -> list[dict[str, Any]]:
    """The causes this mission lets people choose among, with the one this person chose."""
    mine = sponsorship.chosen_cause(session, mission.id, person.id) if person else None
    return [
        {"id": ids.show("ben", one.id), "name": one.name, "is_mine": one.id == mine}
        for one in sponsorship.open_causes(session, mission.id)
    ]


def terms_of(facts: PledgeFacts, language: str) -> TermsView:
    """Every term of a pledge."""
    pledge = facts.pledge

    def amount(value: int | None) -> str:
        return facts.amount(value, language) if value is not None else ""

    def number(value: int | None) -> str:
        return format_decimal(value, locale=language) if value is not None else ""

    return TermsView(
        kind=pledge.kind,
        nature=pledge.nature,
        last_slice=pledge.last_slice,
        min_presence=pledge.min_presence,
        sponsor=facts.sponsor,
        causes=facts.causes,
        unit=amount(pledge.unit_minor),
        cap=amount(pledge.cap_minor),
        per_person_cap=amount(pledge.per_person_cap_minor),
        per_day_cap=amount(pledge.per_day_cap_minor),
        threshold=number(pledge.threshold),
        match_percent=number(pledge.match_percent),
        matched_sponsor=facts.matched_sponsor,
        starts=moment(pledge.starts_at, facts.time_zone, language),
        ends=moment(pledge.ends_at, facts.time_zone, language),
        review=number(pledge.review_h),
        step_title=facts.step_title,
    )


def moment(instant: datetime | None, time_zone: str, language: str) -> str:
    """Day and minute in a time zone; empty for none."""
    if instant is None:
        return ""
    return format_datetime(instant, "d MMMM y, HH:mm", tzinfo=clock.zone(time_zone), locale=language)
