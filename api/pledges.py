"""Pledges of a mission: promised, signed, active, ended."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter
from pydantic import BaseModel, Field, StrictInt, model_validator
from sqlmodel import Session as DbSession
from starlette.responses import Response

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.pledge_links import SIGNATURES, PledgeLinkMade, new_link, show_link
from api.policies import Actor, may
from campaigns import blueprint, identity, ids, missions, sponsorship
from campaigns.identity import Right
from campaigns.missions import Mission
from campaigns.sponsorship import Beneficiary, Holds, LastSlice, Nature, Pledge, PledgeKind, PledgePlan, Sponsor
from campaigns.sponsorship.disclosure import LANGUAGES
from campaigns.sponsorship.models import REVIEW_H
from campaigns.sponsorship.terms import MOST_CAUSES, PERCENT_MOST, REVIEW_MOST_H, TERMS, THRESHOLD_MOST

router = APIRouter(prefix="/v1", tags=["sponsorship"])
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217; XXX of what is given in kind")]
Presence = Annotated[StrictInt, Field(ge=0, le=3)]
ReviewHours = Annotated[StrictInt, Field(ge=0, le=REVIEW_MOST_H)]
Threshold = Annotated[StrictInt, Field(ge=2, le=THRESHOLD_MOST)]
Percent = Annotated[StrictInt, Field(ge=1, le=PERCENT_MOST)]
Causes = Annotated[list[schemas.Name], Field(min_length=1, max_length=MOST_CAUSES)]
_REFERENCES = {"step_id": "stp", "matches_id": "pld"}


class _Named(schemas.Request):
    """One beneficiary, or several among which participants choose."""

    @model_validator(mode="after")
    def _one_or_several(self) -> "_Named":
        one, several = getattr(self, "beneficiary_id", None), getattr(self, "beneficiary_ids", None)
        if (one and several) or (isinstance(self, PledgeCreate) and not one and not several):
            raise ValueError("give either beneficiary_id or beneficiary_ids")
        return self


class PledgeCreate(_Named):
    """A promise: so much for each verified act, up to a cap, to a beneficiary. A draft until the sponsor signs.

    `per_act`: `unit_minor` for each act. `match`: `match_percent` of what the pledge `matches_id` accrues, on top;
    its unit follows. `threshold`: `unit_minor` for every `threshold` acts. `in_kind`: things named by `unit_label`, of
    currency XXX. Acts are those of `step_id`, else of every offline step, with `min_presence` or more. With several
    `beneficiary_ids` each participant chooses; the first gets what nobody chose for.
    """

    sponsor_id: schemas.Name
    beneficiary_id: schemas.Name | None = None
    beneficiary_ids: Causes | None = None
    kind: PledgeKind
    unit_minor: schemas.Minor | None = None
    currency: Currency
    cap_minor: schemas.Minor
    per_person_cap_minor: schemas.Minor | None = None
    per_day_cap_minor: schemas.Minor | None = Field(None, description="of a civil day of the place")
    nature: Nature = Nature.SPONSORSHIP
    min_presence: Presence
    starts_at: schemas.Instant | None = None
    ends_at: schemas.Instant | None = None
    last_slice: LastSlice = Field(LastSlice.PAY_REMAINDER, description="what the last act before a cap gets")
    review_h: ReviewHours = Field(REVIEW_H, description="hours between an act and the posting of what it accrued")
    step_id: schemas.Name | None = None
    threshold: Threshold | None = None
    matches_id: schemas.Name | None = None
    match_percent: Percent | None = None
    unit_label: schemas.LocalText | None = Field(None, description="what one unit is, of what is given in kind")
    external_id: schemas.ExternalId | None = None


class PledgePatch(_Named):
    """JSON merge patch of a draft. A signature freezes every term: 409 `terms_frozen`."""

    sponsor_id: Annotated[schemas.Name | None, schemas.Kept] = None
    beneficiary_id: Annotated[schemas.Name | None, schemas.Kept] = None
    beneficiary_ids: Annotated[Causes | None, schemas.Kept] = None
    kind: Annotated[PledgeKind | None, schemas.Kept] = None
    unit_minor: Annotated[schemas.Minor | None, schemas.Kept] = None
    currency: Annotated[Currency | None, schemas.Kept] = None
    cap_minor: Annotated[schemas.Minor | None, schemas.Kept] = None
    per_person_cap_minor: schemas.Minor | None = None
    per_day_cap_minor: schemas.Minor | None = None
    nature: Annotated[Nature | None, schemas.Kept] = None
    min_presence: Annotated[Presence | None, schemas.Kept] = None
    starts_at: schemas.Instant | None = None
    ends_at: schemas.Instant | None = None
    last_slice: Annotated[LastSlice | None, schemas.Kept] = None
    review_h: Annotated[ReviewHours | None, schemas.Kept] = None
    step_id: schemas.Name | None = None
    threshold: Threshold | None = None
    matches_id: schemas.Name | None = None
    match_percent: Percent | None = None
    unit_label: schemas.LocalText | None = None


class PledgeEnd(schemas.Request):
    """Why a pledge ends before its time: the public reads it."""

    reason: schemas.Text = Field(min_length=1, max_length=500)


class BalancesRead(BaseModel):
    """What the pledge's book holds: `unlocked_minor` is the sum of the others, `paid_minor` what was sent to causes."""

    unlocked_minor: int
    pending_minor: int
    due_minor: int
    paid_minor: int
    fees_minor: int


