"""Voting: one vote per person and idea, a quota a round, one ballot a proof, nothing outside the window.

Each of the four is settled by the database: UNIQUE over idea, over slot and over proof, and an INSERT or UPDATE that
tests the round's window (I7 to I9). The round is held from the first look at its rules to the commit, so that they
cannot change under a vote. Locks are taken in one order: participant, round, ballot, vote, counters.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import Integer, String, Uuid, exists, literal, select, update
from sqlmodel import Session, col
from sqlmodel import select as rows

from campaigns import missions, scans
from campaigns.clock import hour_of
from campaigns.community.models import (
    VOTABLE,
    Ballot,
    Electorate,
    Idea,
    Round,
    TurnOut,
    Vote,
    VoteCounter,
    VoteState,
)
from campaigns.community.rounds import require_round
from campaigns.community.secrecy import act_of, proof_of, voter_of
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.events import record_event
from campaigns.ids import first_of, parse
from campaigns.missions import Mission, StepKind
from campaigns.missions.models import CompletionState
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.storage import add_up, changed, insert_once, upsert

UNDER_AGE = "Votes can be cast from 15 years on. You can go on checking in. If this is a mistake, ask us to mend it."
SPENT = "This proof of presence opened a ballot already. Check in again."
PROOFS_READ = 10  # of one person's check-ins, the best first: more are no better


@dataclass(frozen=True)
class Cast:
    """A vote as it stands, or one that was taken back; `left` is how many the person still has in its round."""

    vote: Vote
    round: Round
    left: int
    is_replay: bool


@dataclass(frozen=True)
class Proof:
    """What opens a ballot: the level of presence, and the key of the check-in that showed it (None: nothing had to)."""

    presence: int
    key: str | None


def cast_vote(
    session: Session,
    round_id: UUID | None,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    *,
    idea_id: UUID,
    client_id: str,
    secret: bytes,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> Cast:
    """Vote for an idea, in the open round when none is named; completes the mission's vote step.

    A repeat of `client_id` returns the first vote, after the close too.
    Forbidden for who is under 15 or lacks the presence the round asks for, NotFound for an idea of another mission,
    Conflict for an idea that takes none (`idea_closed`), a second vote for it (`already_voted`), a spent quota
    (`quota_used`), a spent proof (`proof_used`), a closed round or campaign.
    """
    voter, act = voter_of(secret, person.id), act_of(secret, person.id, client_id)
    first = session.exec(rows(Vote).where(Vote.voter == voter, Vote.cast_key == act)).first()
    if first is not None:
        return _answer(session, session.get_one(Round, first.round_id), first, is_replay=True)
    if person.is_under_15:
        raise Forbidden(UNDER_AGE, code="under_age")
    phase = missions.require_open(campaign, now=now)
    round = _hold(session, round_id or require_round(session, mission.id, now=now).id, phase=phase, now=now)
    _require_votable(session, mission, idea_id, phase=phase)
    ballot = _ballot_of(session, round, mission, person, voter, secret=secret, phase=phase)
    missions.take_part(session, mission, person, phase=phase, rules_version_id=rules_version_id, now=now)
    vote = Vote(
        id=uuid4(),
        round_id=round.id,
        ballot_id=ballot.id,
        idea_id=idea_id,
        phase=phase,
        voter=voter,
        presence=ballot.presence,
        cast_hour=hour_of(now),
        line=secrets.token_hex(8),
        cast_key=act,
        rules_version_id=rules_version_id,
    )
    stored = _take_a_slot(session, round, vote, now=now)
    if stored.id != vote.id:
        return _answer(session, round, stored, is_replay=True)
    _count(session, mission, stored, +1)
    _complete_step(session, mission, campaign, person, round, ballot, phase=phase, now=now)
    record_event(session, "vote.cast", now=now, round_id=round.id, mission_id=mission.id)
    return _answer(session, round, stored, is_replay=False)


def withdraw_vote(
    session: Session,
    round_id: UUID | None,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    *,
    idea_id: UUID,
    client_id: str,
    secret: bytes,
    now: datetime,
) -> Cast:
    """Take a vote back before the close; it may be cast again. A repeat of `client_id` returns the first answer.

    Conflict when no vote for that idea stands (`not_voted`), and when the round or the campaign is closed. What the
    vote completed stays: the person did vote.
    """
    voter, act = voter_of(secret, person.id), act_of(secret, person.id, client_id)
    first = _withdrawn_by(session, voter, act)
    if first is not None:
        return _answer(session, session.get_one(Round, first.round_id), first, is_replay=True)
    phase = missions.require_open(campaign, now=now)
    round = _hold(session, round_id or require_round(session, mission.id, now=now).id, phase=phase, now=now)
    stands = [col(Vote.round_id) == round.id, col(Vote.voter) == voter, col(Vote.idea_id) == idea_id]
    window = exists().where(col(Round.id) == round.id, col(Round.opens_at) <= now, col(Round.closes_at) > now)
    taken = (
        update(Vote)
        .where(*stands, col(Vote.slot).is_not(None), window)
        .values(slot=None, state=VoteState.WITHDRAWN.value, withdrawal_key=act)
        .execution_options(synchronize_session=False)
    )
    if not changed(session, taken):
        first = _withdrawn_by(session, voter, act)  # its twin was first
        if first is not None:
            return _answer(session, round, first, is_replay=True)
        _require_open(round, now)
        raise Conflict("You have no vote for this idea.", code="not_voted")
    vote = _fresh(session, Vote.withdrawal_key == act, Vote.voter == voter)
    _count(session, mission, vote, -1)
    record_event(session, "vote.withdrawn", now=now, round_id=round.id, mission_id=mission.id)
    return _answer(session, round, vote, is_replay=False)


def proofs_of(
    session: Session, round: Round, campaign_id: UUID, person: Participant, *, secret: bytes, phase: str
) -> list[Proof]:
    """The check-ins of a person that this round accepts, the best first; where it asks for none, the person alone.

    Of an electorate of visitors they are visits to its places within its window, by the instant of the scan.
    """
    query = (
        select(col(CheckIn.scan_id), col(CheckIn.presence))
        .where(*_earning(campaign_id, person, phase), col(CheckIn.presence) >= round.min_presence)
        .order_by(col(CheckIn.presence).desc(), col(CheckIn.id))
        .limit(PROOFS_READ)
    )
    if round.electorate == Electorate.VISITORS:
        opens, closes = first_of(round.opens_at), first_of(round.closes_at)
        query = query.where(
            col(CheckIn.place_id).is_not(None), col(CheckIn.scan_id) >= opens, col(CheckIn.scan_id) < closes
        )
    if round.place_ids is not None:
        query = query.where(col(CheckIn.place_id).in_([parse("plc", one) for one in round.place_ids]))
    found = session.execute(query).all()
    if round.min_presence == 0:
        return [Proof(found[0].presence if found else 0, None)]
    return [Proof(presence, proof_of(secret, scan_id)) for scan_id, presence in found]


def has_opened(session: Session, round_id: UUID, proofs: Sequence[Proof], *, phase: str) -> bool:
    """Whether every one of these proofs opened a ballot of the round already."""
    keys = {proof.key for proof in proofs}
    query = select(col(Ballot.proof)).where(
        col(Ballot.round_id) == round_id, col(Ballot.phase) == phase, col(Ballot.proof).in_(keys)
    )
    return bool(keys) and keys <= set(session.execute(query).scalars())


def find_ballot(session: Session, round_id: UUID, voter: str, *, phase: str) -> Ballot | None:
    """A person's ballot in a round, read anew; None before their first vote."""
    return session.exec(
        rows(Ballot)
        .where(Ballot.round_id == round_id, Ballot.phase == phase, Ballot.voter == voter)
        .execution_options(populate_existing=True)
    ).first()


