"""Comments on ideas: published at once, answered officially by members, and whether they were useful."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, func, literal, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.community import limits
from campaigns.community.models import Comment, CommentMark, Idea, IdeaState, TextCount
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import show, uuid7_at
from campaigns.missions import Mission, StepKind
from campaigns.missions.models import CompletionState
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import changed, hand_over, insert_once

TEXT_LIMIT = 500  # characters of a comment
PERSON_COLUMNS = (col(Comment.participant_id), col(CommentMark.participant_id), col(TextCount.participant_id))
UNDER_AGE = "Writing is for people of 15 and over. You can go on checking in. If this is a mistake, ask us to mend it."
_CLOSED = (IdeaState.HIDDEN, IdeaState.ERASED)


class Said(NamedTuple):
    """A comment; `is_replay` when this client id was seen before, and the first one stands."""

    comment: Comment
    is_replay: bool


def post_comment(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    idea_id: UUID,
    *,
    text: str,
    client_id: str,
    language: str,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> Said:
    """Publish a comment on an idea and complete the mission's comment step, if it has one.

    A repeat of `client_id` returns the first comment. Invalid for an empty or too long text or two links, Forbidden
    under 15 or without the step's presence, TooMany beyond three texts in a newcomer's first hour or twenty a day.
    """
    mine = select(Comment).where(Comment.participant_id == person.id, Comment.client_id == client_id)
    first = session.exec(mine).first()
    if first is not None:
        return Said(first, True)
    if person.is_under_15:
        raise Forbidden(UNDER_AGE, code="under_age_text")
    phase = missions.require_open(campaign, now=now)
    words = tidy(text)
    idea = open_idea(session, mission, idea_id, phase=phase)
    step = next((one for one in missions.steps_of(session, mission.id) if one.kind == StepKind.COMMENT), None)
    presence = missions.standing(session, mission, person, phase=phase).presence if step else None
    if step is not None and step.min_presence > 0 and (presence is None or presence < step.min_presence):
        raise Forbidden(
            "This step is for people who showed that they were in the shop. Scan a code there and check in first.",
            code="presence_missing",
        )
    missions.take_part(session, mission, person, phase=phase, rules_version_id=rules_version_id, now=now)
    who = {"participant_id": person.id, "member_id": None}
    id = _publish(session, mission, idea, words, client_id, language, phase, now, who)
    if id is None:
        return Said(session.exec(mine).one(), True)
    limits.take_turn(session, person, now=now)
    if step is not None:
        missions.complete(
            session,
            mission,
            step,
            person,
            period=missions.period_of(step.repeat, now, campaign.time_zone),
            presence=presence or 0,
            phase=phase,
            source_id=id,
            state=CompletionState.VERIFIED,
            now=now,
        )
    return Said(session.get_one(Comment, id), False)


def post_answer(
    session: Session,
    mission: Mission,
    idea_id: UUID,
    *,
    text: str,
    member_id: UUID,
    client_id: str,
    language: str,
    now: datetime,
) -> Said:
    """Publish an official answer to an idea, in the brand's name."""
    words = tidy(text)
    idea = open_idea(session, mission, idea_id)
    who = {"participant_id": None, "member_id": member_id}
    id = _publish(session, mission, idea, words, client_id, language, idea.phase, now, who)
    if id is None:
        found = select(Comment).where(Comment.member_id == member_id, Comment.client_id == client_id)
        return Said(session.exec(found).one(), True)
    return Said(session.get_one(Comment, id), False)


def mark_useful(
    session: Session, mission: Mission, comment_id: UUID, person: Participant, *, phase: str, now: datetime
) -> int:
    """Note that a comment of a phase was useful to a person, once; how many found it so. Conflict for one's own."""
    comment = session.get(Comment, comment_id)
    is_shown = comment is not None and (comment.mission_id, comment.phase) == (mission.id, phase)
    if comment is None or not is_shown or comment.state in _CLOSED:
        raise NotFound("There is no such comment.")
    if comment.participant_id == person.id:
        raise Conflict("This is your own comment.", code="own_comment")
    if insert_once(session, CommentMark, comment_id=comment_id, participant_id=person.id, marked_at=now):
        session.execute(update(Comment).where(col(Comment.id) == comment_id).values(useful=col(Comment.useful) + 1))
    return session.get_one(Comment, comment_id, populate_existing=True).useful


