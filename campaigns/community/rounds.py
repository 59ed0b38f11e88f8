"""Rounds: the ballots of a mission, one open at a time, and rules that freeze at the first vote (I9)."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import places, prepared
from campaigns.community.models import Electorate, Round, Totals
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.ids import show, uuid7_at
from campaigns.missions import Mission
from campaigns.places import Place
from campaigns.planning import Campaign, State
from campaigns.storage import columns_of, find_own, newest

QUOTAS = (1, 20)
MAX_PLACES = 500


@dataclass(frozen=True)
class RoundPlan:
    """A round as a marketer describes it."""

    opens_at: datetime
    closes_at: datetime
    quota: int = 1
    min_presence: int = 0
    electorate: Electorate = Electorate.EVERYBODY
    place_ids: tuple[str, ...] | None = None
    totals: Totals = Totals.HIDDEN


def plan_round(session: Session, mission: Mission, plan: RoundPlan, *, now: datetime) -> Round:
    """Make a round of a mission.

    Invalid for a window that is over or ends before it begins, and for visitors without proof. Conflict
    (`rounds_overlap`) when another round of the mission is open at the same time, and on an ended campaign.
    """
    _hold_mission(session, mission)
    if session.get_one(Campaign, mission.campaign_id).state == State.ENDED:
        raise Conflict("This campaign has ended; it takes no new round.", code="wrong_state")
    if plan.closes_at <= now:
        raise Invalid("This round would be over already.", pointer="/closes_at")
    found = Round(
        id=uuid7_at(now),
        organisation_id=mission.organisation_id,
        mission_id=mission.id,
        created_at=now,
        changed_at=now,
        **_fields(plan),
    )
    _require_sound(session, found)
    session.add(found)
    session.flush()
    return found


def change_round(session: Session, round: Round, *, now: datetime, **fields: Any) -> Round:
    """Change the rules of a round nobody has voted in; Conflict (`rules_frozen`) afterwards.

    `closes_at` alone may always come earlier, though not before now; Conflict (`round_over`) when it is over.
    """
    _hold_mission(session, session.get_one(Mission, round.mission_id))
    session.refresh(round, with_for_update=True)
    if round.is_over(now):
        raise Conflict("This round is over: its result stands.", code="round_over")
    changes = {name: value for name, value in fields.items() if _plain(value) != getattr(round, name)}
    if changes.keys() == {"closes_at"} and changes["closes_at"] < round.closes_at and round.opens_at < now:
        round.closes_at = max(changes["closes_at"], now)
    elif changes and round.first_vote_at is not None:
        raise Conflict("People have voted in this round: it can only close earlier.", code="rules_frozen")
    else:
        for name, value in changes.items():
            setattr(round, name, _plain(value))
        _require_sound(session, round)
    if changes:
        round.changed_at = now
    session.add(round)
    session.flush()
    return round


def list_rounds(session: Session, mission_id: UUID, *, before: UUID | None = None, limit: int) -> Sequence[Round]:
    """Rounds of a mission, newest first."""
    return newest(session, select(Round).where(Round.mission_id == mission_id), Round, before=before, limit=limit)


def round_by_id(session: Session, organisation_id: UUID, round_id: UUID) -> Round:
    """The organisation's round; NotFound for another's."""
    found = find_own(session, Round, organisation_id, round_id)
    if found is None:
        raise NotFound("There is no such round.")
    return found


def round_of(session: Session, mission_id: UUID, round_id: UUID) -> Round:
    """The mission's round; NotFound for another's."""
    found = session.exec(select(Round).where(Round.id == round_id, Round.mission_id == mission_id)).first()
    if found is None:
        raise NotFound("There is no such round.")
    return found


def open_round(session: Session, mission_id: UUID, *, now: datetime) -> Round | None:
    """The round of a mission that takes votes now; there is one at most."""
    return prepared.load(session, _OPEN, Round, mission=mission_id, now=now)


_ROUNDS = columns_of(Round)
_OPEN = (
    columns(*_ROUNDS)
    .where(_ROUNDS.mission_id == bindparam("mission"), _ROUNDS.opens_at <= bindparam("now"))
    .where(_ROUNDS.closes_at > bindparam("now"))
    .order_by(_ROUNDS.id)
)


def require_round(session: Session, mission_id: UUID, *, now: datetime) -> Round:
    """The open round; else Conflict, which says whether one was (`round_over`), will be (`round_ahead`) or never is."""
    found = open_round(session, mission_id, now=now)
    if found is not None:
        return found
    ahead, last = next_round(session, mission_id, now=now), last_round(session, mission_id, now=now)
    if ahead is not None:
        raise Conflict("The vote has not opened yet.", code="round_ahead")
    if last is not None:
        raise Conflict("The vote is closed: its result stands.", code="round_over")
    raise Conflict("There is no vote in this mission.", code="no_round")


def next_round(session: Session, mission_id: UUID, *, now: datetime) -> Round | None:
    """The next round to open, or None."""
    query = select(Round).where(Round.mission_id == mission_id, Round.opens_at > now)
    return session.exec(query.order_by(col(Round.opens_at))).first()


def last_round(session: Session, mission_id: UUID, *, now: datetime) -> Round | None:
    """The round that closed last, or None."""
    query = select(Round).where(Round.mission_id == mission_id, Round.closes_at <= now)
    return session.exec(query.order_by(col(Round.closes_at).desc())).first()


def _fields(plan: RoundPlan) -> dict[str, Any]:
    return {name: _plain(value) for name, value in vars(plan).items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Electorate | Totals):
        return value.value
    return list(value) if isinstance(value, tuple) else value


def _hold_mission(session: Session, mission: Mission) -> None:
    """Two rounds of one mission are planned one after the other: each then sees the other's window.

    Not so firmly that who joins the mission by a vote, and holds the round already, would wait: that is a deadlock.
    """
    session.exec(select(Mission.id).where(Mission.id == mission.id).with_for_update(key_share=True)).one()


def _require_sound(session: Session, round: Round) -> None:
    if round.closes_at <= round.opens_at:
        raise Invalid("A round closes after it opens.", pointer="/closes_at")
    if round.electorate == Electorate.VISITORS and round.min_presence < 1:
        raise Invalid("A visitor's presence is proven: `min_presence` is 1 to 3.", pointer="/min_presence")
    if round.electorate != Electorate.VISITORS and round.place_ids is not None:
        raise Invalid("Places are for the electorate `visitors`.", pointer="/place_ids")
    if round.place_ids is not None:
        _require_places(session, round)
    with session.no_autoflush:
        other = session.exec(
            select(Round.id).where(
                Round.mission_id == round.mission_id,
                Round.id != round.id,
                Round.opens_at < round.closes_at,
                Round.closes_at > round.opens_at,
            )
        ).first()
    if other is not None:
        raise Conflict(f"The round {show('rnd', other)} is open at the same time.", code="rounds_overlap")


def _require_places(session: Session, round: Round) -> None:
    if not round.place_ids:
        raise Invalid("Name at least one place, or leave `place_ids` out: all count then.", pointer="/place_ids")
    with session.no_autoflush:
        found: list[Place] = [places.place_by_name(session, round.organisation_id, one) for one in round.place_ids]
    round.place_ids = sorted({show("plc", place.id) for place in found})
