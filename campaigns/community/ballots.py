"""Voting: one vote per person and idea, a quota a round, one ballot a proof, nothing outside the window.

Each of the four is settled by the database: UNIQUE over idea, over slot and over proof, and an INSERT or UPDATE that
tests the round's window (I7 to I9). The round is held from the first look at its rules to the commit, so that they
cannot change under a vote. Locks are taken in one order: participant, round, membership, ballot, vote, counters.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import bindparam, exists, or_, select, update
from sqlalchemy.orm import aliased
from sqlmodel import Session, col
from sqlmodel import select as rows

from campaigns import missions, prepared, scans
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
from campaigns.community.vote_steps import settle_steps
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.events import record_event
from campaigns.ids import first_of, parse
from campaigns.last_writes import add_up_last
from campaigns.missions import Mission, Step, StepKind
from campaigns.missions.models import CompletionState
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.storage import changed, columns_of, insert_into, insert_once, is_shared

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
    steps: Sequence[Step] | None = None,
    now: datetime,
) -> Cast:
    """Vote for an idea, in the open round when none is named; completes the mission's vote step, one of its `steps`.

    A repeat of `client_id` returns the first vote, after the close too.
    Forbidden for who is under 15 or lacks the presence the round asks for, NotFound for an idea of another mission,
    Conflict for an idea that takes none (`idea_closed`), a second vote for it (`already_voted`), a spent quota
    (`quota_used`), a spent proof (`proof_used`), a closed round or campaign.
    """
    voter, act = voter_of(secret, person.id), act_of(secret, client_id)
    first = _cast_by(session, voter, act)
    if first is not None:
        return _answer(session, session.get_one(Round, first.round_id), first, is_replay=True)
    if person.is_under_15:
        raise Forbidden(UNDER_AGE, code="under_age")
    phase = missions.require_open(campaign, now=now)
    round = _hold(session, round_id or require_round(session, mission.id, now=now).id, phase=phase, now=now)
    _require_votable(session, mission, idea_id, phase=phase)
    # Before the proofs are read: a void of one of them holds the membership too, and comes before this or after it.
    missions.take_part(session, mission, person, phase=phase, rules_version_id=rules_version_id, now=now)
    ballot = _ballot_of(session, round, mission, person, voter, secret=secret, phase=phase)
    values: dict[str, Any] = {
        "id": uuid4(),
        "round_id": round.id,
        "ballot_id": ballot.id,
        "idea_id": idea_id,
        "phase": phase,
        "voter": voter,
        "slot": None,
        "state": VoteState.CAST.value,
        "presence": ballot.presence,
        "cast_hour": hour_of(now),
        "line": secrets.token_hex(8),
        "cast_key": act,
        "withdrawal_key": None,
        "void_reason": None,
        "rules_version_id": rules_version_id,
    }
    vote = prepared.as_loaded(Vote, values)
    stored, left = _take_a_slot(session, round, vote, now=now)
    if stored.id != vote.id:
        return Cast(stored, round, left, is_replay=True)
    _count(session, mission, stored, +1)
    known = missions.steps_of(session, mission.id) if steps is None else steps
    _complete_step(session, mission, known, campaign, person, round, ballot, phase=phase, now=now)
    record_event(session, "vote.cast", now=now, round_id=round.id, mission_id=mission.id)
    return Cast(stored, round, left, is_replay=False)


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

    Conflict when no vote for that idea stands (`not_voted`), and when the round or the campaign is closed. The vote
    step counts votes that stand: who takes the last one back that it counted has it open again, and can do it anew.
    """
    voter, act = voter_of(secret, person.id), act_of(secret, client_id)
    first = _withdrawn_by(session, voter, act)
    if first is not None:
        return _answer(session, session.get_one(Round, first.round_id), first, is_replay=True)
    phase = missions.require_open(campaign, now=now)
    round = _hold(session, round_id or require_round(session, mission.id, now=now).id, phase=phase, now=now)
    missions.hold_membership(session, mission.id, person.id, phase)
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
    settle_steps(session, mission, voter, person.id, phase, reason=VoteState.WITHDRAWN, now=now)
    record_event(session, "vote.withdrawn", now=now, round_id=round.id, mission_id=mission.id)
    return _answer(session, round, vote, is_replay=False)


def proofs_of(
    session: Session, round: Round, campaign_id: UUID, person: Participant, *, secret: bytes, phase: str
) -> list[Proof]:
    """The check-ins of a person that this round accepts, the best first; where it asks for none, the person alone.

    Of an electorate of visitors they are visits to its places within its window, by the instant of the scan.
    """
    at: dict[str, Any] = {"campaign": campaign_id, "person": person.id, "in_phase": phase, "least": round.min_presence}
    if round.electorate == Electorate.VISITORS:
        at |= {"opens": first_of(round.opens_at), "closes": first_of(round.closes_at)}
    if round.place_ids is not None:
        at["places"] = [parse("plc", one) for one in round.place_ids]
    visitors, placed = "opens" in at, "places" in at
    query = _proofs(visitors=visitors, placed=placed)
    found = session.execute(query, at).all() if placed else prepared.rows(session, query, **at)
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
    """A person's ballot in a round, read anew; None before their first vote, and while it is void."""
    return prepared.load(session, _BALLOT, Ballot, round=round_id, in_phase=phase, voter=voter)


