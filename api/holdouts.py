"""Holdouts: places or codes kept without the campaign, drawn at random, so that what it brings can be told."""

import secrets
from datetime import date, datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, model_validator
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.policies import Actor, may
from campaigns import ids, places, planning, stats
from campaigns.errors import Invalid, NotFound
from campaigns.identity import Right
from campaigns.planning import Campaign, Holdout, HoldoutUnitKind

router = APIRouter(prefix="/v1/campaigns/{campaign_id}", tags=["money"])


class HoldoutCreate(schemas.Request):
    """What is drawn, and how much of it: a `share`, or a `number`."""

    unit: HoldoutUnitKind = Field(HoldoutUnitKind.PLACE, description="places with all their codes, or codes")
    share: schemas.Number | None = Field(
        None, gt=0, lt=1, description="0.2 holds a fifth out, rounded to the next whole"
    )
    number: Annotated[int, Field(strict=True, ge=1, le=planning.MOST_UNITS)] | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> "HoldoutCreate":
        if (self.share is None) == (self.number is None):
            raise ValueError("give a share or a number")
        return self


class HoldoutRead(BaseModel):
    """The draw. Anyone can do it again: sort the ids of both lists by the SHA-256 of `seed` followed by the 32 digits
    of the id (all in ASCII); the first `held_out_number` are held out.
    """

    id: str
    campaign_id: str
    unit: HoldoutUnitKind
    seed: str
    drawn_from: int
    held_out_number: int
    exposed: list[str]
    held_out: list[str]
    drawn_at: datetime


class ExposureCreate(schemas.Request):
    """How many customers, or visits, a place had."""

    place_id: schemas.Name
    number: Annotated[int, Field(strict=True, ge=0, le=stats.MOST_EXPOSURES)]


class PeriodCreate(schemas.Request):
    """Numbers of every place of the draw, from one civil day to another, both included."""

    since: date
    until: date
    exposures: Annotated[list[ExposureCreate], Field(min_length=1, max_length=planning.MOST_UNITS)]


class ExposureRead(BaseModel):
    """How many customers, or visits, a place had."""

    place_id: str
    number: int


class PeriodRead(BaseModel):
    """A period with the numbers of its places."""

    since: date
    until: date
    exposures: list[ExposureRead]


class PeriodList(BaseModel):
    """All periods, the earliest first."""

    data: list[PeriodRead]


@router.post("/holdout", dependencies=[may(Right.CAMPAIGNS_WRITE)], status_code=201)
def draw_holdout(campaign_id: str, body: HoldoutCreate, actor: Actor, session: Session, now: Now) -> HoldoutRead:
    """Draw the campaign's holdout at random from the places where its codes stand, or from its codes but for serials.

    Once, and before the launch (409 else): nobody chooses. Held-out codes show the plain page, without the mission, and
    what is scanned and bought there is counted apart. For an interval each side needs at least five units.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    found = planning.draw_holdout(
        session,
        campaign,
        body.unit,
        stats.drawable(session, campaign, body.unit),
        share=body.share,
        number=body.number,
        seed=secrets.token_hex(16),
        now=now,
    )
    return _show(session, found)


@router.get("/holdout", dependencies=[may(Right.FIGURES_READ)], response_model=HoldoutRead)
def read_holdout(campaign_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """The draw, and both of its sides. 404 without one."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    return tags.read(_show(session, _holdout(session, campaign)))


@router.post("/exposures", dependencies=[may(Right.CAMPAIGNS_WRITE)])
def set_exposures(campaign_id: str, body: PeriodCreate, actor: Actor, session: Session, now: Now) -> PeriodList:
    """Say how many customers, or visits, each place of the draw had in a period; the same period again replaces it.

    Conversions of places count within the periods told of. 409 for a period that overlaps another, and for a draw of
    codes, whose exposures the log counts; 422 unless every place of the draw is named.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id, lock=True)
    numbers: dict[Any, int] = {}
    for at, one in enumerate(body.exposures):
        place = places.place_by_name(session, actor.organisation_id, one.place_id)
        if place.id in numbers:
            raise Invalid("This place is named twice.", pointer=f"/exposures/{at}/place_id")
        numbers[place.id] = one.number
    holdout = _holdout(session, campaign)
    stats.set_exposures(session, campaign, holdout, body.since, body.until, numbers, now=now)
    return _periods(session, campaign)


@router.get("/exposures", dependencies=[may(Right.FIGURES_READ)])
def list_exposures(campaign_id: str, actor: Actor, session: ReadSession) -> PeriodList:
    """What was told of the draw's places, by period."""
    return _periods(session, planning.campaign_by_name(session, actor.organisation_id, campaign_id))


def _holdout(session: DbSession, campaign: Campaign) -> Holdout:
    found = planning.find_holdout(session, campaign.id)
    if found is None:
        raise NotFound("The campaign has no holdout.")
    return found


def _show(session: DbSession, holdout: Holdout) -> HoldoutRead:
    prefix = "plc" if holdout.unit == HoldoutUnitKind.PLACE else "tok"
    sides = planning.sides_of(session, holdout)
    return HoldoutRead(
        id=ids.show("hld", holdout.id),
        campaign_id=ids.show("cmp", holdout.campaign_id),
        unit=HoldoutUnitKind(holdout.unit),
        seed=holdout.seed,
        drawn_from=holdout.drawn_from,
        held_out_number=holdout.held_out,
        exposed=[ids.show(prefix, one) for one in sides.exposed],
        held_out=[ids.show(prefix, one) for one in sides.held_out],
        drawn_at=holdout.drawn_at,
    )


def _periods(session: DbSession, campaign: Campaign) -> PeriodList:
    periods: dict[tuple[date, date], list[ExposureRead]] = {}
    for one in stats.list_exposures(session, campaign.id):
        shown = ExposureRead(place_id=ids.show("plc", one.place_id), number=one.number)
        periods.setdefault((one.since, one.until), []).append(shown)
    return PeriodList(
        data=[PeriodRead(since=since, until=until, exposures=told) for (since, until), told in periods.items()]
    )
