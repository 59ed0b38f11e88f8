"""Scans: making the row of a request, confirming it, and reading what was stored."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import ids
from campaigns.errors import Conflict, Gone, NotFound
from campaigns.events import record_event
from campaigns.places.geofence import Geofence
from campaigns.places.network import NOWHERE, Whereabouts
from campaigns.planning import Campaign, State
from campaigns.scans.agents import Agent
from campaigns.scans.log import ScanRow, TappedScan
from campaigns.scans.models import (
    Scan,
    ScanConfirmation,
    ScanJudgement,
    ScanPosition,
    ScanWriter,
    first_scan,
)
from campaigns.scans.proof import Proof
from campaigns.scans.receipt import ACT_LIFE, Receipt
from campaigns.scans.signals import SPREAD_VISITORS
from campaigns.scans.verdict import (
    RULES_VERSION,
    Judgement,
    Verdict,
    judge_request,
)
from campaigns.storage import insert_once
from campaigns.tokens import Token
from campaigns.tokens.directory import Entry


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
    """`draft` acts are tests and enter no figure, those of a pilot none that is public; the others are `live`."""
    return State(state).value if state in (State.DRAFT, State.PILOT) else "live"


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


def scan_by_id(session: Session, scan_id: UUID) -> Scan:
    """A scan, whoever's it is: the caller checks its campaign. NotFound for none."""
    scan = session.get(Scan, scan_id)
    if scan is None:
        raise NotFound("There is no such scan.")
    return scan


def scan_of(session: Session, organisation_id: UUID, scan_id: UUID) -> Scan:
    """The organisation's scan. NotFound, after the same one statement, for another's and for none."""
    campaign = select(Campaign.id).where(Campaign.organisation_id == organisation_id)
    scan = session.exec(select(Scan).where(Scan.id == scan_id, col(Scan.campaign_id).in_(campaign))).first()
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
    """Scans of a campaign first. `since` is included, `until` is not."""
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


def judged_verdicts(session: Session, scan_ids: Sequence[UUID]) -> dict[UUID, str]:
    """What stands of each of these scans that the judge has counted: of the others nothing is known yet."""
    if not scan_ids:
        return {}
    query = (
        columns(col(Scan.id), col(Scan.verdict))
        .join(ScanConfirmation, col(ScanConfirmation.scan_id) == col(Scan.id))
        .where(col(Scan.id).in_(scan_ids), col(ScanConfirmation.is_judged))
    )
    found = {id: str(verdict) for id, verdict in session.execute(query)}
    newer = columns(col(ScanJudgement.scan_id), col(ScanJudgement.verdict)).where(col(ScanJudgement.scan_id).in_(found))
    return found | {id: str(verdict) for id, verdict in session.execute(newer.order_by(col(ScanJudgement.id)))}


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
