"""The result of a round: turn-out, presence mix, ranking, and the anonymous tally that anyone can recount it from.

Pages read counters; the tally and `verify` read the votes. A line of the tally is a vote: a random id, the idea, the
level of presence, the hour. No voter, no proof, no minute: somebody who saw a person vote, or knows what else they did,
must not find their line, nor join it to another round. For the same reason a level or an hour of fewer than ten people
is left blank (DOMAIN section 7).
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func, or_, select
from sqlmodel import Session, col

from campaigns import missions
from campaigns.clock import instant_of_hour
from campaigns.community.models import Ballot, Idea, Round, TurnOut, Vote, VoteCounter
from campaigns.ids import show
from campaigns.participants import Participant

LEAST_GROUP = 10  # people: smaller public cells are not shown
LINES_A_PAGE = 2000  # of the tally


@dataclass(frozen=True)
class Ranked:
    """An idea's place in the result. Text and pseudonym are empty where its author took it back.

    `beside` are the votes of ideas that were merged into it, which stand in places of their own: no vote moves.
    """

    rank: int
    idea_id: UUID
    text: str
    pseudonym: str
    votes: int
    state: str
    hidden_rule: str | None
    merged_into_id: UUID | None
    beside: int


@dataclass(frozen=True)
class Result:
    """How a round stands: `mix` maps the levels of presence that may be shown to their number of people.

    `voided` counts the votes that were voided, by reason; they are in none of the other figures.
    """

    voters: int
    votes: int
    mix: dict[int, int]
    hidden_groups: bool
    ranking: list[Ranked]
    further_ideas: int
    voided: dict[str, int]


class Line(NamedTuple):
    """A vote in the public tally: `presence` and `hour` are empty where fewer than ten people share them.

    A voided one has its reason, and no idea: it counts for none, and what one person chose is nobody's business.
    """

    line: str
    idea: str
    presence: str
    hour: str
    voided: str = ""


def turn_out(session: Session, round_id: UUID, *, phase: str) -> dict[int, int]:
    """How many people have a vote that stands, by level of presence; levels of nobody are left out."""
    query = select(col(TurnOut.presence), col(TurnOut.voters)).where(
        col(TurnOut.round_id) == round_id, col(TurnOut.phase) == phase, col(TurnOut.voters) > 0
    )
    return dict(sorted((presence, voters) for presence, voters in session.execute(query)))


def votes_of_ideas(session: Session, round_id: UUID, idea_ids: Sequence[UUID], *, phase: str) -> dict[UUID, int]:
    """The votes of these ideas that stand, from the counters; ideas without one are left out."""
    query = select(col(VoteCounter.idea_id), col(VoteCounter.votes)).where(
        col(VoteCounter.round_id) == round_id, col(VoteCounter.phase) == phase, col(VoteCounter.idea_id).in_(idea_ids)
    )
    return {idea_id: votes for idea_id, votes in session.execute(query) if votes}


def votes_by_round(session: Session, idea: Idea) -> list[tuple[Round, int]]:
    """The votes of an idea that stand, in each round that has any, the first round first."""
    query = (
        select(Round, col(VoteCounter.votes))
        .join(VoteCounter, col(VoteCounter.round_id) == col(Round.id))
        .where(col(Round.mission_id) == idea.mission_id, col(VoteCounter.idea_id) == idea.id)
        .where(col(VoteCounter.phase) == idea.phase, col(VoteCounter.votes) > 0)
    )
    return [(round, votes) for round, votes in session.execute(query.order_by(col(Round.opens_at)))]


def votes_of(session: Session, voter: str) -> list[tuple[Vote, Idea]]:
    """A voter's votes with their ideas, those taken back too; for the voter alone."""
    query = select(Vote, Idea).join(Idea, col(Idea.id) == Vote.idea_id).where(col(Vote.voter) == voter)
    return [(vote, idea) for vote, idea in session.execute(query.order_by(col(Vote.line)))]