def voted_ideas(session: Session, round_id: UUID, voter: str) -> set[UUID]:
    """The ideas a person's votes of a round stand for."""
    query = select(col(Vote.idea_id)).where(
        col(Vote.round_id) == round_id, col(Vote.voter) == voter, col(Vote.slot).is_not(None)
    )
    return set(session.execute(query).scalars())


def _hold(session: Session, round_id: UUID, *, phase: str, now: datetime) -> Round:
    """The round as it stands, held to the commit; its rules freeze with the first vote that counts.

    The UPDATE comes first: two first voters who both held the row already would wait for each other.
    """
    if phase == "live":
        mine = col(Round.id) == round_id
        freeze = update(Round).where(mine, col(Round.first_vote_at).is_(None)).values(first_vote_at=now)
        session.execute(freeze.execution_options(synchronize_session=False))
    query = rows(Round).where(Round.id == round_id).with_for_update(read=True)
    return session.exec(query.execution_options(populate_existing=True)).one()


def _require_votable(session: Session, mission: Mission, idea_id: UUID, *, phase: str) -> None:
    found = session.execute(
        select(col(Idea.state)).where(
            col(Idea.id) == idea_id, col(Idea.mission_id) == mission.id, col(Idea.phase) == phase
        )
    ).scalar()
    if found is None:
        raise NotFound("There is no such idea in this mission.")
    if found not in VOTABLE:
        raise Conflict("This idea takes no votes any more.", code="idea_closed")


