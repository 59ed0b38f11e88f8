"""The check-in: the act on a scan, once per scan, and what makes it count."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import clock, ids, places, prepared, tokens
from campaigns.errors import Conflict, Invalid, TooMany
from campaigns.events import record_event
from campaigns.participants import Cohort, Participant
from campaigns.places import Place, till
from campaigns.places.geofence import Geofence
from campaigns.planning import Phase, State
from campaigns.scans import live_windows
from campaigns.scans.firsts import last_of, note_way, order_of
from campaigns.scans.models import (
    CheckIn,
    ReceiptTries,
    Scan,
    ScanPosition,
    ScanVoid,
    Visit,
)
from campaigns.scans.positions import Position, SealedFix, keep_best
from campaigns.scans.receipt import ACT_LIFE, PRESENCE_LIFE, Receipt
from campaigns.scans.service import confirm
from campaigns.scans.verdict import (
    EARNING,
    STRONG,
    Judgement,
    Reason,
    Verdict,
    judge_further,
    located,
)
from campaigns.storage import add_up_below, columns_of, hold, insert_once, store
from campaigns.tokens.directory import Entry, Serial

BETWEEN_PLACES = timedelta(minutes=3)  # nobody is counted at two places within it
PLACES_A_DAY = 10  # of one person; more is a tour of codes, not of shops
_CHECK_INS, _SCANS, _VOIDS = columns_of(CheckIn), columns_of(Scan), columns_of(ScanVoid)
_VOIDED = columns(_VOIDS.scan_id).where(_VOIDS.scan_id == bindparam("scan"))
_STANDING = columns(
    columns(_SCANS.reasons).where(_SCANS.id == bindparam("scan")).scalar_subquery(),
    columns(_CHECK_INS.id).where(_CHECK_INS.scan_id == bindparam("scan")).scalar_subquery(),
)
_ELSEWHERE = columns(_CHECK_INS.place_id, _CHECK_INS.scan_id).where(
    _CHECK_INS.participant_id == bindparam("person"),
    _CHECK_INS.counted,
    _CHECK_INS.place_id != bindparam("place"),
    _CHECK_INS.checked_in_at >= bindparam("since"),
)
_SPENDING = (*EARNING, Verdict.HELD)  # scans whose check-in uses a serial up: robots and trials of a draft do not


def try_till_code(
    session: Session, receipt: Receipt, place: Place | None, typed: str, *, key: bytes, now: datetime
) -> int | None:
    """Spend a try of this receipt on a till code; its window when it was right. Commit either way: wrong tries count.

    Gone after ten minutes, TooMany after five tries of the receipt or a hundred wrong ones of the place and day.
    """
    receipt.require_fresh(now, PRESENCE_LIFE)
    if place is None:
        raise Invalid("This code stands in no shop: it has no till code.", pointer="/till_code")
    if not add_up_below(session, ReceiptTries, {"scan_id": receipt.scan_id}, till.TRIES_PER_RECEIPT, tries=1):
        raise TooMany(
            "Five wrong codes were typed for this scan. Scan again, share your position, or ask the staff.",
            code="till_code_tries",
            retry_after_s=60,
        )
    places.reserve_till_try(session, place, now=now)
    window = till.window_if_good(key, place.id, typed, now)
    if window is not None:
        places.give_back_till_try(session, place, now=now)
    return window


def check_in(
    session: Session,
    receipt: Receipt,
    entry: Entry,
    person: Participant,
    *,
    is_newcomer: bool,
    first_reasons: str,
    position: Position | None,
    sealed: SealedFix | None,
    till_window: int | None,
    occurred_at: datetime | None,
    least_presence: int = 0,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> CheckIn:
    """The offline act on a scan, once per scan; Conflict when its twin was first.

    Presence is 2 with a live code or till code whose window (`till_window`) this person had not used, a signed tap
    whose counter was unused, or an unused serial handed over at that place, 1 with a position inside the geofence in
    opening hours, else 0. Confirms the scan. Gone after 48 hours; Conflict (`serial_used`) when the serial was used
    already. It is counted when its verdict earns, it reaches `least_presence`, and it is a visit: see `may_be_here`
    and `_is_visit`. The visit is that of the scan's instant; `occurred_at` is only what the phone says.
    """
    receipt.require_fresh(now, ACT_LIFE)
    hold(session, receipt.scan_id)  # against who voids it just now
    is_voided = prepared.row(session, _VOIDED, scan=receipt.scan_id) is not None
    receipt = _as_proved(session, receipt, entry)
    confirm(session, receipt, now=now)
    late = now - receipt.scanned_at > PRESENCE_LIFE
    best = keep_best(session, receipt, entry.place, position, sealed, late=late, now=now)
    fence = Geofence(best.geofence) if best else Geofence.NONE
    claim = live_windows.claim(session, receipt, entry, person, till_window=till_window, now=now)
    presence = _presence(fence, entry.place, claim.presence, receipt)
    closed = entry.closed_at(now) is not None or entry.state_at(now) not in (State.LIVE, State.DRAFT, State.PILOT)
    if person.cohort == Cohort.EMPLOYEE:
        first_reasons = f"{first_reasons},{Reason.INSIDER}"
    if is_voided:
        first_reasons = f"{first_reasons},{Reason.VOIDED}"
    if entry.serial is not None and not (closed or is_voided) and receipt.verdict in _SPENDING:
        presence = _spend(session, receipt, entry, entry.serial, person, presence, least_presence, now=now)
    judgement = _judge_check_in(
        first_reasons, receipt, entry.place, best, presence, late=late, closed=closed, spent=claim.is_spent
    )
    phase = "draft" if judgement.verdict is Verdict.TEST else _phase(entry, receipt)
    at = min(max(occurred_at or now, receipt.scanned_at), now)
    id = ids.uuid7_at(now)
    earns = phase != "draft" and judgement.verdict in EARNING and presence >= least_presence
    in_time = is_newcomer or entry.place is None or may_be_here(session, person, entry.place, receipt.scanned_at)
    counted = earns and in_time and _is_visit(session, person, entry, id, receipt.scanned_at, phase)
    is_public = counted and phase == "live"
    last = last_of(session, entry.campaign.id, person.id) if is_public and not is_newcomer else None
    values: dict[str, Any] = {
        "id": id,
        "scan_id": receipt.scan_id,
        "participant_id": person.id,
        "campaign_id": entry.campaign.id,
        "token_id": entry.token_id,
        "place_id": entry.place.id if entry.place else None,
        "phase": phase,
        "presence": presence,
        "geofence": fence.value,
        "by_till_code": till_window is not None,
        "verdict": judgement.verdict.value,
        "reasons": judgement.reasons_text,
        "counted": counted,
        "occurred_at": at,
        "checked_in_at": now,
        "rules_version_id": rules_version_id,
        "voided_at": now if is_voided else None,
        "by_staff": False,
        "is_late": late,
        **order_of(last, is_counted=is_public),
    }
    if not insert_once(session, CheckIn, **values):
        raise Conflict("This scan was checked in a moment ago.", code="already_checked_in")
    _put_in_order(session, values, last)
    record_event(session, "scan.checked_in", now=now, check_in_id=id, scan_id=receipt.scan_id)
    return prepared.as_loaded(CheckIn, values)


def _put_in_order(session: Session, act: dict[str, Any], last: Any | None) -> None:
    """Where another process's clock goes before ours, the last of a person may come after this one."""
    if last is not None and last.id > act["id"]:
        note_way(session, act["campaign_id"], act["participant_id"])


