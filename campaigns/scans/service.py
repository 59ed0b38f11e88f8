"""Scans: making the row of a request, checking in on it, and reading what was stored."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import clock, ids, places, tokens
from campaigns.errors import Conflict, Gone, Invalid, NotFound, TooMany
from campaigns.events import record_event
from campaigns.participants import Participant
from campaigns.places import Place, till
from campaigns.places.geofence import Geofence, bucket, cell, distance_m, judge
from campaigns.places.network import NOWHERE, Whereabouts
from campaigns.planning import State
from campaigns.scans import live_windows
from campaigns.scans.agents import Agent
from campaigns.scans.log import ScanRow, TappedScan
from campaigns.scans.models import (
    CheckIn,
    ReceiptTries,
    Scan,
    ScanConfirmation,
    ScanJudgement,
    ScanPosition,
    ScanWriter,
    Visit,
    first_scan,
)
from campaigns.scans.proof import Proof
from campaigns.scans.receipt import ACT_LIFE, PRESENCE_LIFE, Receipt
from campaigns.scans.signals import SPREAD_VISITORS
from campaigns.scans.verdict import (
    EARNING,
    RULES_VERSION,
    STRONG,
    Judgement,
    Reason,
    Verdict,
    judge_further,
    judge_request,
    located,
)
from campaigns.storage import changed, insert_once, upsert
from campaigns.tokens import Token
from campaigns.tokens.directory import Entry, Serial

BETWEEN_PLACES = timedelta(minutes=3)  # nobody is counted at two places within it
PLACES_A_DAY = 10  # of one person; more is a tour of codes, not of shops
_SPENDING = (*EARNING, Verdict.HELD)  # scans whose check-in uses a serial up: robots and trials of a draft do not


@dataclass(frozen=True, slots=True)
class Position:
    """A fix as the phone reports it: degrees WGS84, metres (radius of 95 %), seconds since it was taken."""

    lat: float
    lon: float
    accuracy_m: float
    age_s: float = 0.0

    def fence(self, place: Place | None) -> tuple[Geofence, int | None]:
        """Where the error circle lies, and the upper bound of a coarse distance in metres."""
        if place is None or place.lat is None or place.lon is None:
            return Geofence.NONE, None
        distance = distance_m(self.lat, self.lon, place.lat, place.lon)
        fence = judge(distance, self.accuracy_m, place.radius_m)
        if fence is Geofence.INSIDE and self.age_s > PRESENCE_LIFE.total_seconds():
            fence = Geofence.MAYBE  # an old fix says where the phone was, not where it is
        return fence, bucket(distance)

    @property
    def cell(self) -> str:
        """The coarse cell that is kept when the position is not."""
        return cell(self.lat, self.lon)


class SealedFix(NamedTuple):
    """What is kept of a precise fix for 72 hours: the ciphertext, and a keyed hash of its point."""

    sealed: bytes
    point: int | None


def take_writer_number(session: Session, *, now: datetime) -> int:
    """A number no other process has or had, for the counter rows of this one. From 1; 0 is the judge's."""
    for _ in range(50):
        number = session.execute(select(func.coalesce(func.max(col(ScanWriter.number)), 0) + 1)).scalar_one()
        if insert_once(session, ScanWriter, number=number, started_at=now):
            return int(number)
    raise Conflict("No writer number was free; start again.", code="busy")


def sight(
    entry: Entry | None,
    *,
    asked: str,
    agent: Agent,
    prefetch: bool,
    visitor_key: int,
    language: str,
    now: datetime,
    whereabouts: Whereabouts = NOWHERE,
    data_centre: bool = False,
    enumeration: bool = False,
    objected: bool = False,
    unproved: str | None = None,
) -> tuple[ScanRow, Judgement]:
    """The row and first verdict of a GET. `entry` is None for an unknown code, `asked` what the phone asked for.

    `unproved`: why what its address brought proves nothing.
    """
    id = ids.uuid7_hex(ids.milliseconds(now))
    state, is_open = entry.standing.at(now) if entry else (None, True)
    is_closed = entry is not None and entry.closed_at(now) is not None
    possession = entry is not None and entry.serial is not None and not entry.serial.is_proof
    judgement = judge_request(
        agent.kind, prefetch, state, is_closed, is_open, data_centre, enumeration, possession, unproved
    )
    row = ScanRow(
        id,
        entry.campaign_hex if entry else None,
        entry.token_hex if entry else None,
        entry.place_hex if entry else None,
        None if entry else asked,
        visitor_key,
        phase_of(state),
        judgement.verdict.value,
        judgement.score,
        judgement.reasons_text,
        RULES_VERSION,
        agent.device,
        language,
        *whereabouts,
        objected,
    )
    return row, judgement