def _ballot_of(
    session: Session, round: Round, mission: Mission, person: Participant, voter: str, *, secret: bytes, phase: str
) -> Ballot:
    """The person's ballot, opened now if need be: UNIQUE lets one voter and one proof open one (I8)."""
    found = find_ballot(session, round.id, voter, phase=phase)
    if found is not None:
        return found
    proofs = proofs_of(session, round, mission.campaign_id, person, secret=secret, phase=phase)
    if not proofs:
        raise unproven(round)
    for proof in proofs:
        insert_once(
            session,
            Ballot,
            id=uuid4(),
            round_id=round.id,
            phase=phase,
            voter=voter,
            proof=proof.key,
            presence=proof.presence,
            live=0,
        )
        found = find_ballot(session, round.id, voter, phase=phase)
        if found is not None:
            return found
    raise Conflict(SPENT, code="proof_used")


def _earning(campaign_id: UUID, person: Participant, phase: str) -> tuple[Any, ...]:
    return (
        col(CheckIn.participant_id) == person.id,
        col(CheckIn.campaign_id) == campaign_id,
        col(CheckIn.phase) == phase,
        col(CheckIn.verdict).in_([*scans.EARNING, scans.Verdict.TEST]),
    )


def unproven(round: Round) -> Forbidden:
    """What this round asks for, to somebody who did not show it."""
    if round.electorate == Electorate.VISITORS:
        return Forbidden(
            "This vote is for people who come to its shops while it is open. Scan a code there and check in first.",
            code="visit_missing",
        )
    return Forbidden(
        "This vote is for people who showed that they were in the shop. Scan a code there and check in first.",
        code="presence_missing",
    )


def _take_a_slot(session: Session, round: Round, vote: Vote, *, now: datetime) -> Vote:
    """Store the vote in the voter's first free slot; the vote of its twin when that was first (I7, I9).

    A slot that another vote of theirs took meanwhile is refused by its UNIQUE, and the next one is tried.
    """
    for _ in range(2 * round.quota + 1):
        taken = _slots(session, round.id, vote)
        slot = next((one for one in range(1, round.quota + 1) if one not in taken), None)
        if slot is not None and _insert(session, vote, slot, now=now):
            return _fresh(session, Vote.id == vote.id)
        first = session.exec(rows(Vote).where(Vote.voter == vote.voter, Vote.cast_key == vote.cast_key)).first()
        if first is not None:
            return first
        _require_open(round, now)
        if vote.idea_id in voted_ideas(session, round.id, vote.voter):
            raise Conflict("You voted for this idea already.", code="already_voted")
        if slot is None:
            raise Conflict(f"You have used your {round.quota} votes. Take one back to change it.", code="quota_used")
    raise Conflict("Too many votes of yours arrive at once. Try again in a moment.", code="busy")


