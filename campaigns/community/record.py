"""The public record of a mission's community, line by line, for who wants to reckon with it or keep it.

It holds what everybody may read and nothing more: no pseudonym, no id of a person, no hidden words, and no votes of a
round whose totals are still hidden. So whoever has it can recount the page, and name nobody by it.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from campaigns.community.models import Comment, Decision, Idea, ModerationAct, Round, SubjectKind, VoteCounter
from campaigns.community.moderation import PREFIXES
from campaigns.community.tally import result_of
from campaigns.ids import show
from campaigns.missions import Mission, Step
from campaigns.missions.models import CompletionState, StepCompletion

LINES_A_PAGE = 500


class Entry(NamedTuple):
    """A line. `record` says what it is of; `about` is the idea, round or contribution that it belongs to.

    mission, idea, decision, comment (`kind` official or participant), round, votes (`number` of the idea `id` in the
    round `about`), step (`number` of verified completions), moderation (`kind` the act, `state` the rule).
    """

    record: str
    id: str
    about: str = ""
    at: datetime | None = None
    state: str = ""
    kind: str = ""
    text: str = ""
    reason: str = ""
    number: int | None = None


def public_record(session: Session, mission: Mission, *, now: datetime, phase: str = "live") -> Iterator[list[Entry]]:
    """The record, page by page: the mission and its steps, ideas, decisions, comments, votes, moderation."""
    yield [_mission(mission), *_steps(session, mission, phase)]
    yield from _paged(session, Idea, mission, _idea, phase=phase)
    yield from _paged(session, Decision, mission, _decision, phase=phase)
    yield from _paged(session, Comment, mission, _comment, phase=phase)
    yield from _votes(session, mission, phase, now)
    yield from _paged(session, ModerationAct, mission, _moderation, phase=phase)


def _mission(mission: Mission) -> Entry:
    title = mission.title.get("en") or next(iter(mission.title.values()), "")
    return Entry("mission", show("mis", mission.id), at=mission.created_at, kind=mission.goal_metric, text=title)


def _steps(session: Session, mission: Mission, phase: str) -> list[Entry]:
    done = func.count(col(StepCompletion.id))
    on = (
        (col(StepCompletion.step_id) == col(Step.id))
        & (col(StepCompletion.phase) == phase)
        & (col(StepCompletion.state) == CompletionState.VERIFIED)
    )
    query = select(Step, done).outerjoin(StepCompletion, on).where(col(Step.mission_id) == mission.id)
    rows = session.execute(query.group_by(col(Step.id)).order_by(col(Step.position)))
    about = show("mis", mission.id)
    return [Entry("step", show("stp", step.id), about, kind=step.kind, number=number) for step, number in rows]


def _idea(idea: Idea) -> Entry:
    into = show("ide", idea.merged_into_id) if idea.merged_into_id else ""
    words = "" if idea.hidden_rule else idea.text
    return Entry(
        "idea",
        show("ide", idea.id),
        into,
        idea.created_at,
        idea.state,
        "",
        words,
        idea.hidden_rule or "",
        idea.followers,
    )


def _decision(one: Decision) -> Entry:
    into = show("ide", one.merged_into_id) if one.merged_into_id else ""
    return Entry(
        "decision", show("dec", one.id), show("ide", one.idea_id), one.decided_at, one.state, into, "", one.reason
    )


def _comment(one: Comment) -> Entry:
    words = "" if one.hidden_rule else one.text
    kind = "official" if one.is_official else "participant"
    about, rule = show("ide", one.idea_id), one.hidden_rule or ""
    return Entry("comment", show("cmt", one.id), about, one.created_at, one.state, kind, words, rule, one.useful)


def _moderation(one: ModerationAct) -> Entry:
    """What was done and by which rule; the reason is for the author, and may tell of people."""
    about = show(PREFIXES[SubjectKind(one.subject_kind)], one.subject_id)
    return Entry("moderation", show("mod", one.id), about, one.acted_at, one.rule or "", one.act)


def _votes(session: Session, mission: Mission, phase: str, now: datetime) -> Iterator[list[Entry]]:
    """Each round with its turn-out, then the votes of its ideas; of one whose totals are hidden the window alone."""
    rounds = select(Round).where(col(Round.mission_id) == mission.id).order_by(col(Round.id))
    for round in session.execute(rounds).scalars().all():
        name = show("rnd", round.id)
        if not round.shows_totals(now):
            yield [Entry("round", name, show("mis", mission.id), round.closes_at, "hidden", round.electorate)]
            continue
        voters = result_of(session, round, phase=phase, limit=0).voters
        state = "over" if round.is_over(now) else "open"
        yield [Entry("round", name, show("mis", mission.id), round.closes_at, state, round.electorate, number=voters)]
        after: UUID | None = None
        while True:
            query = select(col(VoteCounter.idea_id), col(VoteCounter.votes)).where(
                col(VoteCounter.round_id) == round.id, col(VoteCounter.phase) == phase, col(VoteCounter.votes) > 0
            )
            if after is not None:
                query = query.where(col(VoteCounter.idea_id) > after)
            found = session.execute(query.order_by(col(VoteCounter.idea_id)).limit(LINES_A_PAGE)).all()
            if not found:
                break
            yield [Entry("votes", show("ide", idea), name, number=votes) for idea, votes in found]
            after = found[-1][0]


def _paged(
    session: Session, table: Any, mission: Mission, entry: Callable[[Any], Entry], *, phase: str
) -> Iterator[list[Entry]]:
    after: UUID | None = None
    while True:
        query = select(table).where(table.mission_id == mission.id)
        if table is Decision:  # it has the phase of its idea
            query = query.join(Idea, col(Idea.id) == col(Decision.idea_id)).where(col(Idea.phase) == phase)
        else:
            query = query.where(table.phase == phase)
        if after is not None:
            query = query.where(table.id > after)
        found: Sequence[Any] = session.execute(query.order_by(table.id).limit(LINES_A_PAGE)).scalars().all()
        if not found:
            return
        yield [entry(one) for one in found]
        after = found[-1].id
        session.expunge_all()
