"""What happens in a mission, for feeds: votes that open and close, decisions about ideas, official answers.

Of people there is nothing in it: neither a pseudonym nor who voted. What is hidden or taken back is left out.
"""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from campaigns.community.models import Comment, Decision, Idea, IdeaState, Round

_GONE = (IdeaState.HIDDEN.value, IdeaState.ERASED.value)


class NewsKind(StrEnum):
    """What happened."""

    VOTE_OPENED = "vote_opened"
    VOTE_CLOSED = "vote_closed"
    DECIDED = "decided"
    ANSWERED = "answered"


class News(NamedTuple):
    """One thing that happened. `id` is that of the round, decision or answer; `text` its public words, if any."""

    kind: NewsKind
    id: UUID
    at: datetime
    idea: Idea | None = None
    text: str = ""
    state: str = ""
    state_before: str = ""


class Shown(NamedTuple):
    """An idea for a feed, with when it last changed."""

    idea: Idea
    changed_at: datetime


def news_of(session: Session, mission_id: UUID, *, limit: int, now: datetime) -> list[News]:
    """The newest things that happened in a mission, newest first."""
    found = [*_votes(session, mission_id, limit, now), *_decisions(session, mission_id, limit)]
    found += _answers(session, mission_id, limit)
    return sorted(found, key=lambda one: (one.at, one.id), reverse=True)[:limit]


def ideas_shown(session: Session, mission_id: UUID, *, limit: int) -> list[Shown]:
    """The newest ideas of a mission that everybody may read, with when each was given, edited or last decided."""
    query = (
        select(Idea)
        .where(col(Idea.mission_id) == mission_id, col(Idea.phase) == "live", col(Idea.state).not_in(_GONE))
        .order_by(col(Idea.id).desc())
        .limit(limit)
    )
    ideas = list(session.execute(query).scalars())
    decided = select(col(Decision.idea_id), col(Decision.decided_at)).where(
        col(Decision.idea_id).in_([one.id for one in ideas])
    )
    last: dict[UUID, datetime] = {}
    for idea_id, at in session.execute(decided):
        last[idea_id] = max(at, last.get(idea_id, at))
    return [
        Shown(one, max(at for at in (one.created_at, one.edited_at, last.get(one.id)) if at is not None))
        for one in ideas
    ]


def _votes(session: Session, mission_id: UUID, limit: int, now: datetime) -> list[News]:
    query = select(Round).where(col(Round.mission_id) == mission_id, col(Round.opens_at) <= now)
    found: list[News] = []
    for round in session.execute(query.order_by(col(Round.opens_at).desc()).limit(limit)).scalars():
        found.append(News(NewsKind.VOTE_OPENED, round.id, round.opens_at))
        if round.is_over(now):
            found.append(News(NewsKind.VOTE_CLOSED, round.id, round.closes_at))
    return found


def _decisions(session: Session, mission_id: UUID, limit: int) -> list[News]:
    query = (
        select(Decision, Idea)
        .join(Idea, col(Idea.id) == col(Decision.idea_id))
        .where(col(Decision.mission_id) == mission_id, col(Idea.state).not_in(_GONE), col(Idea.phase) == "live")
        .order_by(col(Decision.id).desc())
        .limit(limit)
    )
    return [
        News(NewsKind.DECIDED, one.id, one.decided_at, idea, one.reason, one.state, one.state_before)
        for one, idea in session.execute(query)
    ]


def _answers(session: Session, mission_id: UUID, limit: int) -> list[News]:
    query = (
        select(Comment, Idea)
        .join(Idea, col(Idea.id) == col(Comment.idea_id))
        .where(col(Comment.mission_id) == mission_id, col(Comment.member_id).is_not(None))
        .where(col(Comment.state).not_in(_GONE), col(Idea.state).not_in(_GONE), col(Idea.phase) == "live")
        .order_by(col(Comment.id).desc())
        .limit(limit)
    )
    return [News(NewsKind.ANSWERED, one.id, one.created_at, idea, one.text) for one, idea in session.execute(query)]
