"""Figures of a campaign: over any time, by up to two groups, beside those of the time before."""

from dataclasses import replace
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlmodel import Session as DbSession
from typing_extensions import TypedDict

from api.dependencies import Core, Now
from api.etags import Tagged
from api.figure_filters import Value, When, asked_for
from api.policies import Actor, may
from campaigns import missions, planning, rewards, stats, tokens
from campaigns.identity import Right
from campaigns.planning import Campaign
from campaigns.scans import Figures
from campaigns.stats import Asked, Line, Window

router = APIRouter(prefix="/v1", tags=["figures"])

_Word = Annotated[str | None, Query(max_length=80)]


class ScansRead(TypedDict):
    """Scans by what the log thinks of them. `verified` is null, "not measured", where nothing could confirm them."""

    raw: int
    human: int
    verified: int | None
    provisional: int
    bot: int
    duplicate: int
    held: int
    invalid: int


class GroupRead(TypedDict):
    """One group: `keys` as asked for, null where a scan has none. Hours and days are named as the campaign's zone has
    them, weeks by their Monday. `unique_visitors` is null where none are kept: by hour, verdict, medium, language and
    country.
    """

    keys: dict[str, str | None]
    scans: ScansRead
    unique_visitors: int | None
    inflation: float | None


class PeriodRead(BaseModel):
    """The same figures of the time of equal length before."""

    since: str
    until: str
    scans: ScansRead
    unique_visitors: int | None


class StatsRead(BaseModel):
    """Raw beside human beside verified, always; of whole civil days, or of hours. What a pilot did is in none of them.

    `since` and `until` are what the figures cover, `until` not included; scans after `complete_up_to` may be missing.
    `check_ins` and `participants`, the people who made them, are of the same time; null for a filter that says nothing
    of them. `late_check_ins` are those that a phone sent more than ten minutes after its scan. `bridge_rate`,
    `return_rate`, `insider_share` and `staff_recorded` are of the whole campaign; null with a range or filter. With
    5,000 people or more the bridge rate and insider share are of `shares_as_of`, a minute ago; null says now.
    `return_rate` is coupons redeemed in a shop / coupons issued, to people who had acted online. `formulas` names the
    formula of each figure that is reckoned.
    """

    since: str
    until: str
    scans: ScansRead
    unique_visitors: int | None
    participants: int | None
    check_ins: int | None
    late_check_ins: int | None
    bridge_rate: float | None
    return_rate: float | None
    insider_share: float | None
    shares_as_of: datetime | None
    staff_recorded: int | None
    inflation: float | None
    formulas: dict[str, str]
    complete_up_to: datetime
    previous: PeriodRead | None
    groups: list[GroupRead]


# Versioned: a figure that is reckoned otherwise has another id.
_FORMULAS = {
    "bridge_rate": stats.BRIDGE_FORMULA,
    "return_rate": rewards.RETURN_FORMULA,
    "insider_share": "insider_share/1",
    "inflation": "inflation/1",
}


@router.get("/campaigns/{campaign_id}/stats", dependencies=[may(Right.FIGURES_READ)], response_model=StatsRead)
def read_stats(
    campaign_id: str,
    actor: Actor,
    core: Core,
    now: Now,
    tags: Tagged,
    since: When = None,
    until: When = None,
    group_by: Annotated[list[str] | None, Query(max_length=2, description=", ".join(stats.GROUPS))] = None,
    compare: Annotated[str | None, Query(pattern="^previous$")] = None,
    place_id: Value = None,
    token_id: Value = None,
    channel: _Word = None,
    medium: _Word = None,
    device: _Word = None,
    language: _Word = None,
    country: _Word = None,
) -> StatsRead | Response:
    """Figures of a campaign, from rollups that follow the scans within two seconds.

    `group_by` takes one or two (`day,place`); with the filters it names one thing at most beside time and verdict. A
    date begins where the campaign is; an instant widens to its day, or to its hour with `group_by=hour`.
    `compare=previous` adds the time of equal length before. 422 names what can be asked. Answers 304 to a known `ETag`.
    """
    where = {"place": place_id, "token": token_id, "channel": channel, "medium": medium}
    where |= {"device": device, "language": language, "country": country}
    # Of one moment: a scan that the worker counts meanwhile is neither there twice nor missing.
    with core.database.moment() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        asked = asked_for(session, campaign, since, until, where, group_by or (), now=now)
        shown = _stats(session, campaign, asked, is_compared=compare is not None, now=now)
    return tags.changing(shown, "complete_up_to", "shares_as_of")