def _slots(session: Session, round_id: UUID, vote: Vote) -> set[int | None]:
    query = select(col(Vote.slot)).where(
        col(Vote.round_id) == round_id,
        col(Vote.phase) == vote.phase,
        col(Vote.voter) == vote.voter,
        col(Vote.slot).is_not(None),
    )
    return set(session.execute(query).scalars())


def _insert(session: Session, vote: Vote, slot: int, *, now: datetime) -> bool:
    """Store a vote where its round is open at `now`; whether it went in."""
    values = vote.model_dump() | {"slot": slot, "state": VoteState.CAST.value}
    kinds = {UUID: Uuid(), int: Integer(), str: String()}
    columns = Vote.__table__.c  # type: ignore[attr-defined]  # SQLModel does not type it
    chosen = select(
        *(literal(value, kinds.get(type(value), columns[name].type)) for name, value in values.items())
    ).where(col(Round.id) == vote.round_id, col(Round.opens_at) <= now, col(Round.closes_at) > now)
    statement = upsert(session, Vote).from_select(list(values), chosen).on_conflict_do_nothing()
    return changed(session, statement.execution_options(preserve_rowcount=True)) > 0


def _require_open(round: Round, now: datetime) -> None:
    """What the statement that tested the window found, in words."""
    if round.is_over(now):
        raise Conflict("The vote is closed: its result stands.", code="round_over")
    if not round.is_open(now):
        raise Conflict("The vote has not opened yet.", code="round_ahead")


def _count(session: Session, mission: Mission, vote: Vote, number: int) -> None:
    """Move the counters of the vote's ballot, idea, level of presence and mission, in this order."""
    ballot = (
        update(Ballot)
        .where(col(Ballot.id) == vote.ballot_id)
        .values(live=col(Ballot.live) + number)
        .returning(col(Ballot.live))
        .execution_options(synchronize_session=False)
    )
    live = session.execute(ballot).scalar_one()
    key = {"round_id": vote.round_id, "phase": vote.phase}
    add_up(session, VoteCounter, {**key, "idea_id": vote.idea_id}, votes=number)
    if live == max(number, 0):  # the first of theirs that stands, or the last one that stood
        add_up(session, TurnOut, {**key, "presence": vote.presence}, voters=number)
    missions.count_votes(session, mission, number, phase=vote.phase)


def _complete_step(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    person: Participant,
    round: Round,
    ballot: Ballot,
    *,
    phase: str,
    now: datetime,
) -> None:
    """Complete the vote step, where the ballot reaches it. It names the round: no row joins person and vote."""
    step = next((one for one in missions.steps_of(session, mission.id) if one.kind == StepKind.VOTE), None)
    if step is None or ballot.presence < step.min_presence:
        return
    missions.complete(
        session,
        mission,
        step,
        person,
        period=missions.period_of(step.repeat, now, campaign.time_zone),
        presence=ballot.presence,
        phase=phase,
        source_id=round.id,
        state=CompletionState.VERIFIED,
        now=now,
    )


def _withdrawn_by(session: Session, voter: str, act: str) -> Vote | None:
    return session.exec(rows(Vote).where(Vote.voter == voter, Vote.withdrawal_key == act)).first()


def _fresh(session: Session, *which: object) -> Vote:
    return session.exec(rows(Vote).where(*which).execution_options(populate_existing=True)).one()  # type: ignore[arg-type]  # expressions


def _answer(session: Session, round: Round, vote: Vote, *, is_replay: bool) -> Cast:
    return Cast(vote, round, round.quota - len(_slots(session, round.id, vote)), is_replay)
