"""Voiding a scan: its verdict, its check-in and its visit go, once, with the reason; what rests on them follows above.

The judge knows of it (`voided` weighs 100), so judging the log again says the same.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import clock, ids
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.scans.check_ins import find_check_in, find_void, may_be_here
from campaigns.scans.firsts import note_way
from campaigns.scans.judge import count, id_after, moved
from campaigns.scans.marks import remove_marks
from campaigns.scans.models import CheckIn, Scan, ScanConfirmation, ScanJudgement, ScanVoid, Visit, VoidEffect
from campaigns.scans.rollups import Change, difference
from campaigns.scans.service import standing_judgements
from campaigns.scans.verdict import EARNING, Reason, Verdict, settle
from campaigns.storage import hold, insert_once, store


@dataclass(frozen=True)
class Effect:
    """One thing a voided scan took along (`reversed`), or that another act now supports (`kept`)."""

    what: str
    subject_id: UUID
    outcome: str = "reversed"


@dataclass(frozen=True)
class Voided:
    """A scan that was voided just now. `stand_in` is the check-in that is the visit of the day in its place.

    `ballot_secret` is the key of the campaign's secret ballots: it leads from the scan to the ballot it opened.
    """

    scan_id: UUID
    reason: str
    check_in: CheckIn | None
    was_counted: bool
    stand_in: CheckIn | None
    effects: list[Effect]
    ballot_secret: bytes = b""


@dataclass(frozen=True)
class Undone:
    """What went with an act that was voided, why, and whose it was: what money and rewards follow."""

    effects: Sequence[Effect]
    reason: str
    participant_id: UUID | None


def void(session: Session, scan: Scan, *, reason: str, least_presence: int, now: datetime) -> Voided | None:
    """Void a scan; None when it was voided before. Run it in `Database.between_rounds()`.

    Holds the scan's id and the person as a check-in does. `least_presence` is what makes another check-in of the day
    the visit in its place.
    """
    hold(session, scan.id)
    if not insert_once(session, ScanVoid, scan_id=scan.id, reason=reason, voided_at=now):
        return None
    _judge(session, scan, now=now)
    return _void_check_in(session, scan.id, reason, least_presence, now)


def void_witnessed(
    session: Session, scan_id: UUID, *, reason: str, least_presence: int, now: datetime
) -> Voided | None:
    """Void a check-in that the staff of a place recorded; None when it was before. No scan stands behind its id."""
    if not insert_once(session, ScanVoid, scan_id=scan_id, reason=reason, voided_at=now):
        return None
    return _void_check_in(session, scan_id, reason, least_presence, now)


def _void_check_in(session: Session, scan_id: UUID, reason: str, least_presence: int, now: datetime) -> Voided:
    act = _held_check_in(session, scan_id)
    if act is None:
        return Voided(scan_id, reason, None, False, None, [])
    was_counted = act.counted
    act.verdict, act.counted, act.voided_at = Verdict.INVALID.value, False, now
    act.reasons = ",".join(filter(None, [act.reasons, Reason.VOIDED.value]))
    session.add(act)
    session.flush()
    effects = [Effect("check_in", act.id)]
    stand_in = _move_visit(session, act, least_presence=least_presence) if was_counted else None
    if was_counted:
        note_way(session, act.campaign_id, act.participant_id)
        for one in filter(None, (act, stand_in)):
            remove_marks(session, one.campaign_id, one.id)
        effects.append(Effect("visit", act.id, "kept" if stand_in else "reversed"))
    return Voided(scan_id, reason, act, was_counted, stand_in, effects)


def note_effects(session: Session, scan_id: UUID, effects: Sequence[Effect], *, now: datetime) -> None:
    """Write down what a void did, for whoever asks again."""
    for one in effects:
        store(
            session,
            VoidEffect,
            id=ids.uuid7_at(now),
            scan_id=scan_id,
            what=one.what,
            subject_id=one.subject_id,
            outcome=one.outcome,
        )


def void_of(session: Session, scan_id: UUID) -> tuple[ScanVoid, list[VoidEffect]] | None:
    """What voiding a scan did, as it was told first; None while it was not voided."""
    found = find_void(session, scan_id)
    if found is None:
        return None
    return found, effects_of(session, scan_id)


def effects_of(session: Session, id: UUID) -> list[VoidEffect]:
    """What went when a scan or a staff record was voided."""
    rows = session.exec(select(VoidEffect).where(VoidEffect.scan_id == id)).all()
    return sorted(rows, key=lambda one: (one.what, one.subject_id))


def find_witnessed(session: Session, participant_id: UUID, place_id: UUID, at: datetime) -> CheckIn | None:
    """The check-in that the staff of a place recorded for a person at an instant."""
    mine = (CheckIn.participant_id == participant_id, CheckIn.place_id == place_id, CheckIn.checked_in_at == at)
    return session.exec(select(CheckIn).where(*mine, col(CheckIn.by_staff))).first()


def voids_among(session: Session, scan_ids: Sequence[UUID]) -> dict[UUID, ScanVoid]:
    """Which of these scans were voided."""
    rows = session.exec(select(ScanVoid).where(col(ScanVoid.scan_id).in_(scan_ids)))
    return {row.scan_id: row for row in rows}


def _judge(session: Session, scan: Scan, *, now: datetime) -> None:
    """A judgement with the reason `voided`, and the counters' difference."""
    standing = standing_judgements(session, [scan.id]).get(scan.id)
    before = standing or scan
    reasons = [reason for reason in before.reasons.split(",") if reason]
    judgement = settle([*reasons, Reason.VOIDED], is_test=scan.phase == "draft")
    confirmed = session.get(ScanConfirmation, scan.id)
    if judgement.verdict != before.verdict:
        proven = int(confirmed is not None and confirmed.is_judged)
        changes = [
            Change(scan.id, verdict, number, number * proven)
            for verdict, number in ((before.verdict, -1), (judgement.verdict.value, 1))
        ]
        count(session, moved(changes, {scan.id: (scan.token_id, scan.phase)}))
        difference(session, changes).write(session)
    store(
        session,
        ScanJudgement,
        id=id_after(standing.id if standing else None, now),
        scan_id=scan.id,
        rules_version=scan.rules_version,
        verdict=judgement.verdict.value,
        score=judgement.score,
        reasons=judgement.reasons_text,
        decided_at=now,
        decided_by="void",
    )