def result_of(session: Session, round: Round, *, phase: str, limit: int) -> Result:
    """Turn-out, presence mix and the first `limit` ideas by votes; ideas with as many votes share a rank."""
    groups = turn_out(session, round.id, phase=phase)
    shown = shown_groups(groups)
    mine = [col(VoteCounter.round_id) == round.id, col(VoteCounter.phase) == phase, col(VoteCounter.votes) > 0]
    number, votes = session.execute(select(func.count(), func.sum(col(VoteCounter.votes))).where(*mine)).one()
    query = (
        select(VoteCounter, Idea, col(Participant.pseudonym))
        .join(Idea, col(Idea.id) == VoteCounter.idea_id)
        .join(Participant, col(Participant.id) == Idea.participant_id)
        .where(*mine)
        .order_by(col(VoteCounter.votes).desc(), col(VoteCounter.idea_id))
        .limit(limit)
    )
    found = session.execute(query).all()
    return Result(
        voters=sum(groups.values()),
        votes=int(votes or 0),
        mix={level: groups[level] for level in shown},
        hidden_groups=len(shown) < len(groups),
        ranking=_ranked(
            [(counter.votes, idea, name) for counter, idea, name in found],
            _beside(session, round, [idea.id for _, idea, _ in found], phase=phase),
        ),
        further_ideas=number - len(found),
        voided=voided_votes(session, round.id, phase=phase),
    )


def voided_votes(session: Session, round_id: UUID, *, phase: str) -> dict[str, int]:
    """How many votes of a round were voided, by reason."""
    query = select(col(Vote.void_reason), func.count()).where(
        col(Vote.round_id) == round_id, col(Vote.phase) == phase, col(Vote.void_reason).is_not(None)
    )
    return {str(reason): number for reason, number in session.execute(query.group_by(col(Vote.void_reason)))}


def shown_groups(groups: dict[Any, int]) -> set[Any]:
    """The groups that may be shown: of ten people and more, and never so that one left out follows by subtraction."""
    shown = {name for name, people in groups.items() if people >= LEAST_GROUP}
    left_out = sum(people for name, people in groups.items() if name not in shown)
    if 0 < left_out < LEAST_GROUP and shown:
        shown.remove(min(shown, key=lambda name: (groups[name], name)))
    return shown


def tally(session: Session, round: Round, *, phase: str = "live") -> Iterator[list[Line]]:
    """Every vote that stands or was voided, page by page, in the order of their random ids."""
    levels = shown_groups(turn_out(session, round.id, phase=phase))
    hours = _shown_hours(session, round.id, phase=phase)
    is_listed = or_(col(Vote.slot).is_not(None), col(Vote.void_reason).is_not(None))
    after = ""
    while True:
        query = (
            select(*(col(one) for one in (Vote.line, Vote.idea_id, Vote.presence, Vote.cast_hour, Vote.void_reason)))
            .where(col(Vote.round_id) == round.id, col(Vote.phase) == phase, is_listed, col(Vote.line) > after)
            .order_by(col(Vote.line))
            .limit(LINES_A_PAGE)
        )
        found = session.execute(query).all()
        if not found:
            return
        yield [
            Line(line, show("ide", idea), str(level) if level in levels else "", hours.get(hour, ""))
            if voided is None
            else Line(line, "", "", "", voided)
            for line, idea, level, hour, voided in found
        ]
        after = found[-1][0]


def recount(session: Session) -> list[str]:
    """The counters of votes, ballots and turn-out against the votes, in words; empty when all adds up."""
    return [
        *_compare("votes of ideas", _stored_votes(session), _counted_votes(session)),
        *_compare("votes of ballots", _stored_ballots(session), _counted_ballots(session)),
        *_compare("turn-out", _stored_turn_out(session), _counted_turn_out(session)),
        *missions.differences(session, _counted_of_missions(session), ("votes",)),
    ]


def _beside(session: Session, round: Round, idea_ids: Sequence[UUID], *, phase: str) -> dict[UUID, int]:
    """The votes in a round of the ideas that were merged into each of these."""
    query = (
        select(col(Idea.merged_into_id), func.sum(col(VoteCounter.votes)))
        .join(VoteCounter, col(VoteCounter.idea_id) == col(Idea.id))
        .where(col(Idea.merged_into_id).in_(idea_ids), col(VoteCounter.round_id) == round.id)
        .where(col(VoteCounter.phase) == phase)
        .group_by(col(Idea.merged_into_id))
    )
    return {into: int(votes) for into, votes in session.execute(query) if into is not None}