class PledgeRead(BaseModel):
    """A pledge as stored. `terms_hash` is the SHA-256 of its terms: once signed, of what was signed."""

    id: str
    external_id: str | None
    mission_id: str
    sponsor_id: str
    beneficiary_ids: list[str]
    kind: PledgeKind
    nature: Nature
    step_id: str | None
    unit_minor: int
    currency: str
    cap_minor: int
    per_person_cap_minor: int | None
    per_day_cap_minor: int | None
    last_slice: LastSlice
    min_presence: int
    review_h: int
    threshold: int | None
    matches_id: str | None
    match_percent: int | None
    unit_label: dict[str, str] | None
    starts_at: datetime | None
    ends_at: datetime | None
    state: str
    state_reason: str | None
    waits_for: list[str] = Field(description="beneficiaries that have not accepted yet")
    terms_hash: str
    signed_at: datetime | None
    signed_by: str | None
    active_at: datetime | None
    exhausted_at: datetime | None
    ended_at: datetime | None
    settled_at: datetime | None
    balances: BalancesRead
    disclosure: dict[str, str]
    created_at: datetime


def show_all(session: DbSession, pledges: Sequence[Pledge]) -> dict[UUID, PledgeRead]:
    """Pledges as they are read, by id; those of one mission are read together."""
    held = sponsorship.holds(session, [one.id for one in pledges])
    by_mission: dict[UUID, list[Pledge]] = {}
    for one in pledges:
        by_mission.setdefault(one.mission_id, []).append(one)
    facts = [fact for some in by_mission.values() for fact in sponsorship.facts_of(session, some)]
    return {one.pledge.id: _read(session, one, held.get(one.pledge.id, Holds())) for one in facts}


def show(session: DbSession, pledge: Pledge) -> PledgeRead:
    return show_all(session, [pledge])[pledge.id]


def _read(session: DbSession, facts: sponsorship.PledgeFacts, held: Holds) -> PledgeRead:
    pledge = facts.pledge
    named = {
        name: ids.show(prefix, value) if (value := getattr(pledge, name)) else None
        for name, prefix in (*_REFERENCES.items(), ("mission_id", "mis"), ("sponsor_id", "spo"))
    }
    owner = identity.organisation_by_id(session, pledge.organisation_id)
    own = pledge.model_dump(include=set(PledgeRead.model_fields) - named.keys() - {"id", "terms_hash"})
    return PledgeRead(
        **own,
        **named,
        id=ids.show("pld", pledge.id),
        beneficiary_ids=[ids.show("ben", one.id) for one in facts.causes],
        waits_for=[ids.show("ben", one.id) for one in facts.causes if one.accepted_at is None],
        terms_hash=sponsorship.terms_hash_of(session, pledge, organisation_name=owner.name),
        balances=BalancesRead(
            unlocked_minor=held.unlocked_minor,
            pending_minor=held.pending_minor,
            due_minor=held.due_minor,
            paid_minor=held.paid_minor,
            fees_minor=held.fees_minor,
        ),
        disclosure={language: sponsorship.disclose(facts, language).text for language in LANGUAGES},
    )


@router.post("/missions/{mission_id}/pledges", dependencies=[may(Right.PLEDGES_WRITE)], status_code=201)
def promise(mission_id: str, body: PledgeCreate, actor: Actor, session: Session, now: Now) -> PledgeRead:
    """Write a pledge, as a draft. 422 names the field that cannot be promised; nothing is kept of it then.

    404 for a sponsor, beneficiary, step or pledge that is not the organisation's.
    """
    mission = _mission(session, actor.organisation_id, mission_id)
    plan = PledgePlan(**_terms(session, actor.organisation_id, body.model_dump()))
    return show(session, sponsorship.promise(session, mission, plan, now=now))


