"""Rounds of a mission, for marketers: when a vote is open, to whom, with how many votes, and its result."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import community, ids, missions
from campaigns.community import Electorate, Round, RoundPlan, Totals
from campaigns.identity import Right

router = APIRouter(prefix="/v1", tags=["missions"])
RANKED = 100  # ideas of a result
Places = Annotated[list[schemas.Name], Field(min_length=1, max_length=500)]


class RoundCreate(schemas.Request):
    """A round. It takes votes from `opens_at` until just before `closes_at`.

    `visitors` are people verified at one of `place_ids` (without any: at a place of the campaign) within the window.
    """

    opens_at: schemas.Instant
    closes_at: schemas.Instant
    quota: schemas.Whole = Field(1, ge=1, le=20, description="votes a person, one an idea")
    min_presence: schemas.Whole = Field(0, ge=0, le=3, description="below 2 the round says that it can be repeated")
    electorate: Electorate = Electorate.EVERYBODY
    place_ids: Places | None = None
    totals: Totals = Totals.HIDDEN


class RoundPatch(schemas.Request):
    """JSON merge patch: what is not named stays."""

    opens_at: Annotated[schemas.Instant | None, schemas.Kept] = None
    closes_at: Annotated[schemas.Instant | None, schemas.Kept] = None
    quota: Annotated[schemas.Whole | None, schemas.Kept] = Field(None, ge=1, le=20)
    min_presence: Annotated[schemas.Whole | None, schemas.Kept] = Field(None, ge=0, le=3)
    electorate: Annotated[Electorate | None, schemas.Kept] = None
    place_ids: Places | None = None
    totals: Annotated[Totals | None, schemas.Kept] = None


class RankedRead(BaseModel):
    """An idea's place; ideas with as many votes share a rank. `beside`: votes of ideas merged into it, ranked apart."""

    rank: int
    idea: str
    text: str
    votes: int
    beside: int
    merged_into: str | None


class ResultRead(BaseModel):
    """What a round came to, as the public sees it: levels of presence of fewer than ten people are left out.

    `voided` counts votes by why they were voided (`scan_voided`, `merged`, `record_voided`), apart from all else.
    """

    voters: int
    votes: int
    presence: dict[str, int]
    voided: dict[str, int]
    ranking: list[RankedRead]


class RoundRead(BaseModel):
    """A round. `result` is null while its totals are hidden: to its organisation too."""

    id: str
    mission_id: str
    state: Literal["ahead", "open", "over"]
    opens_at: datetime
    closes_at: datetime
    quota: int
    min_presence: int
    electorate: str
    place_ids: list[str] | None
    totals: str
    can_be_repeated: bool
    rules_frozen: bool
    created_at: datetime
    result: ResultRead | None


def show(session: DbSession, round: Round, now: datetime) -> RoundRead:
    return RoundRead(
        id=ids.show("rnd", round.id),
        mission_id=ids.show("mis", round.mission_id),
        state="open" if round.is_open(now) else "over" if round.is_over(now) else "ahead",
        rules_frozen=round.first_vote_at is not None,
        can_be_repeated=round.can_be_repeated,
        result=_result(session, round) if round.shows_totals(now) else None,
        **round.model_dump(
            include={
                *("opens_at", "closes_at", "quota", "min_presence", "electorate", "place_ids", "totals", "created_at")
            }
        ),
    )


def _result(session: DbSession, round: Round) -> ResultRead:
    found = community.result_of(session, round, phase="live", limit=RANKED)
    return ResultRead(
        voters=found.voters,
        votes=found.votes,
        presence={str(level): people for level, people in found.mix.items()},
        voided=found.voided,
        ranking=[
            RankedRead(
                rank=one.rank,
                idea=ids.show("ide", one.idea_id),
                text=one.text,
                votes=one.votes,
                beside=one.beside,
                merged_into=ids.show("ide", one.merged_into_id) if one.merged_into_id else None,
            )
            for one in found.ranking
        ],
    )


@router.post("/missions/{mission_id}/rounds", dependencies=[may(Right.MISSIONS_WRITE)], status_code=201)
def plan_round(mission_id: str, body: RoundCreate, actor: Actor, session: Session, now: Now) -> RoundRead:
    """Plan a round. 409 `rounds_overlap` when another one of the mission is open at the same time."""
    mission = missions.mission_by_id(session, actor.organisation_id, ids.parse("mis", mission_id))
    wanted = body.model_dump(exclude={"place_ids"})
    plan = RoundPlan(**wanted, place_ids=tuple(body.place_ids) if body.place_ids else None)
    return show(session, community.plan_round(session, mission, plan, now=now), now)


@router.get("/missions/{mission_id}/rounds", dependencies=[may(Right.MISSIONS_READ)])
def list_rounds(
    mission_id: str, actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """Rounds of a mission, newest first."""
    mission = missions.mission_by_id(session, actor.organisation_id, ids.parse("mis", mission_id))
    rows = community.list_rounds(session, mission.id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(session, one, now), lambda one: one.id)


@router.get("/rounds/{round_id}", dependencies=[may(Right.MISSIONS_READ)], response_model=RoundRead)
def read_round(round_id: str, actor: Actor, session: ReadSession, now: Now, tags: Tagged) -> Any:
    """One round, with its result once that is public."""
    return tags.read(show(session, _round(session, actor, round_id), now))


@router.patch("/rounds/{round_id}", dependencies=[may(Right.MISSIONS_WRITE)])
def change_round(round_id: str, body: RoundPatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> RoundRead:
    """Change a round nobody has voted in; afterwards 409 `rules_frozen`. It may always close earlier, from now on."""
    round = _round(session, actor, round_id)
    tags.require(session, round, lambda one: show(session, one, now))
    fields = body.model_dump(exclude_unset=True)
    if fields.get("place_ids") is not None:
        fields["place_ids"] = tuple(fields["place_ids"])
    return tags.changed(show(session, community.change_round(session, round, now=now, **fields), now))


def _round(session: DbSession, actor: Actor, round_id: str) -> Round:
    return community.round_by_id(session, actor.organisation_id, ids.parse("rnd", round_id))