def to_store(row: ScanRow, proof: Proof) -> ScanRow | TappedScan:
    """What the log is handed: with a tap that counts, its counter to spend. A robot's visit spends nothing."""
    tap = proof.tap
    if tap is None or tap.counter is None or row.verdict == Verdict.BOT:
        return row
    return TappedScan(row, tap.counter, tap.uid, proof.presence)


def phase_of(state: str | None) -> str:
    """`draft` acts are tests and enter no figure; the others are `live`."""
    return "draft" if state == State.DRAFT else "live"


def try_till_code(
    session: Session, receipt: Receipt, place: Place | None, typed: str, *, key: bytes, now: datetime
) -> int | None:
    """Spend a try of this receipt on a till code; its window when it was right. Commit either way: wrong tries count.

    Gone after ten minutes, TooMany after five tries of the receipt or a hundred wrong ones of the place and day.
    """
    receipt.require_fresh(now, PRESENCE_LIFE)
    if place is None:
        raise Invalid("This code stands in no shop: it has no till code.", pointer="/till_code")
    insert = upsert(session, ReceiptTries).values(scan_id=receipt.scan_id, tries=1)
    spent = changed(
        session,
        insert.on_conflict_do_update(
            index_elements=["scan_id"],
            set_={"tries": col(ReceiptTries.tries) + 1},
            where=col(ReceiptTries.tries) < till.TRIES_PER_RECEIPT,
        ),
    )
    if not spent:
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
    now: datetime,
) -> CheckIn:
    """The offline act on a scan, once per scan; Conflict when its twin was first.

    Presence is 2 with a live code or till code whose window (`till_window`) this person had not used, a signed tap
    whose counter was unused, or an unused serial handed over at that place, 1 with a position inside the geofence in
    opening hours, else 0. Confirms the scan. Gone after 48 hours; Conflict (`serial_used`) when the serial was used
    already. It is counted when its verdict earns, it reaches `least_presence`, and it is a visit: see `_may_be_here`
    and `_is_visit`. The visit is that of the scan's instant; `occurred_at` is only what the phone says.
    """
    receipt.require_fresh(now, ACT_LIFE)
    receipt = _as_proved(session, receipt, entry)
    confirm(session, receipt, now=now)
    late = now - receipt.scanned_at > PRESENCE_LIFE
    best = _best_position(session, receipt, entry.place, position, sealed, late=late, now=now)
    fence = Geofence(best.geofence) if best else Geofence.NONE
    claim = live_windows.claim(session, receipt, entry, person, till_window=till_window, now=now)
    presence = _presence(fence, entry.place, claim.presence, receipt)
    closed = entry.closed_at(now) is not None or entry.state_at(now) not in (State.LIVE, State.DRAFT)
    if entry.serial is not None and not closed and receipt.verdict in _SPENDING:
        presence = _spend(session, receipt, entry, entry.serial, person, presence, least_presence, now=now)
    judgement = _judge_check_in(
        first_reasons, receipt, entry.place, best, presence, late=late, closed=closed, spent=claim.is_spent
    )
    phase = "draft" if judgement.verdict is Verdict.TEST else "live"
    at = min(max(occurred_at or now, receipt.scanned_at), now)
    id = ids.uuid7_at(now)
    earns = phase == "live" and judgement.verdict in EARNING and presence >= least_presence
    may_be_here = is_newcomer or entry.place is None or _may_be_here(session, person, entry.place, receipt.scanned_at)
    counted = earns and may_be_here and _is_visit(session, person, entry, id, receipt.scanned_at)
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
    }
    if not insert_once(session, CheckIn, **values):
        raise Conflict("This scan was checked in a moment ago.", code="already_checked_in")
    record_event(session, "scan.checked_in", now=now, check_in_id=id, scan_id=receipt.scan_id)
    return CheckIn(**values)


