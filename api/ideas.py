"""Ideas, one by one: what became of each, decided by members or keys for a public reason, and merging."""

from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.policies import Actor, may
from campaigns import community, ids
from campaigns.community import By, Decision, Idea, IdeaState
from campaigns.identity import Right
from campaigns.missions import Mission

router = APIRouter(prefix="/v1", tags=["missions"])
Reason = Annotated[schemas.Text, Field(min_length=1, max_length=500, description="everybody reads it")]
Decided = Literal["published", "shortlisted", "selected", "not_selected", "funded", "delivered"]


class DecisionCreate(schemas.Request):
    """What an idea becomes: on, or back where a decision is corrected. Its `next_states` are what it may become."""

    state: Decided
    reason: Reason


class MergerCreate(schemas.Request):
    """The idea that says the same already. No vote moves."""

    into: schemas.Name = Field(description="`ide_...` of the same mission")
    reason: Reason


class SeparationCreate(schemas.Request):
    """Why a merge is undone."""

    reason: Reason


class DecisionRead(BaseModel):
    """A step of an idea's history."""

    id: str
    state: str
    state_before: str
    merged_into: str | None
    reason: str
    decided_at: datetime


class VotesRead(BaseModel):
    """The votes of an idea in a round whose totals are public now."""

    round: str
    votes: int


class IdeaRead(BaseModel):
    """An idea with what became of it. `merged` are the ideas merged into it: their votes stay theirs."""

    id: str
    mission_id: str
    text: str
    language: str
    pseudonym: str
    state: str
    created_at: datetime
    edited_at: datetime | None
    comments: int
    followers: int
    merged_into: str | None
    merged: list[str]
    votes: list[VotesRead]
    next_states: list[str]
    history: list[DecisionRead]


def show_decision(decision: Decision) -> DecisionRead:
    into = decision.merged_into_id
    return DecisionRead(
        id=ids.show("dec", decision.id),
        merged_into=ids.show("ide", into) if into else None,
        **decision.model_dump(include={"state", "state_before", "reason", "decided_at"}),
    )


def show(session: DbSession, idea: Idea, mission: Mission, now: datetime) -> IdeaRead:
    _, pseudonym = community.idea_shown(session, mission, idea.id, phase=idea.phase)
    merged = community.merged_into(session, [idea.id]).get(idea.id, [])
    kept = ("text", "language", "state", "created_at", "edited_at", "comments", "followers")
    return IdeaRead(
        id=ids.show("ide", idea.id),
        mission_id=ids.show("mis", mission.id),
        pseudonym=pseudonym,
        merged_into=ids.show("ide", idea.merged_into_id) if idea.merged_into_id else None,
        merged=[ids.show("ide", one.id) for one in merged],
        votes=[
            VotesRead(round=ids.show("rnd", round.id), votes=votes)
            for round, votes in community.votes_by_round(session, idea)
            if round.shows_totals(now)
        ],
        next_states=[one.value for one in community.next_states(idea)],
        history=[show_decision(one) for one in community.history_of(session, idea.id)],
        **idea.model_dump(include=set(kept)),
    )


@router.get("/ideas/{idea_id}", dependencies=[may(Right.MISSIONS_READ)], response_model=IdeaRead)
def read_idea(idea_id: str, actor: Actor, session: ReadSession, now: Now, tags: Tagged) -> Any:
    """One idea with its history."""
    return tags.read(show(session, *_idea(session, actor, idea_id), now))


@router.post("/ideas/{idea_id}/decisions", dependencies=[may(Right.IDEAS_WRITE)], status_code=201)
def decide(idea_id: str, body: DecisionCreate, actor: Actor, session: Session, now: Now) -> DecisionRead:
    """Decide what becomes of an idea. 409 `wrong_state` for a state it cannot have next."""
    idea, mission = _idea(session, actor, idea_id)
    state, by = IdeaState(body.state), By(key_id=actor.key_id)
    return show_decision(community.decide(session, mission, idea, state, reason=body.reason, by=by, now=now))


@router.post("/ideas/{idea_id}/merger", dependencies=[may(Right.IDEAS_WRITE)], status_code=201)
def merge(idea_id: str, body: MergerCreate, actor: Actor, session: Session, now: Now) -> DecisionRead:
    """Merge an idea into another. Its votes stay with it, shown beside; it takes no new ones. It can be undone.

    409 `wrong_state` when either is decided, hidden or merged already, `has_merged` for one that took others in.
    """
    idea, mission = _idea(session, actor, idea_id)
    into, by = ids.parse("ide", body.into), By(key_id=actor.key_id)
    return show_decision(community.merge_idea(session, mission, idea, into, reason=body.reason, by=by, now=now))


@router.post("/ideas/{idea_id}/separation", dependencies=[may(Right.IDEAS_WRITE)], status_code=201)
def separate(idea_id: str, body: SeparationCreate, actor: Actor, session: Session, now: Now) -> DecisionRead:
    """Undo a merge: the idea is again what it was. 409 `wrong_state` for one that is not merged."""
    idea, mission = _idea(session, actor, idea_id)
    by = By(key_id=actor.key_id)
    return show_decision(community.separate(session, mission, idea, reason=body.reason, by=by, now=now))


def _idea(session: DbSession, actor: Actor, idea_id: str) -> tuple[Idea, Mission]:
    return community.idea_by_id(session, actor.organisation_id, ids.parse("ide", idea_id))
