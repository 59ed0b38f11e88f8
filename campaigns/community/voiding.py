"""Voiding votes: those of a ballot whose proof went, and the vote steps that rest on them; once, visibly (I19).

Locks come in the order of a vote: membership, ballot, votes, counters. A ballot whose person has another proof the
round accepts rests on that one from then on. What a void leaves behind names the round and no vote: a row that led from
the scan to a vote would tell whose it is.
"""

import secrets
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import missions
from campaigns.community.ballots import proofs_of
from campaigns.community.models import Ballot, Round, TurnOut, VoidReason, Vote, VoteCounter, VoteState
from campaigns.community.secrecy import act_of, proof_of, voter_of
from campaigns.community.vote_steps import settle_steps
from campaigns.last_writes import add_up_last
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.scans import CheckIn, Effect, Voided

Key = tuple[UUID, str, Any]  # round, phase, and the idea or the level of presence


@dataclass
class Moves:
    """What the counters of votes have to move by, gathered: ideas first, then people, then missions."""

    ideas: Counter[Key] = field(default_factory=Counter)
    people: Counter[Key] = field(default_factory=Counter)
    missions: Counter[tuple[UUID, str]] = field(default_factory=Counter)

    def write(self, session: Session) -> None:
        """Move them, with the last writes."""
        for table, moved, third, amount in (
            (VoteCounter, self.ideas, "idea_id", "votes"),
            (TurnOut, self.people, "presence", "voters"),
        ):
            for (round_id, phase, one), number in moved.items():
                add_up_last(session, table, {"round_id": round_id, "phase": phase, third: one}, **{amount: number})
        for (mission_id, phase), number in self.missions.items():
            missions.count_in(session, mission_id, "votes", number, phase=phase)


def void_ballots(session: Session, voided: Voided, now: datetime) -> list[Effect]:
    """Void the votes of the ballots that a voided scan opened, in the transaction that voids it; what was undone."""
    act = voided.check_in
    if act is None:
        return []
    missions.hold_people(session, voided)
    opened = select(Ballot).where(Ballot.proof == proof_of(voided.ballot_secret, voided.scan_id)).with_for_update()
    ballots = session.exec(opened.order_by(col(Ballot.id)).execution_options(populate_existing=True)).all()
    moves, effects = Moves(), []
    cast = [ballot for ballot in ballots if ballot.live]  # the others carry nothing, and may be of a merged name
    for ballot in ballots:
        is_kept = _rest_elsewhere(session, ballot, act, voided.ballot_secret, moves)
        if not is_kept:
            void_votes(session, standing_votes(session, ballot), VoidReason.SCAN_VOIDED, moves)
            ballot.is_void = True
            session.flush()
        if ballot in cast:
            effects.append(Effect("ballot", ballot.round_id, "kept" if is_kept else "reversed"))
    moves.write(session)
    if cast:
        mission = session.get_one(Mission, session.get_one(Round, cast[0].round_id).mission_id)
        voter, person_id, phase = cast[0].voter, act.participant_id, act.phase
        effects += settle_steps(session, mission, voter, person_id, phase, reason=voided.reason, now=now)
    return effects


def void_vote(
    session: Session, mission: Mission, participant_id: UUID, phase: str, client_id: str, secret: bytes, now: datetime
) -> list[Effect]:
    """Void the vote that an act of a person cast, by what the act was called; nothing where none of it stands.

    The person's membership is held, as by a vote. Of who was erased no vote is found: it is nobody's.
    """
    missions.hold_membership(session, mission.id, participant_id, phase)
    voter = voter_of(secret, participant_id)
    mine = (Vote.voter == voter, Vote.cast_key == act_of(secret, client_id), Vote.phase == phase)
    found = session.exec(select(Vote).where(*mine, col(Vote.slot).is_not(None)).with_for_update()).first()
    if found is None:
        return []
    moves = Moves()
    void_votes(session, [found], VoidReason.RECORD_VOIDED, moves)
    moves.write(session)
    effects = [Effect("vote", found.round_id)]
    return effects + settle_steps(
        session, mission, voter, participant_id, phase, reason=VoidReason.RECORD_VOIDED, now=now
    )


def void_votes(session: Session, votes: Iterable[Vote], reason: VoidReason, moves: Moves) -> None:
    """Void votes that stand, all of one ballot; its person is held.

    Their lines in the tally change: who kept an earlier download could tell what a voided person had chosen.
    """
    found = list(votes)
    for vote in found:
        vote.slot, vote.state, vote.void_reason, vote.line = None, VoteState.VOIDED, reason, secrets.token_hex(8)
        session.add(vote)
        moves.ideas[vote.round_id, vote.phase, vote.idea_id] -= 1
    if found:
        ballot, round = session.get_one(Ballot, found[0].ballot_id), session.get_one(Round, found[0].round_id)
        carry(session, ballot, ballot.live - len(found), moves)
        moves.missions[round.mission_id, ballot.phase] -= len(found)


def carry(session: Session, ballot: Ballot, live: int, moves: Moves) -> None:
    """Set how many votes of a ballot stand, and count its person in the turn-out or not."""
    moves.people[ballot.round_id, ballot.phase, ballot.presence] += bool(live) - bool(ballot.live)
    ballot.live = live
    session.add(ballot)
    session.flush()


def standing_votes(session: Session, ballot: Ballot) -> Sequence[Vote]:
    """The votes of a ballot that stand, in the order of their slots."""
    votes = select(Vote).where(Vote.ballot_id == ballot.id, col(Vote.slot).is_not(None)).order_by(col(Vote.slot))
    return session.exec(votes.execution_options(populate_existing=True)).all()


def _rest_elsewhere(session: Session, ballot: Ballot, act: CheckIn, secret: bytes, moves: Moves) -> bool:
    """Let a ballot rest on another proof of its person that its round accepts; whether there is one."""
    round = session.get_one(Round, ballot.round_id)
    person = session.get_one(Participant, act.participant_id)
    for proof in proofs_of(session, round, act.campaign_id, person, secret=secret, phase=ballot.phase):
        spent = select(Ballot).where(Ballot.round_id == round.id, Ballot.phase == ballot.phase)
        other = session.exec(spent.where(Ballot.proof == proof.key)).first()
        if other is not None and other.live:
            continue
        if other is not None:  # one of theirs that carries nothing, from before two names of theirs were merged
            _set_proof(session, other, None)
        voided = ballot.proof
        _set_proof(session, ballot, proof.key)
        if other is not None:
            _set_proof(session, other, voided)
        show_presence(session, ballot, proof.presence, moves)
        return True
    return False


def show_presence(session: Session, ballot: Ballot, presence: int, moves: Moves) -> None:
    """Let a ballot and its votes that stand have another level of presence."""
    people = int(bool(ballot.live))
    moves.people[ballot.round_id, ballot.phase, ballot.presence] -= people
    moves.people[ballot.round_id, ballot.phase, presence] += people
    ballot.presence = presence
    session.add(ballot)
    session.flush()
    standing = (col(Vote.ballot_id) == ballot.id, col(Vote.slot).is_not(None))
    session.execute(
        update(Vote).where(*standing).values(presence=presence).execution_options(synchronize_session=False)
    )


def _set_proof(session: Session, ballot: Ballot, proof: str | None) -> None:
    ballot.proof = proof
    session.add(ballot)
    session.flush()
