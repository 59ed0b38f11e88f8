"""What becomes of an idea: shortlisted, selected or not, funded, delivered, each by a member for a public reason.

An idea that says what another says already may be merged into it. No vote moves: the votes of a merged idea stay with
it, and results show both. A merge can be undone, with a reason too. Every step stays in the idea's history.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import exists, select, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col
from sqlmodel import select as rows

from campaigns.announcements import announce
from campaigns.community.models import Decision, Idea, IdeaState
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.missions import Mission
from campaigns.storage import changed

REASON_LIMIT = 500  # characters
# From each state those it may go to: on, or back where a decision is corrected. The history shows both.
NEXT: Mapping[IdeaState, tuple[IdeaState, ...]] = {
    IdeaState.PUBLISHED: (IdeaState.SHORTLISTED, IdeaState.SELECTED, IdeaState.NOT_SELECTED),
    IdeaState.RESTORED: (IdeaState.SHORTLISTED, IdeaState.SELECTED, IdeaState.NOT_SELECTED),
    IdeaState.SHORTLISTED: (IdeaState.SELECTED, IdeaState.NOT_SELECTED, IdeaState.PUBLISHED),
    IdeaState.NOT_SELECTED: (IdeaState.SHORTLISTED,),
    IdeaState.SELECTED: (IdeaState.FUNDED, IdeaState.SHORTLISTED),
    IdeaState.FUNDED: (IdeaState.DELIVERED, IdeaState.SELECTED),
    IdeaState.DELIVERED: (IdeaState.FUNDED,),
}
DECIDED = (
    IdeaState.SHORTLISTED,
    IdeaState.SELECTED,
    IdeaState.NOT_SELECTED,
    IdeaState.FUNDED,
    IdeaState.DELIVERED,
)
MERGEABLE = (IdeaState.PUBLISHED, IdeaState.RESTORED, IdeaState.SHORTLISTED, IdeaState.NOT_SELECTED)
_GONE = (IdeaState.HIDDEN, IdeaState.ERASED, IdeaState.MERGED)


class By(NamedTuple):
    """Who decides: a member of the organisation, or a key of it."""

    member_id: UUID | None = None
    key_id: UUID | None = None


def next_states(idea: Idea) -> tuple[IdeaState, ...]:
    """What an idea may become by a decision, the next step first; empty for a hidden, erased or merged one."""
    return NEXT.get(IdeaState(idea.state), ())


def decide(
    session: Session, mission: Mission, idea: Idea, state: IdeaState, *, reason: str, by: By, now: datetime
) -> Decision:
    """Give an idea its next state, for a reason that everybody reads.

    Conflict (`wrong_state`) for a state it cannot have next, and for one of two members who decide at once. Invalid
    without a reason or for one above 500 characters.
    """
    words = tidy_reason(reason)
    if state not in next_states(idea):
        raise Conflict(f"An idea that is {idea.state} cannot become {state.value}.", code="wrong_state")
    return _turn(session, mission, idea, state, reason=words, by=by, now=now)


def merge_idea(
    session: Session, mission: Mission, idea: Idea, into_id: UUID, *, reason: str, by: By, now: datetime
) -> Decision:
    """Merge an idea into another one of its mission. Its votes, comments and followers stay with it.

    NotFound for another mission's, Invalid for itself. Conflict (`wrong_state`) for one that is decided, hidden or
    merged already, or into one that is not there any more; Conflict (`has_merged`) for one that took others in.
    """
    words = tidy_reason(reason)
    if into_id == idea.id:
        raise Invalid("An idea cannot be merged into itself.", pointer="/into", code="merge_itself")
    held = {one.id: one for one in _hold(session, mission, idea, into_id)}
    into = held.get(into_id)
    if into is None:
        raise NotFound("There is no such idea in this mission.", pointer="/into")
    if idea.state not in MERGEABLE:
        raise Conflict(f"An idea that is {idea.state} cannot be merged.", code="wrong_state")
    if into.state in _GONE:
        raise Conflict("The other idea is hidden, merged or taken back itself.", code="wrong_state", pointer="/into")
    if session.exec(rows(Idea.id).where(Idea.merged_into_id == idea.id).limit(1)).first() is not None:
        raise Conflict("Others were merged into this idea. Merge those one by one.", code="has_merged")
    return _turn(session, mission, idea, IdeaState.MERGED, reason=words, by=by, into_id=into_id, now=now)


def separate(session: Session, mission: Mission, idea: Idea, *, reason: str, by: By, now: datetime) -> Decision:
    """Undo a merge: the idea is again what it was before. Conflict (`wrong_state`) for one that is not merged."""
    words = tidy_reason(reason)
    if idea.state != IdeaState.MERGED:
        raise Conflict("This idea is not merged into another one.", code="wrong_state")
    last = session.exec(
        rows(Decision)
        .where(Decision.idea_id == idea.id, Decision.state == IdeaState.MERGED)
        .order_by(col(Decision.id).desc())
        .limit(1)
    ).one()
    return _turn(session, mission, idea, IdeaState(last.state_before), reason=words, by=by, now=now)


def history_of(session: Session, idea_id: UUID) -> Sequence[Decision]:
    """What was decided about an idea, in its order."""
    return session.exec(rows(Decision).where(Decision.idea_id == idea_id).order_by(col(Decision.id))).all()


def decisions_of(session: Session, idea_ids: Iterable[UUID]) -> dict[UUID, list[Decision]]:
    """What was decided about each of these ideas, the newest first."""
    found: dict[UUID, list[Decision]] = {}
    query = rows(Decision).where(col(Decision.idea_id).in_(list(idea_ids))).order_by(col(Decision.id).desc())
    for one in session.exec(query):
        found.setdefault(one.idea_id, []).append(one)
    return found


def merged_into(session: Session, idea_ids: Iterable[UUID]) -> dict[UUID, list[Idea]]:
    """The ideas that were merged into each of these, oldest first; hidden and erased ones too."""
    found: dict[UUID, list[Idea]] = {}
    query = rows(Idea).where(col(Idea.merged_into_id).in_(list(idea_ids))).order_by(col(Idea.id))
    for one in session.exec(query):
        if one.merged_into_id is not None:
            found.setdefault(one.merged_into_id, []).append(one)
    return found


def idea_by_id(session: Session, organisation_id: UUID, idea_id: UUID) -> tuple[Idea, Mission]:
    """The organisation's idea with its mission, but for one its author took back; NotFound for another's."""
    query = (
        select(Idea, Mission)
        .join(Mission, col(Mission.id) == Idea.mission_id)
        .where(col(Idea.id) == idea_id, col(Mission.organisation_id) == organisation_id)
    )
    found = session.execute(query).first()
    if found is None:
        raise NotFound("There is no such idea.")
    return found[0], found[1]


def ideas_everywhere(
    session: Session, organisation_id: UUID, *, state: IdeaState | None, before: UUID | None, limit: int
) -> list[tuple[Idea, Mission]]:
    """The ideas of all missions of an organisation, hidden and erased ones too, newest first."""
    query = select(Idea, Mission).join(Mission, col(Mission.id) == col(Idea.mission_id))
    query = query.where(col(Mission.organisation_id) == organisation_id)
    if state is not None:
        query = query.where(col(Idea.state) == state)
    if before is not None:
        query = query.where(col(Idea.id) < before)
    return [(idea, mission) for idea, mission in session.execute(query.order_by(col(Idea.id).desc()).limit(limit))]


def recount(session: Session) -> list[str]:
    """Ideas whose state is not what was last decided, in words."""
    later = aliased(Decision)
    newest = ~exists().where(later.idea_id == Decision.idea_id, later.id > Decision.id)  # type: ignore[arg-type]  # columns
    query = select(Decision, Idea).join(Idea, col(Idea.id) == Decision.idea_id).where(newest)
    return [
        f"idea {idea.id}: is {idea.state}, decided was {last.state}"
        for last, idea in session.execute(query)
        if idea.state not in (last.state, IdeaState.HIDDEN, IdeaState.ERASED, IdeaState.RESTORED)
    ]


def tidy_reason(text: str) -> str:
    """The reason with one kind of line break. Invalid when it is empty or longer than 500 characters."""
    words = "\n".join(text.strip().splitlines())
    if not words:
        raise Invalid("Say why: everybody reads it.", pointer="/reason")
    if len(words) > REASON_LIMIT:
        detail = f"At most {REASON_LIMIT} characters; this has {len(words)}."
        raise Invalid(detail, pointer="/reason", code="reason_too_long", length=len(words))
    return words


def _hold(session: Session, mission: Mission, idea: Idea, into_id: UUID) -> Sequence[Idea]:
    """Both ideas of a merge, held in the order of their ids and read anew: nobody merges either meanwhile."""
    both = rows(Idea).where(
        col(Idea.id).in_([idea.id, into_id]), Idea.mission_id == mission.id, Idea.phase == idea.phase
    )
    return session.exec(both.order_by(col(Idea.id)).with_for_update().execution_options(populate_existing=True)).all()


def _turn(
    session: Session,
    mission: Mission,
    idea: Idea,
    state: IdeaState,
    *,
    reason: str,
    by: By,
    into_id: UUID | None = None,
    now: datetime,
) -> Decision:
    """Change the state and write the decision down. The condition stands in the UPDATE: of two members one does it."""
    before = str(idea.state)
    moved = update(Idea).where(col(Idea.id) == idea.id, col(Idea.state) == before)
    values = {"state": state.value, "merged_into_id": into_id}
    if not changed(session, moved.values(values).execution_options(synchronize_session=False)):
        raise Conflict("Somebody else decided about this idea a moment ago. Read it again.", code="wrong_state")
    session.refresh(idea)
    decided = Decision(
        id=uuid7_at(now),
        organisation_id=mission.organisation_id,
        mission_id=mission.id,
        idea_id=idea.id,
        state=state.value,
        state_before=before,
        merged_into_id=into_id,
        reason=reason,
        member_id=by.member_id,
        key_id=by.key_id,
        decided_at=now,
    )
    session.add(decided)
    session.flush()
    record_event(session, "idea.decided", now=now, idea_id=idea.id, decision_id=decided.id, state=state.value)
    announce(session, "campaign", mission.campaign_id)
    return decided
