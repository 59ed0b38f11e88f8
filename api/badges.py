"""Badges of a campaign: what each asks for is public, and who does it has it."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import blueprint, ids, planning, rewards
from campaigns.errors import Invalid, NotFound
from campaigns.identity import Right
from campaigns.rewards import Badge, BadgeKind, BadgePlan

router = APIRouter(prefix="/v1", tags=["rewards"])


class CriteriaCreate(schemas.Request):
    """What a badge asks for: so many verified `completions` of steps, different `places`, `votes` (ballots taken part
    in), `referrals` that came to a place, or `ideas_selected`; in one mission, else in the whole campaign.
    """

    kind: BadgeKind
    at_least: Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
    mission_id: schemas.Name | None = None


class BadgeCreate(schemas.Request):
    """A badge. What it asks for never changes: people have it for that."""

    name: schemas.LocalText
    description: schemas.LocalText | None = None
    criteria: CriteriaCreate


class BadgePatch(schemas.Request):
    """JSON merge patch of the words: what is not named stays."""

    name: Annotated[schemas.LocalText | None, schemas.Kept] = None
    description: schemas.LocalText | None = None


class CriteriaRead(BaseModel):
    """What a badge asks for, as everybody reads it on the mission's page."""

    kind: str
    at_least: int
    mission_id: str | None


class BadgeRead(BaseModel):
    """A badge as stored."""

    id: str
    campaign_id: str
    name: dict[str, str]
    description: dict[str, str] | None
    criteria: CriteriaRead
    created_at: datetime


def show(badge: Badge) -> BadgeRead:
    mission_id = ids.show("mis", badge.mission_id) if badge.mission_id else None
    return BadgeRead(
        id=ids.show("bdg", badge.id),
        campaign_id=ids.show("cmp", badge.campaign_id),
        criteria=CriteriaRead(kind=badge.kind, at_least=badge.at_least, mission_id=mission_id),
        **badge.model_dump(include={"name", "description", "created_at"}),
    )


@router.post("/campaigns/{campaign_id}/badges", dependencies=[may(Right.REWARDS_WRITE)], status_code=201)
def make_badge(campaign_id: str, body: BadgeCreate, actor: Actor, session: Session, now: Now) -> BadgeRead:
    """Make a badge. All that a person did in the campaign counts, looked at with each further act of theirs.

    409 `too_many_badges` above fifty, `wrong_state` once the campaign has ended.
    """
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    return show(rewards.make_badge(session, campaign, _plan(body), now=now))


@router.get("/campaigns/{campaign_id}/badges", dependencies=[may(Right.REWARDS_READ)])
def list_badges(campaign_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Badges of a campaign, newest first. Nobody who has one is named or counted."""
    campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
    rows = rewards.list_badges(session, campaign.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show, lambda one: one.id)


@router.patch("/badges/{badge_id}", dependencies=[may(Right.REWARDS_WRITE)])
def change_badge(badge_id: str, body: BadgePatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> BadgeRead:
    """Change the name or the description of a badge."""
    badge = rewards.badge_by_id(session, actor.organisation_id, ids.parse("bdg", badge_id), lock=True)
    tags.require(session, badge, show)
    given: dict[str, Any] = {name: getattr(body, name) for name in body.model_fields_set}
    words = {name: blueprint.local(text) if text is not None else None for name, text in given.items()}
    return tags.changed(show(rewards.change_badge(session, badge, now=now, **words)))


def _plan(body: BadgeCreate) -> BadgePlan:
    try:
        mission_id = ids.parse("mis", body.criteria.mission_id) if body.criteria.mission_id is not None else None
    except NotFound as error:
        raise Invalid(error.detail, pointer="/criteria/mission_id") from error
    return BadgePlan(
        name=blueprint.local(body.name),
        description=blueprint.local(body.description) if body.description else None,
        kind=body.criteria.kind,
        at_least=body.criteria.at_least,
        mission_id=mission_id,
    )