@router.get("/missions/{mission_id}/pledges", dependencies=[may(Right.PLEDGES_READ)])
def list_pledges(mission_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Pledges of a mission, newest first."""
    mission = _mission(session, actor.organisation_id, mission_id)
    rows = sponsorship.list_pledges(session, mission.id, before=before(cursor), limit=limit + 1)
    shown = show_all(session, rows[:limit])
    return page(rows, limit, lambda one: shown[one.id], lambda one: one.id)


@router.get("/pledges/{pledge_id}", dependencies=[may(Right.PLEDGES_READ)], response_model=PledgeRead)
def read_pledge(pledge_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One pledge, with what its book holds and the disclosure text."""
    found = sponsorship.pledge_by_id(session, actor.organisation_id, ids.parse("pld", pledge_id))
    return tags.read(show(session, found))


@router.patch("/pledges/{pledge_id}", dependencies=[may(Right.PLEDGES_WRITE)], response_model=PledgeRead)
def change_pledge(pledge_id: str, body: PledgePatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> Any:
    """Change terms of a draft. 409 `terms_frozen` once it is signed, 412 when `If-Match` names another state."""
    found = sponsorship.hold_pledge(session, actor.organisation_id, ids.parse("pld", pledge_id))
    tags.require(session, found, lambda one: show(session, one))
    changes = _terms(session, actor.organisation_id, body.model_dump(exclude_unset=True))
    return tags.changed(show(session, sponsorship.change_pledge(session, found, now=now, **changes)))


@router.delete("/pledges/{pledge_id}", dependencies=[may(Right.PLEDGES_WRITE)], status_code=204)
def withdraw_pledge(pledge_id: str, actor: Actor, session: Session, tags: Tagged) -> Response:
    """Delete a draft, and the links to it. 409 once it is signed: then it is ended, for a public reason."""
    found = sponsorship.hold_pledge(session, actor.organisation_id, ids.parse("pld", pledge_id))
    tags.require(session, found, lambda one: show(session, one))
    sponsorship.withdraw_pledge(session, found)
    return Response(status_code=204)


@router.post("/pledges/{pledge_id}/signature", dependencies=[may(Right.PLEDGES_WRITE)], status_code=201)
def ask_for_signature(pledge_id: str, actor: Actor, session: Session, core: Core, now: Now) -> PledgeLinkMade:
    """Make the one-time link by which the sponsor signs the terms; an earlier one is taken back.

    You send it: its page shows the terms, and the sponsor types their name there. It is good once, for 14 days. 409
    `terms_frozen` once the pledge is signed.
    """
    secret, url, drawn = new_link(core, SIGNATURES)
    found = sponsorship.hold_pledge(session, actor.organisation_id, ids.parse("pld", pledge_id))
    link, _ = sponsorship.issue_signature_link(session, found, secret=secret, now=now)
    return PledgeLinkMade(**show_link(link, now).model_dump(), url=url, qr_svg=drawn)


@router.post("/pledges/{pledge_id}/end", dependencies=[may(Right.PLEDGES_WRITE)], response_model=PledgeRead)
def end_pledge(pledge_id: str, body: PledgeEnd, actor: Actor, session: Session, now: Now) -> PledgeRead:
    """End a pledge before its time: no later act counts, what was accrued stays. 409 for a draft or one that ended."""
    found = sponsorship.hold_pledge(session, actor.organisation_id, ids.parse("pld", pledge_id))
    return show(session, sponsorship.end_pledge(session, found, reason=body.reason, now=now))


def _mission(session: DbSession, organisation_id: UUID, mission_id: str) -> Mission:
    return missions.mission_by_id(session, organisation_id, ids.parse("mis", mission_id))


def _terms(session: DbSession, organisation_id: UUID, given: dict[str, Any]) -> dict[str, Any]:
    """What a body says as the domain takes it: ids behind the names, texts by language."""
    named = {name: given[name] for name in given if name in TERMS or name == "external_id"}
    if "sponsor_id" in given:
        named["sponsor_id"] = sponsorship.party_by_name(session, Sponsor, organisation_id, given["sponsor_id"]).id
    causes = given.get("beneficiary_ids") or ([given["beneficiary_id"]] if given.get("beneficiary_id") else None)
    if causes is not None:
        named["beneficiary_ids"] = [
            sponsorship.party_by_name(session, Beneficiary, organisation_id, name).id for name in causes
        ]
    for name, prefix in _REFERENCES.items():
        if given.get(name) is not None:
            named[name] = ids.parse(prefix, given[name])
    if given.get("unit_label") is not None:
        named["unit_label"] = blueprint.local(given["unit_label"])
    return named