def _ranked(found: Sequence[tuple[int, Idea, str]], beside: dict[UUID, int]) -> list[Ranked]:
    ranking: list[Ranked] = []
    for place, (votes, idea, name) in enumerate(found, 1):
        rank = ranking[-1].rank if ranking and ranking[-1].votes == votes else place
        ranking.append(
            Ranked(
                rank=rank,
                idea_id=idea.id,
                text="" if idea.hidden_rule else idea.text,
                pseudonym=name,
                votes=votes,
                state=idea.state,
                hidden_rule=idea.hidden_rule,
                merged_into_id=idea.merged_into_id,
                beside=beside.get(idea.id, 0),
            )
        )
    return ranking


def _standing(round_id: UUID, phase: str) -> tuple[Any, ...]:
    return col(Vote.round_id) == round_id, col(Vote.phase) == phase, col(Vote.slot).is_not(None)


def _shown_hours(session: Session, round_id: UUID, *, phase: str) -> dict[int, str]:
    """The hours in which ten people or more voted, as text."""
    people = func.count(col(Vote.ballot_id).distinct())
    query = select(col(Vote.cast_hour), people).where(*_standing(round_id, phase)).group_by(col(Vote.cast_hour))
    return {
        hour: f"{instant_of_hour(hour):%Y-%m-%dT%H:00Z}"
        for hour, number in session.execute(query)
        if number >= LEAST_GROUP
    }


def _stored_votes(session: Session) -> dict[Any, int]:
    rows = session.execute(select(VoteCounter)).scalars()
    return {(row.round_id, row.phase, row.idea_id): row.votes for row in rows}


def _counted_votes(session: Session) -> dict[Any, int]:
    key = (col(Vote.round_id), col(Vote.phase), col(Vote.idea_id))
    query = select(*key, func.count()).where(col(Vote.slot).is_not(None)).group_by(*key)
    return {(one, phase, idea): number for one, phase, idea, number in session.execute(query)}


def _stored_ballots(session: Session) -> dict[Any, int]:
    rows = session.execute(select(col(Ballot.round_id), col(Ballot.id), col(Ballot.live)).where(col(Ballot.live) != 0))
    return {(round_id, id): live for round_id, id, live in rows}


def _counted_ballots(session: Session) -> dict[Any, int]:
    key = (col(Vote.round_id), col(Vote.ballot_id))
    query = select(*key, func.count()).where(col(Vote.slot).is_not(None)).group_by(*key)
    return {(round_id, id): number for round_id, id, number in session.execute(query)}


def _stored_turn_out(session: Session) -> dict[Any, int]:
    rows = session.execute(select(TurnOut)).scalars()
    return {(row.round_id, row.phase, row.presence): row.voters for row in rows}


def _counted_turn_out(session: Session) -> dict[Any, int]:
    key = (col(Vote.round_id), col(Vote.phase), col(Vote.presence))
    people = func.count(col(Vote.ballot_id).distinct())
    query = select(*key, people).where(col(Vote.slot).is_not(None)).group_by(*key)
    return {(one, phase, level): number for one, phase, level, number in session.execute(query)}


def _counted_of_missions(session: Session) -> dict[tuple[UUID, str, str], int]:
    key = (col(Round.mission_id), col(Vote.phase))
    query = (
        select(*key, func.count())
        .join(Round, col(Round.id) == Vote.round_id)
        .where(col(Vote.slot).is_not(None))
        .group_by(*key)
    )
    return {(mission_id, phase, "votes"): number for mission_id, phase, number in session.execute(query)}


def _compare(what: str, stored: dict[Any, int], counted: dict[Any, int]) -> list[str]:
    return [
        f"{what} of {show('rnd', key[0])} ({', '.join(str(part) for part in key[1:])}): "
        f"{stored.get(key, 0)} stored, {counted.get(key, 0)} counted"
        for key in sorted(stored.keys() | counted.keys(), key=str)
        if stored.get(key, 0) != counted.get(key, 0)
    ]