def _held_check_in(session: Session, scan_id: UUID) -> CheckIn | None:
    """The check-in of a scan, its person held as an act of theirs holds them: no erasure crosses."""
    act = find_check_in(session, scan_id)
    if act is None:
        return None
    person = select(Participant.id).where(Participant.id == act.participant_id)
    session.exec(person.with_for_update(read=True, key_share=True)).first()
    session.refresh(act)
    return act


def _move_visit(session: Session, act: CheckIn, *, least_presence: int) -> CheckIn | None:
    """Give the visit of the day to another check-in of it that may have it, or take it away."""
    mine = col(Visit.check_in_id) == act.id
    session.exec(select(Visit.check_in_id).where(mine).with_for_update()).all()  # a check-in that found it comes first
    other = _stand_in(session, act, least_presence)
    if other is None:
        session.execute(delete(Visit).where(mine).execution_options(synchronize_session=False))
        return None
    session.execute(update(Visit).where(mine).values(check_in_id=other.id).execution_options(synchronize_session=False))
    other.counted = True
    session.add(other)
    session.flush()
    return other


def _stand_in(session: Session, act: CheckIn, least_presence: int) -> CheckIn | None:
    place = session.get(Place, act.place_id) if act.place_id else None
    zone = place.time_zone if place else "UTC"
    day = clock.civil_day(ids.instant_of(act.scan_id), zone)
    others = session.exec(
        select(CheckIn)
        .where(
            CheckIn.participant_id == act.participant_id,
            CheckIn.token_id == act.token_id,
            CheckIn.phase == act.phase,
            col(CheckIn.verdict).in_(EARNING),
            CheckIn.presence >= least_presence,
        )
        .order_by(col(CheckIn.id))
    ).all()
    person = session.get_one(Participant, act.participant_id)
    for one in others:
        at = ids.instant_of(one.scan_id)
        if clock.civil_day(at, zone) == day and (place is None or may_be_here(session, person, place, at)):
            return one
    return None