def reasons_of(session: Session, scan_id: UUID) -> str:
    """The reasons written with a scan, comma-separated; none for a scan that is still on its way."""
    return session.execute(columns(col(Scan.reasons)).where(col(Scan.id) == scan_id)).scalar() or ""


def find_check_in(session: Session, scan_id: UUID) -> CheckIn | None:
    return session.exec(select(CheckIn).where(CheckIn.scan_id == scan_id)).first()


def confirm(session: Session, receipt: Receipt, *, now: datetime) -> None:
    """Note that a person's browser did something with this scan; once."""
    _note_confirmed(session, receipt.scan_id, receipt.token_id, receipt.visitor_key, now=now)


def confirm_by_key(session: Session, scan: Scan, token: Token, *, now: datetime) -> datetime:
    """What a destination's server says of a scan whose id it was given; once, and when it was first said.

    Conflict when the token passes no scan ids: whoever holds a key could confirm anything. Gone after 48 hours.
    """
    known = session.get(ScanConfirmation, scan.id)
    if known is not None:
        return known.confirmed_at
    if not token.pass_scan_id:
        raise Conflict("Only scans of a token with pass_scan_id are confirmed with a key.", code="wrong_state")
    if now - scan.scanned_at > ACT_LIFE:
        raise Gone("A scan can be confirmed for 48 hours.")
    _note_confirmed(session, scan.id, token.id, scan.visitor_key, now=now)
    return session.get_one(ScanConfirmation, scan.id).confirmed_at


def _note_confirmed(session: Session, scan_id: UUID, token_id: UUID, visitor_key: int, *, now: datetime) -> None:
    is_new = insert_once(
        session,
        ScanConfirmation,
        scan_id=scan_id,
        token_id=token_id,
        visitor_key=visitor_key,
        confirmed_at=now,
        is_judged=False,
    )
    if is_new:
        record_event(session, "scans.confirmed", now=now, scan_ids=[scan_id.hex])


def best_fix(session: Session, scan_id: UUID) -> ScanPosition | None:
    """Of the positions given for a scan, the one with the smaller error circle."""
    return _smallest(_fixes(session, scan_id))


def _fixes(session: Session, scan_id: UUID) -> Sequence[ScanPosition]:
    return session.exec(select(ScanPosition).where(ScanPosition.scan_id == scan_id)).all()


def _smallest(fixes: Sequence[ScanPosition]) -> ScanPosition | None:
    return min(fixes, key=lambda fix: (fix.accuracy_m, fix.slot), default=None)


def scan_by_id(session: Session, scan_id: UUID) -> Scan:
    """A scan, whoever's it is: the caller checks its campaign. NotFound for none."""
    scan = session.get(Scan, scan_id)
    if scan is None:
        raise NotFound("There is no such scan.")
    return scan


def list_scans(
    session: Session,
    campaign_id: UUID,
    *,
    token_id: UUID | None = None,
    place_id: UUID | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
    before: UUID | None = None,
    limit: int,
) -> Sequence[Scan]:
    """Scans of a campaign, newest first. `since` is included, `until` is not."""
    query = select(Scan).where(Scan.campaign_id == campaign_id)
    for column, value in ((Scan.token_id, token_id), (Scan.place_id, place_id)):
        if value is not None:
            query = query.where(column == value)
    if since is not None:
        query = query.where(Scan.id >= ids.first_of(since))
    if until is not None:
        query = query.where(Scan.id < ids.first_of(until))
    if before is not None:
        query = query.where(Scan.id < before)
    return session.exec(query.order_by(col(Scan.id).desc()).limit(limit)).all()


def standing_judgements(session: Session, scan_ids: Sequence[UUID]) -> dict[UUID, ScanJudgement]:
    """The newest judgement of each of these scans that has one."""
    rows = session.exec(
        select(ScanJudgement).where(col(ScanJudgement.scan_id).in_(scan_ids)).order_by(col(ScanJudgement.id))
    )
    return {row.scan_id: row for row in rows}


