"""The funnel of a campaign: how many came how far, how fast, where they left, and who comes back."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic import BaseModel
from sqlmodel import Session as DbSession

from api.dependencies import Core, Now
from api.etags import Tagged
from api.figure_filters import Value, When, asked_for
from api.policies import Actor, may
from campaigns import missions, planning, rewards, stats, tokens
from campaigns.identity import Right
from campaigns.missions.referrals import K_FORMULA
from campaigns.planning import Campaign
from campaigns.stats import Asked, DropOff, Funnel, Reached

router = APIRouter(prefix="/v1", tags=["figures"])


class StepRead(BaseModel):
    """A step of the funnel: `number` scans or people reached it; null where nothing is measured or shown.

    `rate_to_previous` is of who reached the step before, how many did this one too; from scans to people plainly one
    number by the other. `rate_to_first` is by the hits. `median_s` and `p90_s` are the time since the step before, of
    `timed` people; null of fewer than five.
    """

    step: str
    unit: str
    number: int | None
    rate_to_previous: float | None
    rate_to_first: float | None
    median_s: int | None
    p90_s: int | None
    timed: int


class FunnelGroupRead(BaseModel):
    """The funnel of one place or code; its people by their first check-in, and null where they are fewer than five."""

    key: str | None
    steps: list[StepRead]


class DropOffRead(BaseModel):
    """Of `reached` at a place or with a code, `lost` did not do the `next` step; `rate` is lost / reached."""

    key: str | None
    step: str
    next: str
    unit: str
    reached: int
    lost: int
    rate: float


class CohortRead(BaseModel):
    """People won in the week that begins on a Monday; `active` of them did any act in that week, the next, and so on.

    `rates` are active / people. All null for one to four people.
    """

    week: str
    people: int | None
    active: list[int] | None
    rates: list[float] | None


class SampleRead(BaseModel):
    """How many people times and cohorts are of: all, or some 5,000 drawn by chance."""

    people: int
    of: int


class FunnelRead(BaseModel):
    """From the hit to the coupon used. Scans are those of the time; people those whose first counted check-in lies in
    it (of a place or code: was made there), with what they did until now. People of the team are counted, what a pilot
    did is not.

    `conversion` is null: not measured. Groups of one to four people are null. `drop_offs` come with `by`, most first.
    `bridge_rate` is of these people; `return_rate`, `insider_share` and `k_factor` are of the whole campaign, null with
    a time or filter.
    """

    since: str
    until: str
    steps: list[StepRead]
    groups: list[FunnelGroupRead]
    drop_offs: list[DropOffRead]
    cohorts: list[CohortRead]
    sample: SampleRead
    bridge_rate: float | None
    return_rate: float | None
    inflation: float | None
    insider_share: float | None
    k_factor: float | None
    formulas: dict[str, str]
    complete_up_to: datetime


_FORMULAS = {
    "steps": stats.FUNNEL_FORMULA,
    "drop_offs": stats.DROP_OFF_FORMULA,
    "cohorts": stats.COHORT_FORMULA,
    "bridge_rate": stats.BRIDGE_FORMULA,
    "return_rate": rewards.RETURN_FORMULA,
    "inflation": "inflation/1",
    "insider_share": "insider_share/1",
    "k_factor": K_FORMULA,
}


@router.get("/campaigns/{campaign_id}/funnel", dependencies=[may(Right.FIGURES_READ)], response_model=FunnelRead)
def read_funnel(
    campaign_id: str,
    actor: Actor,
    core: Core,
    now: Now,
    tags: Tagged,
    since: When = None,
    until: When = None,
    place_id: Value = None,
    token_id: Value = None,
    by: Annotated[Literal["place", "token"] | None, Query(description="A funnel for each, and the drop-offs.")] = None,
) -> FunnelRead | Response:
    """The funnel of a campaign: hit, scan, verified, check-in, join, online act, coupon, redemption, conversion.

    With rates, times between steps, the bridge, and who comes back by week. A date begins where the campaign is. Name
    one of `by`, `place_id` and `token_id`, or `by` and the filter of the same. Answers 304 to a known `ETag`.
    """
    with core.database.moment() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        asked = asked_for(session, campaign, since, until, {"place": place_id, "token": token_id}, now=now)
        can_measure = tokens.is_measurable(session, campaign)
        found = stats.funnel(session, campaign, asked, can_measure=can_measure, by=by, now=now)
        shown = show_funnel(session, campaign, asked, found)
    return tags.changing(shown, "complete_up_to")


def show_funnel(session: DbSession, campaign: Campaign, asked: Asked, found: Funnel) -> FunnelRead:
    """What is answered: rates, and the figures of the whole campaign."""
    is_whole = stats.is_whole(asked)
    first, end = (stats.key_of(campaign, "day", one) or "" for one in (found.window.first, found.window.end))
    return FunnelRead(
        since=first,
        until=end,
        steps=_steps(found.steps),
        groups=[FunnelGroupRead(key=key or None, steps=_steps(steps)) for key, steps in found.groups.items()],
        drop_offs=[_drop_off(one) for one in found.drop_offs],
        cohorts=[_cohort(*one) for one in found.cohorts],
        sample=SampleRead(people=found.sampled, of=found.people),
        bridge_rate=found.bridge_rate,
        return_rate=rewards.return_rate(session, campaign.id) if is_whole else None,
        inflation=found.figures.inflation,
        insider_share=missions.insider_share(session, campaign.id) if is_whole else None,
        k_factor=_k_factor(session, campaign) if is_whole else None,
        formulas=_FORMULAS,
        complete_up_to=found.complete_up_to,
    )


def _steps(steps: list[Reached]) -> list[StepRead]:
    shown: list[StepRead] = []
    for one in steps:
        before = shown[-1].number if shown else None
        if shown and shown[-1].step == "verified" and before is None:
            before = shown[-2].number  # where nothing could confirm a scan, people are seen beside human scans
        shown.append(
            StepRead(
                step=one.step,
                unit=one.unit,
                number=one.number,
                rate_to_previous=_rate(one.from_before, before),
                rate_to_first=_rate(one.number, steps[0].number),
                median_s=one.median_s,
                p90_s=one.p90_s,
                timed=one.timed,
            )
        )
    return shown


def _rate(number: int | None, of: int | None) -> float | None:
    return round(number / of, 4) if of and number is not None else None


def _drop_off(one: DropOff) -> DropOffRead:
    rate = round(one.lost / one.reached, 4)
    return DropOffRead(
        key=one.key or None,
        step=one.step,
        next=one.next,
        unit=one.unit,
        reached=one.reached,
        lost=one.lost,
        rate=rate,
    )


def _cohort(week: str, people: int | None, active: list[int] | None) -> CohortRead:
    rates = [round(one / people, 4) for one in active] if people and active is not None else None
    return CohortRead(week=week, people=people, active=active, rates=rates)


def _k_factor(session: DbSession, campaign: Campaign) -> float | None:
    """Of the mission that scans lead to."""
    mission: Any = missions.mission_of(session, campaign.id)
    return missions.word_of_mouth(session, mission.id).k_factor if mission else None