def _phase(entry: Entry, receipt: Receipt) -> str:
    return Phase.HOLDOUT.value if entry.is_held_out else entry.campaign.phase_of(receipt.scanned_at)


def standing_of(session: Session, scan_id: UUID) -> tuple[str, bool]:
    """The reasons written with a scan, comma-separated, none while it is on its way; and whether it was checked in."""
    reasons, check_in_id = prepared.rows(session, _STANDING, scan=scan_id)[0]
    return reasons or "", check_in_id is not None


def witness(
    session: Session,
    entry: Entry,
    person: Participant,
    *,
    phase: str,
    presence: int,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> tuple[CheckIn, bool]:
    """A check-in that the staff of a place record for who has no phone; and whether it is new today.

    It rests on no scan: its scan id is one of the moment, so that windows and proofs take it like any other. Counted as
    a scan's would be: once a person, code and civil day, and nobody is at two places within three minutes.
    """
    assert entry.place is not None  # noqa: S101  # a code that stands in the place of the phone
    first = _witnessed_today(session, entry, person, phase, now)
    if first is not None:
        return first, False
    id, scan_id = ids.uuid7_at(now), ids.uuid7_at(now)
    in_time = phase != "draft" and may_be_here(session, person, entry.place, now)
    counted = in_time and _is_visit(session, person, entry, id, now, phase)
    is_public = counted and phase == "live"
    last = last_of(session, entry.campaign.id, person.id) if is_public else None
    values: dict[str, Any] = {
        "id": id,
        "scan_id": scan_id,
        "participant_id": person.id,
        "campaign_id": entry.campaign.id,
        "token_id": entry.token_id,
        "place_id": entry.place.id,
        "phase": phase,
        "presence": presence,
        "geofence": Geofence.NONE.value,
        "by_till_code": False,
        "verdict": (Verdict.TEST if phase == "draft" else Verdict.VALID).value,
        "reasons": "",
        "counted": counted,
        "occurred_at": now,
        "checked_in_at": now,
        "rules_version_id": rules_version_id,
        "voided_at": None,
        "by_staff": True,
        "is_late": False,
        **order_of(last, is_counted=is_public),
    }
    store(session, CheckIn, **values)
    _put_in_order(session, values, last)
    return CheckIn(**values), True


def _witnessed_today(session: Session, entry: Entry, person: Participant, phase: str, now: datetime) -> CheckIn | None:
    assert entry.place is not None  # noqa: S101  # asked above
    return session.exec(
        select(CheckIn)
        .where(
            CheckIn.participant_id == person.id,
            CheckIn.campaign_id == entry.campaign.id,
            CheckIn.place_id == entry.place.id,
            CheckIn.phase == phase,
            col(CheckIn.by_staff),
            col(CheckIn.voided_at).is_(None),
            CheckIn.checked_in_at >= clock.start_of_day(now, entry.place.time_zone),
        )
        .order_by(col(CheckIn.id))
        .with_for_update(read=True)  # one that is voided just now is none
    ).first()


def find_void(session: Session, scan_id: UUID) -> ScanVoid | None:
    """That a scan was voided, and why; None while it was not."""
    return session.exec(select(ScanVoid).where(ScanVoid.scan_id == scan_id)).first()


def find_check_in(session: Session, scan_id: UUID) -> CheckIn | None:
    return session.exec(select(CheckIn).where(CheckIn.scan_id == scan_id)).first()


def _presence(fence: Geofence, place: Place | None, proven: int, receipt: Receipt) -> int:
    if fence is Geofence.INSIDE and place is not None and place.is_open(receipt.scanned_at):
        return max(1, proven)
    return proven


def _as_proved(session: Session, receipt: Receipt, entry: Entry) -> Receipt:
    """The receipt with the presence that holds: a scan stored while the database was away could not look it up."""
    counts = entry.sun is not None or entry.bound_uid is not None
    if not counts or receipt.presence == 0 or tokens.has_spent(session, entry.token_id, receipt.scan_id):
        return receipt
    return receipt._replace(presence=0)


def _spend(
    session: Session,
    receipt: Receipt,
    entry: Entry,
    serial: Serial,
    person: Participant,
    presence: int,
    least_presence: int,
    *,
    now: datetime,
) -> int:
    """Use a serial up for this check-in; the presence it leads to. A check-in that could not count spends nothing."""
    best = max(presence, STRONG if serial.is_proof else 0)
    if best < least_presence:
        return presence
    try:
        is_first = tokens.use_serial(
            session, entry.token_id, good=serial.good, person_id=person.id, scan_id=receipt.scan_id, now=now
        )
    except Conflict as error:
        if find_check_in(session, receipt.scan_id) is None:
            raise
        raise Conflict("This scan was checked in a moment ago.", code="already_checked_in") from error
    return best if is_first else presence  # the first use only: a shared code proves nothing of the others


def _judge_check_in(
    first_reasons: str,
    receipt: Receipt,
    place: Place | None,
    best: ScanPosition | None,
    presence: int,
    *,
    late: bool,
    closed: bool,
    spent: bool,
) -> Judgement:
    first = [reason for reason in first_reasons.split(",") if reason]
    if closed:
        first.append(Reason.CAMPAIGN_CLOSED)
    if spent:
        first.append(Reason.EXPIRED_LIVE_CODE)
    return judge_further(
        first,
        is_test=receipt.verdict is Verdict.TEST,
        located=located(
            best.geofence if best else None,
            has_position=place is not None and place.lat is not None,
            presence=presence,
            acted=True,
        ),
        late=late,
        duplicate=False,
        presence=presence,
    )


def _is_visit(session: Session, person: Participant, entry: Entry, check_in_id: UUID, at: datetime, phase: str) -> bool:
    """Whether a check-in is the first of this person, token, civil day of the place and phase: the UNIQUE says so.

    The first one's visit is held: who voids it waits, and then finds this check-in to give it to.
    """
    zone = entry.place.time_zone if entry.place else entry.campaign.time_zone
    key: dict[str, Any] = {
        "participant_id": person.id,
        "token_id": entry.token_id,
        "civil_day": clock.civil_day(at, zone).isoformat(),
        "phase": phase,
    }
    while not insert_once(session, Visit, **key, check_in_id=check_in_id):
        first = select(Visit.check_in_id).filter_by(**key).with_for_update(read=True)
        if session.exec(first).first() is not None:
            return False
    return True


def may_be_here(session: Session, person: Participant, place: Place, at: datetime) -> bool:
    """Three minutes after another place, at ten places a day (DOMAIN section 4)."""
    day = clock.start_of_day(at, place.time_zone)
    elsewhere = prepared.rows(session, _ELSEWHERE, person=person.id, place=place.id, since=day)
    visited = {place_id for place_id, scan_id in elsewhere if ids.instant_of(scan_id) >= day}
    rushed = any(abs(at - ids.instant_of(scan_id)) < BETWEEN_PLACES for _, scan_id in elsewhere)
    return not rushed and len(visited) < PLACES_A_DAY