def photographed(session: Session, token_ids: Sequence[UUID], *, now: datetime) -> dict[UUID, datetime]:
    """Which codes many people scanned far from their place in the last 24 hours, and since when."""
    rows = session.execute(
        columns(col(ScanPosition.token_id), first_scan())
        .where(
            col(ScanPosition.token_id).in_(token_ids),
            col(ScanPosition.geofence) == Geofence.OUTSIDE.value,
            col(ScanPosition.scan_id) >= ids.first_of(now - timedelta(hours=24)),
        )
        .group_by(col(ScanPosition.token_id), col(ScanPosition.visitor_key))
    )
    firsts: dict[UUID, list[UUID]] = defaultdict(list)
    for token_id, scan_id in rows:
        firsts[token_id].append(UUID(scan_id))
    return {
        token_id: ids.instant_of(sorted(found)[SPREAD_VISITORS - 1])
        for token_id, found in firsts.items()
        if len(found) >= SPREAD_VISITORS
    }


def confirmed_among(session: Session, scan_ids: Sequence[UUID]) -> set[UUID]:
    """Which of these scans were confirmed."""
    return set(session.exec(select(ScanConfirmation.scan_id).where(col(ScanConfirmation.scan_id).in_(scan_ids))).all())


def _best_position(
    session: Session,
    receipt: Receipt,
    place: Place | None,
    position: Position | None,
    sealed: SealedFix | None,
    *,
    late: bool,
    now: datetime,
) -> ScanPosition | None:
    """The best of the positions given for a scan, with the one that came now, if any."""
    if position is None or sealed is None:
        return best_fix(session, receipt.scan_id)
    return _keep_position(session, receipt, place, position, sealed, late=late, now=now)


def _keep_position(
    session: Session,
    receipt: Receipt,
    place: Place | None,
    position: Position,
    sealed: SealedFix,
    *,
    late: bool,
    now: datetime,
) -> ScanPosition | None:
    fence, distance = position.fence(place)
    if late and fence is Geofence.INSIDE:
        fence = Geofence.MAYBE
    kept = list(_fixes(session, receipt.scan_id))
    values: dict[str, Any] = {
        "scan_id": receipt.scan_id,
        "slot": len(kept) + 1,
        "geofence": fence.value,
        "distance_m": distance,
        "cell": position.cell,
        "accuracy_m": accuracy_up(position.accuracy_m),
        "located_at": now,
        "sealed": sealed.sealed,
        "token_id": receipt.token_id,
        "visitor_key": receipt.visitor_key,
        "point": sealed.point,
    }
    if len(kept) < 2 and insert_once(session, ScanPosition, **values):
        kept.append(ScanPosition(**values))
    return _smallest(kept)


def accuracy_up(accuracy_m: float) -> int:
    """Whole metres, rounded up: a circle is never made smaller than it was."""
    return min(int(-(-accuracy_m // 1)), 2**31 - 1)


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


def _is_visit(session: Session, person: Participant, entry: Entry, check_in_id: UUID, at: datetime) -> bool:
    """Whether a check-in is the first of this person, token and civil day of the place: the UNIQUE says so."""
    zone = entry.place.time_zone if entry.place else entry.campaign.time_zone
    return insert_once(
        session,
        Visit,
        participant_id=person.id,
        token_id=entry.token_id,
        civil_day=clock.civil_day(at, zone).isoformat(),
        check_in_id=check_in_id,
    )


def _may_be_here(session: Session, person: Participant, place: Place, at: datetime) -> bool:
    """Three minutes after another place, at ten places a day (DOMAIN section 4)."""
    day = clock.start_of_day(at, place.time_zone)
    elsewhere = session.execute(
        columns(col(CheckIn.place_id), col(CheckIn.scan_id)).where(
            col(CheckIn.participant_id) == person.id,
            col(CheckIn.counted),
            col(CheckIn.place_id) != place.id,
            col(CheckIn.checked_in_at) >= day,
        )
    ).all()
    visited = {place_id for place_id, scan_id in elsewhere if ids.instant_of(scan_id) >= day}
    rushed = any(abs(at - ids.instant_of(scan_id)) < BETWEEN_PLACES for _, scan_id in elsewhere)
    return not rushed and len(visited) < PLACES_A_DAY
