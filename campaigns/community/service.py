"""Ideas: posting one completes its step in the same transaction."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import Text, cast, func, literal, or_, update
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.announcements import announce
from campaigns.community import comments, decisions, following, limits, moderation, replies, tally
from campaigns.community.models import VOTABLE, Comment, Flag, Idea, IdeaState, Round, VoteCounter
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import CompletionState
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import hand_over, insert_once

TEXT_LIMIT = 500  # characters of an idea
EDIT_WINDOW = timedelta(minutes=30)  # long enough to see one's slip, over before many have read it
_OWN = (col(Idea.participant_id), col(Flag.participant_id))
PERSON_COLUMNS = (*_OWN, *comments.PERSON_COLUMNS, *following.PERSON_COLUMNS, *replies.PERSON_COLUMNS)
_EDITABLE = (IdeaState.PUBLISHED.value, IdeaState.RESTORED.value)


UNDER_AGE = "Ideas can be given from 15 years on. You can go on checking in. If this is a mistake, ask us to mend it."


@dataclass(frozen=True)
class Posted:
    """An idea as it stands; `is_replay` when this client id was seen before."""

    idea: Idea
    is_replay: bool


def post_idea(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    *,
    text: str,
    client_id: str,
    language: str,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> Posted:
    """Publish an idea and complete the mission's idea step. A repeat of `client_id` returns the first idea.

    Invalid for an empty or too long text, Forbidden for who is under 15 or has not shown the presence that the step
    asks for, Conflict when the campaign takes no acts.
    """
    first = session.exec(select(Idea).where(Idea.participant_id == person.id, Idea.client_id == client_id)).first()
    if first is not None:
        return Posted(first, True)
    if person.is_under_15:
        raise Forbidden(UNDER_AGE, code="under_age")
    phase = missions.require_open(campaign, now=now)
    words = tidy(text)
    step = next((s for s in missions.steps_of(session, mission.id) if s.kind == StepKind.IDEA), None)
    if step is None:
        raise Conflict("This mission does not ask for ideas.", code="no_such_step")
    presence = _require_standing(session, mission, step, person, phase=phase)
    missions.take_part(session, mission, person, phase=phase, rules_version_id=rules_version_id, now=now)
    id = uuid7_at(now)
    is_new = insert_once(
        session,
        Idea,
        id=id,
        mission_id=mission.id,
        participant_id=person.id,
        client_id=client_id,
        text=words,
        language=language,
        state=IdeaState.PUBLISHED.value,
        phase=phase,
        comments=0,
        followers=0,
        created_at=now,
        rules_version_id=rules_version_id,
    )
    if not is_new:
        raise Conflict("This idea arrived a moment ago.", code="already_posted")
    limits.take_turn(session, person, now=now)
    missions.count(session, mission, "ideas", phase=phase)
    missions.complete(
        session,
        mission,
        step,
        person,
        period=missions.period_of(step.repeat, now, campaign.time_zone),
        presence=presence,
        phase=phase,
        source_id=id,
        state=CompletionState.VERIFIED,
        now=now,
    )
    record_event(session, "idea.published", now=now, idea_id=id, mission_id=mission.id)
    return Posted(session.get_one(Idea, id), False)


def may_edit(session: Session, idea: Idea, person: Participant | None, *, now: datetime) -> bool:
    """Whether this person may still change the words of this idea."""
    if person is None or idea.participant_id != person.id or idea.state not in _EDITABLE:
        return False
    return now < idea.created_at + EDIT_WINDOW and not _is_answered(session, idea)


def edit_idea(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    idea_id: UUID,
    *,
    text: str,
    now: datetime,
) -> Idea:
    """Change the words of one's own idea, which is marked as edited; the words before are not kept.

    Within 30 minutes, and until somebody votes for it, another person comments on it or a member decides about it:
    nobody's vote or comment comes to stand under other words. Conflict (`edit_closed`) afterwards, NotFound for
    somebody else's, Invalid as for a new one.
    """
    missions.require_open(campaign, now=now)
    mine = select(Idea).where(Idea.id == idea_id, Idea.mission_id == mission.id, Idea.participant_id == person.id)
    # A vote or comment on its way holds the row by its reference: we wait for it here, and see it below.
    idea = session.exec(mine.with_for_update().execution_options(populate_existing=True)).first()
    if idea is None or idea.state in (IdeaState.HIDDEN, IdeaState.ERASED):
        raise NotFound("There is no such idea of yours.")
    words = tidy(text)
    if words == idea.text:
        return idea
    if not may_edit(session, idea, person, now=now):
        raise Conflict(
            "This idea can no longer be changed: time is up, or somebody has answered it.", code="edit_closed"
        )
    session.execute(
        update(Idea)
        .where(col(Idea.id) == idea.id)
        .values(text=words, edited_at=now)
        .execution_options(synchronize_session=False)
    )
    record_event(session, "idea.edited", now=now, idea_id=idea.id, mission_id=mission.id)
    announce(session, "campaign", mission.campaign_id)
    session.refresh(idea)
    return idea


def _is_answered(session: Session, idea: Idea) -> bool:
    """Whether somebody's vote stands for it, or another person's comment."""
    votes = (
        select(VoteCounter.votes)
        .join(Round, col(Round.id) == VoteCounter.round_id)
        .where(Round.mission_id == idea.mission_id, VoteCounter.idea_id == idea.id, VoteCounter.votes > 0)
    )
    said = select(Comment.id).where(
        Comment.idea_id == idea.id, col(Comment.participant_id).is_distinct_from(idea.participant_id)
    )
    return any(session.exec(query.limit(1)).first() is not None for query in (votes, said))


def tidy(text: str) -> str:
    """The text with its white space folded. Invalid when nothing is left or it is longer than 500 characters."""
    words = "\n".join(" ".join(line.split()) for line in text.strip().splitlines()).strip()
    if not limits.is_visible(words):
        raise Invalid("Write your idea first: the text is empty.", pointer="/text", code="idea_empty")
    if len(words) > TEXT_LIMIT:
        raise Invalid(
            f"An idea has at most {TEXT_LIMIT} characters; this one has {len(words)}.",
            pointer="/text",
            code="idea_too_long",
            length=len(words),
        )
    limits.check_links(words)
    return words


def list_ideas(
    session: Session,
    mission_id: UUID,
    *,
    phase: str = "live",
    state: str | None = None,
    votable_or: Collection[UUID] | None = None,
    before: UUID | None = None,
    limit: int,
) -> Sequence[tuple[Idea, str]]:
    """Ideas with their author's pseudonym, newest first. Both are empty where the author took theirs back.

    Hidden ones are among them, with their words: who shows them to the public withholds these. With `votable_or` only
    those that take votes, and these: the ones a person voted for.
    """
    query = (
        select(Idea, Participant.pseudonym)
        .join(Participant, col(Participant.id) == Idea.participant_id)
        .where(Idea.mission_id == mission_id, Idea.phase == phase)
    )
    if state is not None:
        query = query.where(Idea.state == state)
    if votable_or is not None:
        query = query.where(or_(col(Idea.state).in_(VOTABLE), col(Idea.id).in_(votable_or)))
    if before is not None:
        query = query.where(Idea.id < before)
    return [(idea, name) for idea, name in session.exec(query.order_by(col(Idea.id).desc()).limit(limit)).all()]


def ideas_of(session: Session, participant_id: UUID) -> Sequence[Idea]:
    """A person's own ideas, newest first."""
    return session.exec(select(Idea).where(Idea.participant_id == participant_id).order_by(col(Idea.id).desc())).all()


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Blank what a person wrote, and what their phone called it; the ideas stay counted, by nobody.

    Pages that were made with their words and name are thrown away, in every process.
    """
    theirs = select(Mission.campaign_id).join(Idea, col(Idea.mission_id) == Mission.id)
    for campaign_id in session.exec(theirs.where(Idea.participant_id == participant_id).distinct()).all():
        announce(session, "campaign", campaign_id)
    session.execute(
        update(Idea)
        .where(col(Idea.participant_id) == participant_id)
        .values(
            text="",
            language="und",
            state=IdeaState.ERASED.value,
            hidden_rule=None,
            client_id=literal("erased-") + cast(col(Idea.id), Text),
        )
        .execution_options(synchronize_session=False)
    )
    mine = col(Flag.participant_id) == participant_id
    session.execute(update(Flag).where(mine).values(text="").execution_options(synchronize_session=False))
    hand_over(session, _OWN, participant_id, surrogate)
    comments.forget(session, participant_id, surrogate=surrogate)
    following.forget(session, participant_id, surrogate=surrogate)
    replies.forget(session, participant_id)


def recount(session: Session) -> list[str]:
    """The counters of ideas, votes, removals, flags and comments against what they count, in words."""
    counted = {
        (mission_id, phase, "ideas"): number
        for mission_id, phase, number in session.execute(
            select(col(Idea.mission_id), col(Idea.phase), func.count()).group_by(col(Idea.mission_id), col(Idea.phase))
        )
    }
    return [
        *missions.differences(session, counted, ("ideas",)),
        *tally.recount(session),
        *moderation.recount(session),
        *comments.recount(session),
        *following.recount(session),
        *decisions.recount(session),
        *replies.recount(session),
    ]


def _require_standing(session: Session, mission: Mission, step: Step, person: Participant, *, phase: str) -> int:
    best = missions.standing(session, mission, person, phase=phase).presence
    if step.min_presence > (best if best is not None else -1) and step.min_presence > 0:
        raise Forbidden(
            "This step is for people who showed that they were in the shop. Scan a code there and check in first.",
            code="presence_missing",
        )
    return best or 0
