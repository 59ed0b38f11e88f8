"""Two names of one person in the ledgers: one random name a mission, one cap.

What gave way accrues no more. Where one person may not draw what both drew, the later pending accruals are voided with
the reason `merged`; what is posted stays, and then the cap of that person is what they drew.
"""

from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns.missions.models import StepCompletion
from campaigns.participants.merging import REASON, Merge
from campaigns.sponsorship import causes, undoing
from campaigns.sponsorship.accrual import hold, reckon, turn
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    LedgerName,
    Pledge,
    PledgeKind,
    PledgePerson,
)
from campaigns.sponsorship.undoing import Standing, Why, standing
from campaigns.storage import columns_of, store

_ROWS = columns_of(Accrual)


def merge(session: Session, merge: Merge) -> None:
    """Let what the newer name accrued stand under the older one's. Completions are the older's already."""
    causes.merge(session, merge)
    missions = sorted({mission_id for mission_id, _ in merge.missions})
    hold(session, missions, now=merge.now)  # the pledges of all of them in the order of their ids, as everybody does
    for mission_id in missions:
        held, _ = hold(session, [mission_id], now=merge.now)
        if held:
            _undo_what_gave_way(session, merge, mission_id)
        names = _merge_names(session, merge, mission_id)
        if names is not None:
            for pledge in held.values():
                _merge_cap(session, merge, pledge, held.get(pledge.matches_id) if pledge.matches_id else None, *names)
            mine = update(_ROWS.id.table).where(_ROWS.surrogate == names[1])
            session.execute(mine.values(surrogate=names[0]))


def _undo_what_gave_way(session: Session, merge: Merge, mission_id: UUID) -> None:
    mine = (StepCompletion.participant_id == merge.older.id, StepCompletion.mission_id == mission_id)
    done = session.exec(select(StepCompletion.id).where(*mine)).all()
    effects = reckon(session, done, undo_only=True, now=merge.now)
    merge.undone["accruals"] += sum(one.outcome == "reversed" for one in effects)


def _merge_names(session: Session, merge: Merge, mission_id: UUID) -> tuple[UUID, UUID] | None:
    """One name a mission: the older one's, and whose accruals are to take it; None when there were not two."""
    older, newer = merge.ids
    mine = (LedgerName.mission_id == mission_id, col(LedgerName.participant_id).in_(merge.ids))
    names = {row.participant_id: row.surrogate for row in session.exec(select(LedgerName).where(*mine)).all()}
    theirs = (col(LedgerName.mission_id) == mission_id, col(LedgerName.participant_id) == newer)
    if newer in names and older not in names:
        moved = update(LedgerName).where(*theirs).values(participant_id=older)
        session.execute(moved.execution_options(synchronize_session=False))
    elif newer in names:
        session.execute(delete(LedgerName).where(*theirs).execution_options(synchronize_session=False))
    session.expire_all()
    return (names[older], names[newer]) if older in names and newer in names else None


def _merge_cap(
    session: Session, merge: Merge, pledge: Pledge, matched: Pledge | None, older: UUID, newer: UUID
) -> None:
    """Fit what both names drew into one person's cap."""
    cap = pledge.per_person_cap_minor
    if cap is None:
        return
    accruals = standing(session, _ROWS.pledge_id == pledge.id, _ROWS.surrogate.in_((older, newer)))
    drawn = sum(one.amount_minor for one in accruals)
    going: list[tuple[Standing, Why]] = []
    for one in reversed(accruals):
        if drawn > cap and one.state == AccrualState.PENDING:
            going.append((one, Why(REASON)))
            drawn -= one.amount_minor
    undoing.undo(session, pledge, going, now=merge.now)
    merge.undone["accruals"] += len(going)
    if pledge.kind != PledgeKind.THRESHOLD:
        pledge.acts -= len(going)
    _join_rows(session, pledge.id, older, newer, drawn=drawn, cap=cap)
    turn(session, pledge, matched, now=merge.now)
    reckon(session, [one.completion_id for one, _ in going], undo_only=True, now=merge.now)  # what matches them


def _join_rows(session: Session, pledge_id: UUID, older: UUID, newer: UUID, *, drawn: int, cap: int) -> None:
    both = (col(PledgePerson.pledge_id) == pledge_id, col(PledgePerson.surrogate).in_((older, newer)))
    session.execute(delete(PledgePerson).where(*both).execution_options(synchronize_session=False))
    if drawn:
        key = {"pledge_id": pledge_id, "surrogate": older}
        store(session, PledgePerson, **key, drawn_minor=drawn, cap_minor=max(cap, drawn))
