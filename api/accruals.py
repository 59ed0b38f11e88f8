"""What acts accrued on pledges: listed, released before its review is over, or voided."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Now, ReadSession, Session
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, sponsorship
from campaigns.identity import Right
from campaigns.sponsorship.models import Accrual, AccrualState

router = APIRouter(prefix="/v1", tags=["sponsorship"])


class ReleaseCreate(schemas.Request):
    """Which accrual to release; all of the pledge that are pending when absent."""

    accrual_id: str | None = None


class ReleaseRead(BaseModel):
    """How many accruals a release concerns. The first 500 are due at once, the others within a minute."""

    pledge_id: str
    released: int


class AccrualVoid(schemas.Request):
    """Why an accrual goes: the public ledger shows it."""

    reason: schemas.Text = Field(min_length=1, max_length=500)


class AccrualRead(BaseModel):
    """What an act accrued, and what became of it. `reason`: why it went."""

    id: str
    pledge_id: str
    beneficiary_id: str
    amount_minor: int
    currency: str
    state: str
    reason: str | None
    accrued_at: datetime
    review_until: datetime
    posted_at: datetime | None
    undone_at: datetime | None


@router.get("/pledges/{pledge_id}/accruals", dependencies=[may(Right.PLEDGES_READ)])
def list_accruals(
    pledge_id: str,
    actor: Actor,
    session: ReadSession,
    state: Annotated[AccrualState | None, Query(description="only those in this state")] = None,
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """What acts accrued on a pledge, newest first; without whose acts they are."""
    pledge = sponsorship.pledge_by_id(session, actor.organisation_id, ids.parse("pld", pledge_id))
    rows = sponsorship.list_accruals(session, pledge.id, state=state, before=before(cursor), limit=limit + 1)
    return page(rows, limit, _show, lambda one: one.id)


@router.post("/pledges/{pledge_id}/release", dependencies=[may(Right.PLEDGES_WRITE)])
def release(pledge_id: str, body: ReleaseCreate, actor: Actor, session: Session, now: Now) -> ReleaseRead:
    """End the review of what acts accrued: it is due from now on. 409 `campaign_paused` while it is paused."""
    pledge = sponsorship.pledge_by_id(session, actor.organisation_id, ids.parse("pld", pledge_id))
    accrual_id = ids.parse("acr", body.accrual_id) if body.accrual_id else None
    released = sponsorship.release(session, pledge, accrual_id=accrual_id, now=now)
    return ReleaseRead(pledge_id=ids.show("pld", pledge.id), released=released)


@router.post("/accruals/{accrual_id}/void", dependencies=[may(Right.PLEDGES_WRITE)])
def void_accrual(accrual_id: str, body: AccrualVoid, actor: Actor, session: Session, now: Now) -> AccrualRead:
    """Void an accrual, or reverse it once it is due, with what matches it: the room under the cap is free again.

    Its act accrues no more. A second void gets the first answer; 409 `paid` for what was sent in a payout.
    """
    accrual, pledge = sponsorship.accrual_of(session, actor.organisation_id, ids.parse("acr", accrual_id))
    by = actor.key.issued_by_member_id or actor.key_id
    sponsorship.void(session, accrual, pledge, reason=" ".join(body.reason.split()), by=by, now=now)
    return _show(accrual)


def _show(accrual: Accrual) -> AccrualRead:
    named = {
        name: ids.show(prefix, getattr(accrual, name))
        for name, prefix in (("id", "acr"), ("pledge_id", "pld"), ("beneficiary_id", "ben"))
    }
    return AccrualRead(**accrual.model_dump(include=set(AccrualRead.model_fields) - named.keys()), **named)
