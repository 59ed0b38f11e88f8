"""What a campaign cost: items that are typed in. What rewards and pledges cost is read from the ledger."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query, Response
from fastapi.responses import StreamingResponse
from pydantic import AfterValidator, BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Session
from api.etags import Tagged
from api.exports import Dialect, csv_file, in_pages
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, planning, stats
from campaigns.identity import Right
from campaigns.stats import CostItem, CostKind

router = APIRouter(prefix="/v1/costs", tags=["money"])


def _in_our_time(day: date) -> date:
    if not 2000 <= day.year < 2100:
        raise ValueError("days are between 2000 and 2100")
    return day


Day = Annotated[date, AfterValidator(_in_our_time), Field(description="a civil day, e.g. 2026-10-25")]
Amount = Annotated[
    int,
    Field(
        strict=True,
        ge=1,
        le=stats.MOST_MINOR,
        description="minor units of the currency: a whole JSON number, 1 to 1,000,000,000,000",
    ),
]


class CostCreate(schemas.Request):
    """A cost. `currency` is that of the campaign's money: its budget's, else the one its first cost had."""

    campaign_id: schemas.Name
    kind: CostKind
    amount_minor: Amount
    currency: str = Field(pattern="^[A-Z]{3}$")
    incurred_on: Day
    label: schemas.Name
    external_id: schemas.ExternalId | None = None


class CostPatch(schemas.Request):
    """JSON merge patch: what is not named stays. Campaign and currency do not change."""

    kind: Annotated[CostKind | None, schemas.Kept] = None
    amount_minor: Annotated[Amount | None, schemas.Kept] = None
    incurred_on: Annotated[Day | None, schemas.Kept] = None
    label: Annotated[schemas.Name | None, schemas.Kept] = None


class CostRead(BaseModel):
    """A cost as stored."""

    id: str
    campaign_id: str
    external_id: str | None
    kind: CostKind
    amount_minor: int
    currency: str
    incurred_on: date
    label: str
    created_at: datetime


COLUMNS = tuple(CostRead.model_fields)


def show(item: CostItem) -> CostRead:
    shown = item.model_dump(exclude={"id", "organisation_id", "campaign_id", "changed_at"})
    return CostRead(id=ids.show("cst", item.id), campaign_id=ids.show("cmp", item.campaign_id), **shown)


@router.post("", dependencies=[may(Right.CAMPAIGNS_WRITE)], status_code=201)
def add_cost(body: CostCreate, actor: Actor, session: Session, now: Now) -> CostRead:
    """Note what was spent on media, print, staff hours, fees or something else.

    422 for another currency than the campaign's; 409 for an `external_id` already used.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, body.campaign_id)
    return show(stats.add_cost(session, campaign, now=now, **body.model_dump(exclude={"campaign_id"})))


@router.get("", dependencies=[may(Right.FIGURES_READ)])
def list_costs(
    actor: Actor, session: ReadSession, campaign_id: str | None = None, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Costs of the organisation, or of one campaign, newest first."""
    found = planning.campaign_by_name(session, actor.organisation_id, campaign_id) if campaign_id else None
    rows = stats.list_costs(
        session,
        actor.organisation_id,
        campaign_id=found.id if found else None,
        before=before(cursor),
        limit=limit + 1,
    )
    return page(rows, limit, show, lambda one: one.id)


@router.get("/export.csv", dependencies=[may(Right.FIGURES_READ)], response_class=StreamingResponse)
def export_costs(
    actor: Actor,
    core: Core,
    session: ReadSession,
    campaign_id: str,
    dialect: Annotated[Dialect, Query(description="`excel-fr` for a French Excel")] = Dialect.PLAIN,
) -> StreamingResponse:
    """The costs of a campaign as CSV, newest first."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    found = campaign.id

    def read(session: DbSession, last: UUID | None, limit: int) -> Sequence[Any]:
        return stats.list_costs(session, actor.organisation_id, campaign_id=found, before=last, limit=limit)

    return csv_file("costs", COLUMNS, in_pages(core.database, read, show), dialect=dialect)


@router.get("/{cost_id}", dependencies=[may(Right.FIGURES_READ)], response_model=CostRead)
def read_cost(cost_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One cost, by id or `ext_<external_id>`."""
    return tags.read(show(_cost(session, actor, cost_id)))


@router.patch("/{cost_id}", dependencies=[may(Right.CAMPAIGNS_WRITE)])
def change_cost(cost_id: str, body: CostPatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> CostRead:
    """Correct a cost; the audit log keeps what it was. 412 when `If-Match` names another state of it."""
    item = _cost(session, actor, cost_id)
    tags.require(session, item, show)
    return tags.changed(show(stats.change_cost(session, item, now=now, **body.model_dump(exclude_unset=True))))


@router.delete("/{cost_id}", dependencies=[may(Right.CAMPAIGNS_WRITE)], status_code=204)
def remove_cost(cost_id: str, actor: Actor, session: Session, tags: Tagged) -> Response:
    """Take a cost away; the audit log keeps it."""
    item = _cost(session, actor, cost_id)
    tags.require(session, item, show)
    stats.remove_cost(session, item)
    return Response(status_code=204)


def _cost(session: DbSession, actor: Acting, cost_id: str) -> CostItem:
    return stats.cost_by_name(session, actor.organisation_id, cost_id)
