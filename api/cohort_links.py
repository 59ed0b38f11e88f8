"""Links into the cohort of employees: made for the team, good for so many people, taken back at will."""

from datetime import datetime

from fastapi import APIRouter
from pydantic import BaseModel, Field
from starlette.responses import Response

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, participants
from campaigns.identity import Right
from campaigns.participants import CohortLink
from campaigns.participants.cohort import MOST_USES
from campaigns.sealing import new_secret
from campaigns.tokens import qr

router = APIRouter(prefix="/v1/cohort-links", tags=["campaigns"])


class CohortLinkCreate(schemas.Request):
    """A link for the team: one-time by default, or for up to 1,000 people; 14 days, or until `expires_at`."""

    max_uses: schemas.Whole = Field(1, ge=1, le=MOST_USES)
    label: schemas.Text = Field("", max_length=80)
    expires_at: schemas.Instant | None = Field(None, description="within 90 days")


class CohortLinkRead(BaseModel):
    """A link, without its secret. How many people used it, never which."""

    id: str
    label: str
    place_id: str | None
    max_uses: int
    uses: int
    is_good: bool
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None


class CohortLinkMade(CohortLinkRead):
    """A new link, whose address is shown once, and as a QR code."""

    url: str
    qr_svg: str


def show(link: CohortLink, now: datetime) -> CohortLinkRead:
    return CohortLinkRead(
        id=ids.show("col", link.id),
        place_id=ids.show("plc", link.place_id) if link.place_id else None,
        is_good=link.is_good(now),
        **link.model_dump(include={"label", "max_uses", "uses", "created_at", "expires_at", "revoked_at"}),
    )


@router.post("", dependencies=[may(Right.STAFF_WRITE)], status_code=201)
def issue_cohort_link(
    actor: Actor, session: Session, core: Core, now: Now, body: CohortLinkCreate | None = None
) -> CohortLinkMade:
    """Make a link that people of the team open on their own phones: they join the employee cohort by it."""
    wanted, secret = body or CohortLinkCreate.model_validate({}), new_secret()
    url = f"{core.settings.base_url}/pilot/join/{secret}"
    drawn = qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=6)  # before the transaction begins
    link, _ = participants.issue_cohort_link(
        session, actor.organisation_id, secret=secret, now=now, **wanted.model_dump()
    )
    return CohortLinkMade(**show(link, now).model_dump(), url=url, qr_svg=drawn.decode())


@router.get("", dependencies=[may(Right.STAFF_WRITE)])
def list_cohort_links(actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """The links into the cohort, newest first."""
    rows = participants.list_cohort_links(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(one, now), lambda one: one.id)


@router.post("/{link_id}/revocation", dependencies=[may(Right.STAFF_WRITE)], status_code=204)
def revoke_cohort_link(link_id: str, actor: Actor, session: Session, now: Now) -> Response:
    """Take a link back: who entered by it stays. Twice is once."""
    link = participants.cohort_link_by_id(session, actor.organisation_id, ids.parse("col", link_id))
    participants.revoke_cohort_link(session, link, now=now)
    return Response(status_code=204)