def voted_ideas(session: Session, round_id: UUID, voter: str) -> set[UUID]:
    """The ideas a person's votes of a round stand for."""
    query = select(col(Vote.idea_id)).where(
        col(Vote.round_id) == round_id, col(Vote.voter) == voter, col(Vote.slot).is_not(None)
    )
    return set(session.execute(query).scalars())


def _hold(session: Session, round_id: UUID, *, phase: str, now: datetime) -> Round:
    """The round as it stands, held to the commit; its rules freeze with the first vote, a pilot's too, no draft's.

    The UPDATE comes first: two first voters who both held the row already would wait for each other. A round that was
    frozen stays so.
    """
    counts = phase != "draft"
    found = prepared.load(session, _ROUND if counts else _ROUND_HELD, Round, round=round_id)
    if counts and found is not None and found.first_vote_at is None:
        prepared.change(session, _FREEZE, {"round": round_id, "now": now})
    elif not counts or not is_shared(session):
        return _required(found)
    return _required(prepared.load(session, _ROUND_HELD, Round, round=round_id))


def _required(found: Round | None) -> Round:
    assert found is not None  # noqa: S101  # it was named by its own id, and none is ever deleted alone
    return found


def _require_votable(session: Session, mission: Mission, idea_id: UUID, *, phase: str) -> None:
    at = {"idea": idea_id, "mission": mission.id, "in_phase": phase}
    found = prepared.value(session, _STATE_OF_IDEA, **at)
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
        mine = {"round_id": round.id, "phase": phase, "voter": voter}
        fields: dict[str, Any] = {**mine, "proof": proof.key, "presence": proof.presence}
        opened = {"id": uuid4(), **fields, "live": 0, "is_void": False}
        if insert_once(session, Ballot, **opened):
            return prepared.as_loaded(Ballot, opened)
        _open_again(session, fields)
        found = find_ballot(session, round.id, voter, phase=phase)
        if found is not None:
            return found
    raise Conflict(SPENT, code="proof_used")


def _open_again(session: Session, fields: dict[str, Any]) -> None:
    """Open a ballot that is void by another proof, unless that one opened a ballot too."""
    key = [col(getattr(Ballot, name)) == fields[name] for name in ("round_id", "phase", "voter")]
    other = aliased(Ballot)
    spent = exists().where(*(getattr(other, name) == fields[name] for name in ("round_id", "phase", "proof")))
    again = update(Ballot).where(*key, col(Ballot.is_void), ~spent).values({**fields, "is_void": False})
    session.execute(again.execution_options(synchronize_session=False))


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


def _take_a_slot(session: Session, round: Round, vote: Vote, *, now: datetime) -> tuple[Vote, int]:
    """Store the vote in the voter's first free slot, and how many are left; its twin's when that was first (I7, I9).

    A slot that another vote of theirs took meanwhile is refused by its UNIQUE, and the next one is tried.
    """
    for _ in range(2 * round.quota + 1):
        taken = _slots(session, round.id, vote)
        slot = next((one for one in range(1, round.quota + 1) if one not in taken), None)
        if slot is not None and _insert(session, vote, slot, now=now):
            return vote, round.quota - len(taken) - 1
        first = _cast_by(session, vote.voter, vote.cast_key)
        if first is not None:
            return first, round.quota - len(taken)
        _require_open(round, now)
        if vote.idea_id in voted_ideas(session, round.id, vote.voter):
            raise Conflict("You voted for this idea already.", code="already_voted")
        if slot is None:
            raise Conflict(f"You have used your {round.quota} votes. Take one back to change it.", code="quota_used")
    raise Conflict("Too many votes of yours arrive at once. Try again in a moment.", code="busy")


def _cast_by(session: Session, voter: str, act: str) -> Vote | None:
    id = prepared.value(session, _CAST_BY, voter=voter, act=act)
    return session.get_one(Vote, id) if id is not None else None


def _slots(session: Session, round_id: UUID, vote: Vote) -> set[int | None]:
    at = {"round": round_id, "in_phase": vote.phase, "voter": vote.voter}
    return {slot for (slot,) in prepared.rows(session, _SLOTS, **at)}


def _insert(session: Session, vote: Vote, slot: int, *, now: datetime) -> bool:
    """Store a vote where its round is open at `now`; whether it went in."""
    new = {f"new_{name}": getattr(vote, name) for name in _VOTE_COLUMNS} | {"new_slot": slot}
    if not prepared.change(session, _insert_while_open(session.get_bind().dialect.name), new | {"now": now}):
        return False
    vote.slot = slot
    return True


