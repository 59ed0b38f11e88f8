"""Every reversal on one page: what goes with a voided scan or staff record, in the transaction that voids it (I19).

A capability whose rows rest on scans joins by a function here. Each takes the locks of its own acts, in their order,
and says what it undid or what another act now supports.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col

from campaigns import audit, community, missions, rewards, scans, sponsorship
from campaigns.errors import Invalid
from campaigns.events import record_event
from campaigns.missions.models import StaffAct, StaffRecord
from campaigns.scans import Effect, Scan, Undone, Voided
from campaigns.scans.models import ScanVoid, VoidEffect
from campaigns.storage import changed

REASON_LIMIT = 500  # characters
Reversal = Callable[[Session, Voided, datetime], list[Effect]]
Consequence = Callable[[Session, Undone, datetime], list[Effect]]

# In the order in which acts take their locks: memberships, votes and their counters, those of missions, ...
REVERSALS: tuple[Reversal, ...] = (community.void_ballots, missions.reverse)
# ... then, told what went so far and why, pledges, points, coupons and badges.
CONSEQUENCES: tuple[Consequence, ...] = (sponsorship.reverse, rewards.reverse)


def void_scan(
    session: Session,
    organisation_id: UUID,
    scan: Scan,
    *,
    reason: str,
    ballot_secret: Callable[[UUID], bytes],
    now: datetime,
) -> tuple[ScanVoid, list[VoidEffect]]:
    """Void a scan and undo exactly what rested on it, once; twice gives the first answer. Invalid without a reason.

    `ballot_secret` gives the key of a campaign's secret ballots. Run it in `Database.between_rounds()`.
    """
    why = _why(reason)
    least = missions.least_presence(session, scan.campaign_id) if scan.campaign_id else 0
    voided = scans.void(session, scan, reason=why, least_presence=least, now=now)
    if voided is not None:
        secret = ballot_secret(scan.campaign_id) if scan.campaign_id is not None else b""
        whose = voided.check_in.participant_id if voided.check_in is not None else None
        effects = _follow(session, Undone(_cascade(session, voided, secret, now), why, whose), now)
        scans.note_effects(session, scan.id, effects, now=now)
        audit.note(session, "scan.voided", scan.id, organisation_id=organisation_id, changes={"reason": [why]}, now=now)
        record_event(session, "scan.voided", now=now, scan_id=scan.id)
    found = scans.void_of(session, scan.id)
    assert found is not None  # noqa: S101  # written above, or before
    return found


def void_record(
    session: Session,
    organisation_id: UUID,
    record: StaffRecord,
    *,
    reason: str,
    ballot_secret: Callable[[UUID], bytes],
    now: datetime,
) -> tuple[StaffRecord, list[VoidEffect]]:
    """Void what the staff recorded for who has no phone, once; twice gives the first answer. Invalid without a reason.

    What the act did goes: the check-in it made, with all that rests on it, and its own step or vote. The words of an
    idea stay: hiding them is for moderators. The person can act anew. Run it in `Database.between_rounds()`.
    """
    why = _why(reason)
    mine = update(StaffRecord).where(col(StaffRecord.id) == record.id, col(StaffRecord.voided_at).is_(None))
    taken = mine.values(voided_at=now, void_reason=why).execution_options(synchronize_session=False)
    if changed(session, taken):
        gone = _undo_record(session, record, why, ballot_secret(record.campaign_id), now)
        effects = _follow(session, Undone(gone, why, record.participant_id), now)
        scans.note_effects(session, record.id, effects, now=now)
        changes = {"reason": [why]}
        audit.note(session, "staff_record.voided", record.id, organisation_id=organisation_id, changes=changes, now=now)
        record_event(session, "staff_record.voided", now=now, staff_record_id=record.id)
    session.refresh(record)
    return record, scans.effects_of(session, record.id)


def _undo_record(session: Session, record: StaffRecord, why: str, secret: bytes, now: datetime) -> list[Effect]:
    effects: list[Effect] = []
    made = scans.find_witnessed(session, record.participant_id, record.place_id, record.recorded_at)
    if made is not None:
        least = missions.least_presence(session, record.campaign_id)
        voided = scans.void_witnessed(session, made.scan_id, reason=why, least_presence=least, now=now)
        effects += _cascade(session, voided, secret, now) if voided is not None else []
    mission = missions.mission_of(session, record.campaign_id)
    if mission is None:
        return effects
    if record.act == StaffAct.VOTE:
        return effects + community.void_vote(
            session, mission, record.participant_id, record.phase, record.client_id, secret, now
        )
    return effects + missions.reverse_recorded(session, mission, record, reason=why)


def _cascade(session: Session, voided: Voided, secret: bytes, now: datetime) -> list[Effect]:
    """All that rests on what was voided, with what went already."""
    voided = replace(voided, ballot_secret=secret)
    effects = list(voided.effects)
    for reversal in REVERSALS:
        effects += reversal(session, voided, now)
    return effects


def _follow(session: Session, undone: Undone, now: datetime) -> list[Effect]:
    """What went, with what rests on completions in turn."""
    for consequence in CONSEQUENCES:
        undone = replace(undone, effects=[*undone.effects, *consequence(session, undone, now)])
    return list(undone.effects)


def _why(reason: str) -> str:
    why = " ".join(reason.split())
    if not 1 <= len(why) <= REASON_LIMIT:
        raise Invalid(f"Say why, in 1 to {REASON_LIMIT} characters: the person reads it.", pointer="/reason")
    return why