def comments_on(
    session: Session, idea_id: UUID, *, before: UUID | None = None, limit: int
) -> Sequence[tuple[Comment, str]]:
    """The last comments on an idea, or the last `before` one, in their order, with their author's pseudonym.

    Of official ones it is empty.

    Hidden ones are among them, with their words: who shows them to the public withholds these.
    """
    query = (
        columns(Comment, func.coalesce(col(Participant.pseudonym), ""))
        .outerjoin(Participant, col(Participant.id) == Comment.participant_id)
        .where(col(Comment.idea_id) == idea_id)
        .order_by(col(Comment.id).desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(col(Comment.id) < before)
    return [(comment, name) for comment, name in session.execute(query)][::-1]


def answers_of(session: Session, idea_ids: Iterable[UUID]) -> dict[UUID, list[Comment]]:
    """The official answers to each of these ideas that are not hidden, the newest first."""
    found: dict[UUID, list[Comment]] = {}
    official = select(Comment).where(col(Comment.idea_id).in_(list(idea_ids)), col(Comment.member_id).is_not(None))
    shown = official.where(col(Comment.state).not_in(_CLOSED)).order_by(col(Comment.id).desc())
    for one in session.exec(shown):
        found.setdefault(one.idea_id, []).append(one)
    return found


def comments_of(session: Session, participant_id: UUID) -> Sequence[Comment]:
    """A person's own comments, newest first."""
    query = select(Comment).where(Comment.participant_id == participant_id)
    return session.exec(query.order_by(col(Comment.id).desc())).all()


def idea_shown(session: Session, mission: Mission, idea_id: UUID, *, phase: str) -> tuple[Idea, str]:
    """An idea that has a place on the pages, hidden or taken back too, with its author's pseudonym; NotFound else."""
    query = columns(Idea, col(Participant.pseudonym)).join(Participant, col(Participant.id) == col(Idea.participant_id))
    mine = (col(Idea.id) == idea_id, col(Idea.mission_id) == mission.id, col(Idea.phase) == phase)
    found = session.execute(query.where(*mine)).first()
    if found is None:
        raise NotFound("There is no such idea.")
    return found[0], found[1]


def open_idea(session: Session, mission: Mission, idea_id: UUID, *, phase: str | None = None) -> Idea:
    """An idea of a mission that may be read and commented on; NotFound for a hidden one and for another's.

    With a phase NotFound for one of another phase as well: who is not of a pilot's team knows none of its ideas.
    """
    idea = session.get(Idea, idea_id)
    if idea is None or idea.mission_id != mission.id or idea.state in _CLOSED or phase not in (None, idea.phase):
        raise NotFound("There is no such idea.")
    return idea


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Blank what a person commented; the comments and what they found useful stay counted, by nobody."""
    session.execute(
        update(Comment)
        .where(col(Comment.participant_id) == participant_id)
        .values(
            text="",
            language="und",
            state=IdeaState.ERASED.value,
            hidden_rule=None,
            client_id=literal("erased-") + cast(col(Comment.id), Text),
        )
        .execution_options(synchronize_session=False)
    )
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def recount(session: Session) -> list[str]:
    """The counters of comments against the comments, and those of marks against the marks, in words."""
    by = [col(getattr(Comment, name)) for name in ("mission_id", "phase")]
    counted = {
        (mission_id, phase, "comments"): number
        for mission_id, phase, number in session.execute(columns(*by, func.count()).group_by(*by))
    }
    return [
        *missions.differences(session, counted, ("comments",)),
        *_differences(session, "comments", "ide", Idea.comments, Comment.idea_id),
        *_differences(session, "useful marks", "cmt", Comment.useful, CommentMark.comment_id),
    ]


def tidy(text: str) -> str:
    """The text with its white space folded. Invalid when it is empty, longer than 500 characters, or has two links."""
    words = "\n".join(" ".join(line.split()) for line in text.strip().splitlines()).strip()
    if not limits.is_visible(words):
        raise Invalid("Write a few words first: the text is empty.", pointer="/text", code="comment_empty")
    if len(words) > TEXT_LIMIT:
        raise Invalid(
            f"A comment has at most {TEXT_LIMIT} characters; this one has {len(words)}.",
            pointer="/text",
            code="comment_too_long",
        )
    limits.check_links(words)
    return words


def _publish(
    session: Session,
    mission: Mission,
    idea: Idea,
    words: str,
    client_id: str,
    language: str,
    phase: str,
    now: datetime,
    who: dict[str, Any],
) -> UUID | None:
    """The id of the new comment; None when its client id was there already."""
    id = uuid7_at(now)
    fields = {"mission_id": mission.id, "idea_id": idea.id, "client_id": client_id, "text": words, "phase": phase}
    fields |= {"language": language, "state": IdeaState.PUBLISHED.value, "hidden_rule": None, "useful": 0}
    if not insert_once(session, Comment, id=id, created_at=now, **fields, **who):
        return None
    # Of an idea that is hidden at the same moment nothing is commented: the condition waits for the moderator.
    there = update(Idea).where(col(Idea.id) == idea.id, col(Idea.state).not_in(_CLOSED))
    if not changed(session, there.values(comments=col(Idea.comments) + 1)):
        raise NotFound("There is no such idea.")
    missions.count(session, mission, "comments", phase=phase)
    record_event(session, "comment.published", now=now, comment_id=id, idea_id=idea.id)
    return id


def _differences(session: Session, what: str, prefix: str, stored: Any, counted: Any) -> list[str]:
    table = stored.class_
    number = columns(func.count()).where(counted == table.id).correlate(table).scalar_subquery()
    wrong = session.execute(columns(table.id, stored, number).where(stored != number))
    return [f"{what} of {show(prefix, id)}: {has} stored, {is_} counted" for id, has, is_ in wrong]