@cache
def _insert_while_open(dialect: str) -> Any:
    names = [column.name for column in columns_of(Vote)]
    new = (bindparam(f"new_{name}", type_=columns_of(Vote)[name].type) for name in names)
    rounds = columns_of(Round)
    chosen = select(*new).where(
        rounds.id == bindparam("new_round_id"), rounds.opens_at <= bindparam("now"), rounds.closes_at > bindparam("now")
    )
    return insert_into(dialect, Vote).from_select(names, chosen).on_conflict_do_nothing()


@cache
def _proofs(*, visitors: bool, placed: bool) -> Any:
    acts = columns_of(CheckIn)
    query = (
        select(acts.scan_id, acts.presence)
        .where(
            acts.participant_id == bindparam("person"),
            acts.campaign_id == bindparam("campaign"),
            acts.phase == bindparam("in_phase"),
            or_(*(acts.verdict == one.value for one in (*scans.EARNING, scans.Verdict.TEST))),
            acts.presence >= bindparam("least"),
        )
        .order_by(acts.presence.desc(), acts.id)
        .limit(PROOFS_READ)
    )
    if visitors:
        window = (acts.scan_id >= bindparam("opens"), acts.scan_id < bindparam("closes"))
        query = query.where(acts.place_id.is_not(None), *window)
    return query.where(acts.place_id.in_(bindparam("places", expanding=True))) if placed else query


_VOTES, _IDEAS, _BALLOTS, _ROUNDS = columns_of(Vote), columns_of(Idea), columns_of(Ballot), columns_of(Round)
_VOTE_COLUMNS = [column.name for column in _VOTES]
_BALLOT = select(*_BALLOTS).where(
    _BALLOTS.round_id == bindparam("round"),
    _BALLOTS.phase == bindparam("in_phase"),
    _BALLOTS.voter == bindparam("voter"),
    _BALLOTS.is_void.is_(False),
)
_ROUND = select(*_ROUNDS).where(_ROUNDS.id == bindparam("round"))
_ROUND_HELD = _ROUND.with_for_update(read=True)
_FREEZE = (
    update(Round.__table__)  # type: ignore[attr-defined]  # SQLModel does not type it
    .where(_ROUNDS.id == bindparam("round"), _ROUNDS.first_vote_at.is_(None))
    .values(first_vote_at=bindparam("now"))
)
_CAST_BY = select(_VOTES.id).where(_VOTES.voter == bindparam("voter"), _VOTES.cast_key == bindparam("act"))
_SLOTS = select(_VOTES.slot).where(
    _VOTES.round_id == bindparam("round"),
    _VOTES.phase == bindparam("in_phase"),
    _VOTES.voter == bindparam("voter"),
    _VOTES.slot.is_not(None),
)
_COUNT_ON_BALLOT = (
    update(Ballot.__table__)  # type: ignore[attr-defined]  # SQLModel does not type it
    .where(_BALLOTS.id == bindparam("ballot"))
    .values(live=_BALLOTS.live + bindparam("number"))
    .returning(_BALLOTS.live)
)
_STATE_OF_IDEA = select(_IDEAS.state).where(
    _IDEAS.id == bindparam("idea"), _IDEAS.mission_id == bindparam("mission"), _IDEAS.phase == bindparam("in_phase")
)


def _require_open(round: Round, now: datetime) -> None:
    """What the statement that tested the window found, in words."""
    if round.is_over(now):
        raise Conflict("The vote is closed: its result stands.", code="round_over")
    if not round.is_open(now):
        raise Conflict("The vote has not opened yet.", code="round_ahead")


def _count(session: Session, mission: Mission, vote: Vote, number: int) -> None:
    """Move the counters of the vote's ballot, idea, level of presence and mission, in this order."""
    live = prepared.value(session, _COUNT_ON_BALLOT, ballot=vote.ballot_id, number=number)
    key = {"round_id": vote.round_id, "phase": vote.phase}
    add_up_last(session, VoteCounter, {**key, "idea_id": vote.idea_id}, votes=number)
    if live == max(number, 0):  # the first of theirs that stands, or the last one that stood
        add_up_last(session, TurnOut, {**key, "presence": vote.presence}, voters=number)
    missions.count(session, mission, "votes", number, phase=vote.phase)


def _complete_step(
    session: Session,
    mission: Mission,
    steps: Sequence[Step],
    campaign: Campaign,
    person: Participant,
    round: Round,
    ballot: Ballot,
    *,
    phase: str,
    now: datetime,
) -> None:
    """Complete the vote step, where the ballot reaches it. It names the round: no row joins person and vote."""
    step = next((one for one in steps if one.kind == StepKind.VOTE), None)
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
