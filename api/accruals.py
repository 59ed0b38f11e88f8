"""What acts accrued on pledges: released before its review is over, or voided."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Now, Session
from api.policies import Actor, may
from campaigns import ids, sponsorship
from campaigns.identity import Right
from campaigns.sponsorship.models import Accrual

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
    amount_minor: int
    currency: str
    state: str
    reason: str | None
    accrued_at: datetime
    review_until: datetime
    posted_at: datetime | None
    undone_at: datetime | None


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
    kept = accrual.model_dump(include=set(AccrualRead.model_fields))
    return AccrualRead(**{**kept, "id": ids.show("acr", accrual.id), "pledge_id": ids.show("pld", accrual.pledge_id)})
