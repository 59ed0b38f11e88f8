"""What is known of acts: completions, the scans they rest on, and how those were judged."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, case, func, union
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import scans
from campaigns.clock import civil_day
from campaigns.missions import Mission, Mode, Step
from campaigns.missions.models import FriendNaming, StepCompletion, Validation
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.sponsorship.models import Pledge
from campaigns.sponsorship.reckoning import DRAWN_ON, SIGNED, Act
from campaigns.storage import columns_of, is_shared

HELD_AT_ONCE = 1_000  # people or acts of one statement

_DONE, _STEPS, _ACTS = columns_of(StepCompletion), columns_of(Step), columns_of(CheckIn)
_NAMED, _SEEN = columns_of(FriendNaming), columns_of(Validation)
_MISSIONS, _CAMPAIGNS, _PLACES = columns_of(Mission), columns_of(Campaign), columns_of(Place)
_IDS: Any = bindparam("ids", expanding=True)
# A meeting of friends rests on the check-in of each, every other offline act on its own, or on the word of a shop.
_KNOWN = (
    columns(
        _DONE.id,
        _DONE.mission_id,
        _DONE.step_id,
        _STEPS.mode,
        _DONE.participant_id,
        _DONE.phase,
        _DONE.state,
        _DONE.presence,
        _DONE.completed_at,
        _DONE.reason,
        case((_ACTS.by_staff.is_(False), _ACTS.scan_id)),
        func.coalesce(_ACTS.place_id, _SEEN.place_id),
        func.coalesce(_PLACES.time_zone, _CAMPAIGNS.time_zone),
    )
    .join_from(_DONE.id.table, _STEPS.id.table, _STEPS.id == _DONE.step_id)
    .join(_MISSIONS.id.table, _MISSIONS.id == _DONE.mission_id)
    .join(_CAMPAIGNS.id.table, _CAMPAIGNS.id == _MISSIONS.campaign_id)
    .outerjoin(_NAMED.id.table, _NAMED.id == _DONE.source_id)
    .outerjoin(_ACTS.id.table, _ACTS.id == func.coalesce(_NAMED.check_in_id, _DONE.source_id))
    .outerjoin(_SEEN.id.table, _SEEN.id == _DONE.source_id)
    .outerjoin(_PLACES.id.table, _PLACES.id == func.coalesce(_ACTS.place_id, _SEEN.place_id))
    .where(_DONE.id.in_(_IDS))
    .order_by(_DONE.completed_at, _DONE.id)
)
_RESTING = union(
    columns(_DONE.id)
    .join_from(_DONE.id.table, _ACTS.id.table, _ACTS.id == _DONE.source_id)
    .where(_ACTS.scan_id.in_(_IDS)),
    columns(_DONE.id)
    .join_from(_DONE.id.table, _NAMED.id.table, _NAMED.id == _DONE.source_id)
    .join(_ACTS.id.table, _ACTS.id == _NAMED.check_in_id)
    .where(_ACTS.scan_id.in_(_IDS)),
)
_MISSIONS_OF = columns(_DONE.mission_id).where(_DONE.id.in_(_IDS)).distinct()
_DONE_BY = columns(_DONE.participant_id).where(_DONE.id.in_(_IDS)).distinct()


def is_pledged(session: Session) -> bool:
    """Whether anybody pledged anything: the one look that everybody else pays."""
    return session.exec(select(Pledge.id).where(col(Pledge.state).in_(SIGNED)).limit(1)).first() is not None


def pledged_among(session: Session, scan_ids: Iterable[UUID]) -> list[UUID]:
    """Those of these scans that an act in a campaign with a pledge rests on, in their order."""
    wanted = sorted(set(scan_ids))
    if not wanted or not is_pledged(session):
        return []
    pledged = select(Pledge.campaign_id).where(col(Pledge.state).in_(SIGNED))
    query = select(CheckIn.scan_id).where(col(CheckIn.scan_id).in_(wanted), col(CheckIn.campaign_id).in_(pledged))
    return sorted(session.exec(query).all())


def completions_on(session: Session, scan_ids: Sequence[UUID]) -> list[UUID]:
    """The completions that rest on these scans, by a check-in or by the meeting of two friends."""
    return list(session.execute(_RESTING, {"ids": scan_ids}).scalars()) if scan_ids else []


def completions_since(session: Session, pledge_id: UUID) -> list[UUID]:
    """The completions of a pledge's mission since it became active: those that came while that was being written."""
    pledge = session.get(Pledge, pledge_id)
    if pledge is None or pledge.active_at is None or pledge.state not in DRAWN_ON:
        return []
    done = (StepCompletion.mission_id == pledge.mission_id, StepCompletion.completed_at >= pledge.active_at)
    return list(session.exec(select(StepCompletion.id).where(*done)).all())


def missions_of(session: Session, rounds: Iterable[Sequence[UUID]]) -> set[UUID]:
    """The missions of these completions, read a round of them at a time."""
    return {id for ids in rounds for id in session.execute(_MISSIONS_OF, {"ids": ids}).scalars()}


def acts_of(session: Session, completion_ids: Sequence[UUID]) -> list[Act]:
    """These completions, in the order in which they were done."""
    rows = session.execute(_KNOWN, {"ids": completion_ids}).all()
    verdicts = scans.judged_verdicts(session, [row[10] for row in rows if row[10] is not None])
    return [
        Act(
            id=row[0],
            mission_id=row[1],
            step_id=row[2],
            is_offline=row[3] == Mode.OFFLINE,
            participant_id=row[4],
            phase=row[5],
            state=row[6],
            presence=row[7],
            completed_at=row[8],
            reason=row[9],
            scan_id=row[10],
            verdict=verdicts.get(row[10]),
            place_id=row[11],
            civil_day=civil_day(row[8], row[12]),
        )
        for row in rows
    ]


def hold_people(session: Session, completion_ids: Sequence[UUID]) -> None:
    """Hold who did these completions until the transaction ends, in one order: no erasure crosses what is reckoned."""
    if not is_shared(session):
        return
    people: set[UUID] = set()
    for start in range(0, len(completion_ids), HELD_AT_ONCE):
        people.update(session.execute(_DONE_BY, {"ids": completion_ids[start : start + HELD_AT_ONCE]}).scalars())
    ordered = sorted(people)
    for start in range(0, len(ordered), HELD_AT_ONCE):
        mine = col(Participant.id).in_(ordered[start : start + HELD_AT_ONCE])
        query = select(Participant.id).where(mine).order_by(col(Participant.id))
        session.exec(query.with_for_update(read=True, key_share=True)).all()
