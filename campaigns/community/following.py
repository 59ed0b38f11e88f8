"""Following an idea: without an account, its number public, and what became of it since on the person's own page."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, func, select, update
from sqlmodel import Session, col

from campaigns.community.comments import open_idea
from campaigns.community.models import Follow, Idea
from campaigns.errors import Conflict
from campaigns.ids import show
from campaigns.missions import Mission
from campaigns.participants import Merge, Participant
from campaigns.storage import changed, hand_over, hold, insert_once

PERSON_COLUMNS = (col(Follow.participant_id),)
MOST = 100  # ideas a person follows


def follow(session: Session, mission: Mission, idea_id: UUID, person: Participant, *, phase: str, now: datetime) -> int:
    """Follow an idea of a phase, once; how many people do.

    NotFound for a hidden one, Conflict beyond a hundred of a person, who is held: of follows at once no more go in.
    """
    idea = open_idea(session, mission, idea_id, phase=phase)
    hold(session, person.id)
    number = select(func.count()).where(col(Follow.participant_id) == person.id)
    if session.execute(number).scalar_one() >= MOST and not is_followed(session, idea_id, person.id):
        raise Conflict("You follow a hundred ideas. Leave one first.", code="too_many_follows")
    if insert_once(session, Follow, idea_id=idea.id, participant_id=person.id, followed_at=now):
        _count(session, idea.id, +1)
    return session.get_one(Idea, idea.id, populate_existing=True).followers


def unfollow(session: Session, idea_id: UUID, person: Participant) -> int:
    """Follow an idea no more; how many people still do. Twice is once."""
    gone = delete(Follow).where(col(Follow.idea_id) == idea_id, col(Follow.participant_id) == person.id)
    if changed(session, gone.execution_options(synchronize_session=False)):
        _count(session, idea_id, -1)
    return session.get_one(Idea, idea_id, populate_existing=True).followers


def is_followed(session: Session, idea_id: UUID, participant_id: UUID) -> bool:
    """Whether a person follows an idea."""
    return session.get(Follow, (idea_id, participant_id)) is not None


def followed_by(session: Session, participant_id: UUID) -> Sequence[tuple[Idea, Mission, datetime]]:
    """The ideas a person follows with their mission and since when, the last followed first."""
    query = (
        select(Idea, Mission, col(Follow.followed_at))
        .join(Follow, col(Follow.idea_id) == col(Idea.id))
        .join(Mission, col(Mission.id) == col(Idea.mission_id))
        .where(col(Follow.participant_id) == participant_id)
        .order_by(col(Follow.followed_at).desc(), col(Idea.id))
    )
    return [(idea, mission, since) for idea, mission, since in session.execute(query)]


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave what a person follows to nobody: it stays counted."""
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def merge(session: Session, merge: Merge) -> None:
    """Let the older name follow what the newer one did, each idea once."""
    older, newer = merge.ids
    has = select(col(Follow.idea_id)).where(col(Follow.participant_id) == older)
    twice = (col(Follow.participant_id) == newer, col(Follow.idea_id).in_(has))
    for idea_id in sorted(session.execute(select(col(Follow.idea_id)).where(*twice)).scalars().all()):
        gone = delete(Follow).where(col(Follow.participant_id) == newer, col(Follow.idea_id) == idea_id)
        session.execute(gone.execution_options(synchronize_session=False))
        _count(session, idea_id, -1)
    hand_over(session, PERSON_COLUMNS, newer, older)


def recount(session: Session) -> list[str]:
    """The numbers of followers against those who follow, in words."""
    number = select(func.count()).where(col(Follow.idea_id) == col(Idea.id)).correlate(Idea).scalar_subquery()
    wrong = session.execute(select(col(Idea.id), col(Idea.followers), number).where(col(Idea.followers) != number))
    return [f"followers of {show('ide', id)}: {has} stored, {is_} counted" for id, has, is_ in wrong]


def _count(session: Session, idea_id: UUID, number: int) -> None:
    counted = update(Idea).where(col(Idea.id) == idea_id).values(followers=col(Idea.followers) + number)
    session.execute(counted.execution_options(synchronize_session=False))
