"""Scans to take away: every scan of a campaign as it was judged last, slice by slice, in memory that stays the same.

Each slice is read in a session of its own, so that no read stays open over minutes and holds SQLite's checkpoints up.
What was scanned after the beginning is not in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import exists, func, select
from sqlmodel import Session, col

from campaigns import clock, ids
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans.models import CheckIn, Scan, ScanConfirmation, ScanJudgement
from campaigns.storage import Database
from campaigns.tokens import Kind, Token

SLICE: Final = 2_000  # scans of one read: some 30 ms


class ExportedScan(NamedTuple):
    """A scan without its visitor. `presence` is of its check-in; None of a scan that nobody checked in on."""

    scan_id: str
    scanned_at: str  # with the offset of its place
    time_zone: str
    token_id: str
    code: str
    medium: str
    channel: str
    place_id: str
    place: str
    phase: str
    verdict: str
    reasons: str
    confirmed: bool
    checked_in: bool
    counted: bool
    late: bool
    presence: int | None
    device: str
    language: str
    country: str


@dataclass(frozen=True)
class Wanted:
    """Which scans of a campaign: of a time, a place, a code or a batch of serials, with a verdict."""

    campaign: Campaign
    until: UUID
    since: UUID = ids.NIL
    place_id: UUID | None = None
    token_id: UUID | None = None
    batch_id: UUID | None = None
    verdict: str | None = None

    def takes(self, row: Any) -> bool:
        """Whether a scan is wanted. Asked here, not of the database: a slice is as short whatever it is asked for."""
        return (
            (self.place_id is None or row.place_id == self.place_id)
            and (self.token_id is None or row.token_id == self.token_id)
            and (self.batch_id is None or (row.kind == Kind.SERIAL and row.batch_id == self.batch_id))
            and (self.verdict is None or row.verdict == self.verdict)
        )


def export(database: Database, wanted: Wanted) -> Iterator[tuple[int, list[ExportedScan]]]:
    """The scans in the order of their ids, a slice at a time; and how many were looked at for it."""
    after = wanted.since
    is_first = True
    while True:
        with database.snapshot(keep_pages=False) as session:
            rows = session.execute(_slice(wanted, after, is_first)).all()
        if not rows:
            return
        is_first, after = False, rows[-1].id
        yield len(rows), [_exported(row) for row in rows if wanted.takes(row)]


def number(session: Session, wanted: Wanted) -> int:
    """How many scans there are to look at."""
    within = (col(Scan.id) >= wanted.since, col(Scan.id) < wanted.until)
    return int(
        session.execute(
            select(func.count()).select_from(Scan).where(col(Scan.campaign_id) == wanted.campaign.id, *within)
        ).scalar_one()
    )


def _slice(wanted: Wanted, after: UUID, is_first: bool) -> Any:
    of: Any = select(col(Scan.id)).where(col(Scan.campaign_id) == wanted.campaign.id, col(Scan.id) < wanted.until)
    of = of.where(col(Scan.id) >= after if is_first else col(Scan.id) > after).order_by(col(Scan.id)).limit(SLICE)
    judged: Any = select(col(ScanJudgement.id)).where(col(ScanJudgement.scan_id) == col(Scan.id))
    newest = judged.order_by(col(ScanJudgement.id).desc()).limit(1).correlate(Scan).scalar_subquery()
    return (
        select(
            *(
                col(getattr(Scan, name))
                for name in ("id", "token_id", "place_id", "phase", "device", "language", "country")
            ),
            func.coalesce(col(ScanJudgement.verdict), col(Scan.verdict)).label("verdict"),
            func.coalesce(col(ScanJudgement.reasons), col(Scan.reasons)).label("reasons"),
            exists().where(col(ScanConfirmation.scan_id) == col(Scan.id)).label("confirmed"),
            col(CheckIn.id).label("check_in_id"),
            col(CheckIn.presence),
            col(CheckIn.counted),
            col(CheckIn.is_late),
            col(Token.code),
            col(Token.kind),
            col(Token.batch_id),
            col(Token.medium),
            col(Token.channel),
            col(Place.name),
            func.coalesce(col(Place.time_zone), wanted.campaign.time_zone).label("time_zone"),
        )
        .select_from(Scan)
        .outerjoin(ScanJudgement, col(ScanJudgement.id) == newest)
        .outerjoin(CheckIn, col(CheckIn.scan_id) == col(Scan.id))
        .outerjoin(Token, col(Token.id) == col(Scan.token_id))
        .outerjoin(Place, col(Place.id) == col(Scan.place_id))
        .where(col(Scan.id).in_(of))
        .order_by(col(Scan.id))
    )


def _exported(row: Any) -> ExportedScan:
    return ExportedScan(
        scan_id=ids.show("scn", row.id),
        scanned_at=ids.instant_of(row.id).astimezone(clock.zone(row.time_zone)).isoformat(timespec="milliseconds"),
        time_zone=row.time_zone,
        token_id=ids.show("tok", row.token_id) if row.token_id else "",
        code=row.code or "",
        medium=row.medium or "",
        channel=row.channel or "",
        place_id=ids.show("plc", row.place_id) if row.place_id else "",
        place=row.name or "",
        phase=row.phase,
        verdict=row.verdict,
        reasons=row.reasons,
        confirmed=bool(row.confirmed),
        checked_in=row.check_in_id is not None,
        counted=bool(row.counted),
        late=bool(row.is_late),
        presence=row.presence,
        device=row.device,
        language=row.language,
        country=row.country or "",
    )


def until_of(instant: datetime) -> UUID:
    """The bound before which scans are: fixed when an export begins."""
    return ids.first_of(instant)