def _stats(session: DbSession, campaign: Campaign, asked: Asked, *, is_compared: bool, now: datetime) -> StatsRead:
    answer = stats.ask(session, campaign, asked, now=now)
    can_measure = tokens.is_measurable(session, campaign)
    is_whole = stats.is_whole(asked)
    whole = stats.whole_of(session, campaign.id, now=now) if is_whole else None
    acts = stats.acts_of(session, campaign, asked, answer.window, with_people=not is_whole)
    return StatsRead(
        **_covered(campaign, answer.window),
        **_headline(answer.total, can_measure),
        participants=_people(session, campaign) if is_whole else acts.people,
        check_ins=acts.check_ins,
        late_check_ins=acts.late,
        bridge_rate=whole and whole.bridge_rate,
        return_rate=rewards.return_rate(session, campaign.id) if is_whole else None,
        insider_share=whole and whole.insider_share,
        shares_as_of=whole and whole.as_of,
        staff_recorded=_staff_recorded(session, campaign) if is_whole else None,
        inflation=answer.total.figures.inflation,
        formulas=_FORMULAS,
        complete_up_to=answer.complete_up_to,
        previous=_previous(session, campaign, asked, answer.window, can_measure, now) if is_compared else None,
        groups=[_group(campaign, one, can_measure) for one in answer.lines],
    )


def _previous(
    session: DbSession, campaign: Campaign, asked: Asked, window: Window, can_measure: bool, now: datetime
) -> PeriodRead:
    length = window.end - window.first
    before = Window(window.span, window.first - length, window.first)
    since, until = stats.bounds(campaign, before)
    kept = tuple(one for one in asked.group_by if one == "hour")
    answer = stats.ask(session, campaign, replace(asked, since=since, until=until, group_by=kept), now=now)
    return PeriodRead(**_covered(campaign, answer.window), **_headline(answer.total, can_measure))


def _headline(line: Line, can_measure: bool) -> dict[str, Any]:
    return {"scans": _scans(line.figures, can_measure), "unique_visitors": line.visitors}


def _scans(figures: Figures, can_measure: bool) -> ScansRead:
    found = figures.by_verdict
    return {
        "raw": figures.raw,
        "human": figures.human,
        "verified": figures.verified if figures.verified or can_measure else None,
        "provisional": found["provisional"],
        "bot": found["bot"],
        "duplicate": found["duplicate"],
        "held": found["held"],
        "invalid": found["invalid"],
    }


def _group(campaign: Campaign, line: Line, can_measure: bool) -> GroupRead:
    return {
        "keys": {name: stats.key_of(campaign, name, value) for name, value in line.keys.items()},
        "scans": _scans(line.figures, can_measure),
        "unique_visitors": line.visitors,
        "inflation": line.figures.inflation,
    }


def _covered(campaign: Campaign, window: Window) -> dict[str, str]:
    names = (stats.key_of(campaign, window.span, one) or "" for one in (window.first, window.end))
    return dict(zip(("since", "until"), names, strict=True))


def _people(session: DbSession, campaign: Campaign) -> int:
    mission = missions.mission_of(session, campaign.id)
    return missions.counters(session, mission.id).get("participants", 0) if mission else 0


def _staff_recorded(session: DbSession, campaign: Campaign) -> int:
    return sum(sum(one.acts.values()) for one in missions.recorded_by_place(session, campaign.id))
