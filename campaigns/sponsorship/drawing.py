"""What acts draw from a pledge that is held: accruals under random names, their transfers, and what the caps count."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import select as columns
from sqlmodel import Session, SQLModel, col

from campaigns.ids import uuid7_at
from campaigns.sponsorship import ledger
from campaigns.sponsorship.ledger import AccountKind, Code, Move
from campaigns.sponsorship.models import (
    Accrual,
    AccrualState,
    CauseChoice,
    LedgerName,
    Pledge,
    PledgeBeneficiary,
    PledgeDay,
    PledgePerson,
)
from campaigns.sponsorship.reckoning import Act, Room, cause_of
from campaigns.sponsorship.undoing import Standing
from campaigns.storage import columns_of, insert_into, insert_many_once, store_all


def accrue(session: Session, pledge: Pledge, owed: Sequence[tuple[Act, int]], *, now: datetime) -> list[Standing]:
    """Write what acts accrue of what they are owed, as far as the room goes: accruals, transfers, balances, caps."""
    if not owed:
        return []
    acts = [act for act, _ in owed]
    names, causes = _names(session, acts), _causes(session, pledge, acts)
    room = _room(session, pledge, {names[_person(act)] for act in acts}, {act.civil_day for act in acts})
    rows: list[dict[str, Any]] = []
    for act, amount in owed:
        surrogate = names[_person(act)]
        got = room.slice(amount, surrogate, act.civil_day, pledge.last_slice)
        if got > 0:
            room.take(got, surrogate, act.civil_day)
            rows.append(_row(pledge, act, got, surrogate, causes[act.id], now=now))
    if not rows:
        return []
    for row, id in zip(rows, sorted(uuid7_at(now) for _ in rows), strict=True):
        row["id"] = id  # in the order of the acts, within a millisecond too
    _draw(session, pledge, rows)
    store_all(session, Accrual, rows)
    moves = [
        Move(AccountKind.COMMITMENT, AccountKind.PENDING, row["amount_minor"], Code.ACCRUAL, row["id"]) for row in rows
    ]
    book = ledger.book_of(session, pledge.id, mission_id=pledge.mission_id)
    ledger.post(session, book, moves, now=now)
    return [_standing(row) for row in rows]


def _standing(row: dict[str, Any]) -> Standing:
    names = ("id", "pledge_id", "completion_id", "surrogate", "civil_day", "amount_minor", "state", "accrued_at")
    return Standing(**{name: row[name] for name in names}, is_told=False)


def _row(pledge: Pledge, act: Act, amount: int, surrogate: UUID, cause: UUID, *, now: datetime) -> dict[str, Any]:
    return {
        "pledge_id": pledge.id,
        "completion_id": act.id,
        "beneficiary_id": cause,
        "surrogate": surrogate,
        "place_id": act.place_id,
        "civil_day": act.civil_day,
        "amount_minor": amount,
        "currency": pledge.currency,
        "state": AccrualState.PENDING.value,
        "reason": None,
        "accrued_at": now,
        "review_until": now + timedelta(hours=pledge.review_h),
        "posted_at": None,
        "undone_at": None,
        "undone_by": None,
        "act_undone_at": None,
    }


def _person(act: Act) -> tuple[UUID, UUID]:
    return act.mission_id, act.participant_id


def _names(session: Session, acts: Sequence[Act]) -> dict[tuple[UUID, UUID], UUID]:
    """The names of people in the ledgers of their missions, made where there are none."""
    people = sorted({_person(act) for act in acts})
    found = _names_of(session, people)
    new = [one for one in people if one not in found]
    if not new:
        return found
    rows = [{"mission_id": mission, "participant_id": person, "surrogate": uuid4()} for mission, person in new]
    insert_many_once(session, LedgerName, rows)
    return found | _names_of(session, new)


def _names_of(session: Session, people: Sequence[tuple[UUID, UUID]]) -> dict[tuple[UUID, UUID], UUID]:
    query = columns(col(LedgerName.mission_id), col(LedgerName.participant_id), col(LedgerName.surrogate))
    mine = query.where(
        col(LedgerName.mission_id).in_({mission for mission, _ in people}),
        col(LedgerName.participant_id).in_({person for _, person in people}),
    )
    return {(mission, person): surrogate for mission, person, surrogate in session.execute(mine)}


def _causes(session: Session, pledge: Pledge, acts: Sequence[Act]) -> dict[UUID, UUID]:
    """The cause each act funds."""
    named = columns(col(PledgeBeneficiary.beneficiary_id), col(PledgeBeneficiary.position))
    rows = session.execute(named.where(col(PledgeBeneficiary.pledge_id) == pledge.id)).all()
    causes: dict[UUID, int] = dict(rows)
    chosen: dict[UUID, UUID] = {}
    if len(causes) > 1:
        query = columns(col(CauseChoice.participant_id), col(CauseChoice.beneficiary_id)).where(
            col(CauseChoice.mission_id) == pledge.mission_id,
            col(CauseChoice.participant_id).in_({act.participant_id for act in acts}),
        )
        chosen = dict(session.execute(query).all())
    return {act.id: cause_of(causes, chosen.get(act.participant_id)) for act in acts}


def _room(session: Session, pledge: Pledge, people: set[UUID], days: set[Any]) -> Room:
    """What the caps of a pledge that is held leave."""
    total = ledger.room_of(session, pledge.id, AccountKind.COMMITMENT)
    room = Room(total, pledge.per_person_cap_minor, pledge.per_day_cap_minor)
    if room.person_cap is not None:
        room.people = _drawn(session, PledgePerson, "surrogate", pledge.id, people)
    if room.day_cap is not None:
        room.days = _drawn(session, PledgeDay, "civil_day", pledge.id, days)
    return room


def _drawn(session: Session, table: type[SQLModel], key: str, pledge_id: UUID, wanted: set[Any]) -> dict[Any, int]:
    rows = columns_of(table)
    query = columns(rows[key], rows.drawn_minor).where(rows.pledge_id == pledge_id, rows[key].in_(wanted))
    return {one: int(drawn) for one, drawn in session.execute(query)}


def _draw(session: Session, pledge: Pledge, accruals: Sequence[dict[str, Any]]) -> None:
    """Add to what people and days drew. The CHECKs are their caps, whatever was reckoned before."""
    for table, key, cap in (
        (PledgePerson, "surrogate", pledge.per_person_cap_minor),
        (PledgeDay, "civil_day", pledge.per_day_cap_minor),
    ):
        if cap is None:
            continue
        sums: dict[Any, int] = {}
        for row in accruals:
            sums[row[key]] = sums.get(row[key], 0) + row["amount_minor"]
        fixed = {"pledge_id": pledge.id, "cap_minor": cap}
        rows = [{**fixed, key: one, "drawn_minor": amount} for one, amount in sorted(sums.items())]
        insert = insert_into(session.get_bind().dialect.name, table)
        more = {"drawn_minor": columns_of(table).drawn_minor + insert.excluded.drawn_minor}
        session.execute(insert.on_conflict_do_update(index_elements=["pledge_id", key], set_=more), rows)
