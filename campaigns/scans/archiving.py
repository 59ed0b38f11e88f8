"""Old scans in files: the rows of closed months leave the log once a file that was read back holds them.

At any moment each scan is in the database or in such a file: only ids that stand in a file on disk are deleted, and a
scan that came meanwhile stays for the next time. Counters, rollups and acts are left alone, so no figure changes, and
`verify` begins where the log is whole, as after retention.
"""

import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Any, Final
from uuid import UUID

from sqlalchemy import delete, exists, func, select
from sqlmodel import Session, col

from campaigns import ids
from campaigns.errors import Conflict, Invalid
from campaigns.events import Event
from campaigns.scans.log_start import MONTHS_KEPT, move_log_start
from campaigns.scans.models import (
    CheckIn,
    ReceiptTries,
    Scan,
    ScanConfirmation,
    ScanJudgement,
    ScanPosition,
)
from campaigns.scans.partitions import month_after
from campaigns.storage import Database, changed, sync_file

SLICE: Final = 2_000  # scans of one read
CHUNK: Final = 500  # scans of one transaction that deletes
SETTLED: Final = timedelta(days=4)  # acts come for 48 hours, and what is held is held for 72
COLUMNS: Final = {
    "scan_id": "VARCHAR",
    "scanned_at": "TIMESTAMP WITH TIME ZONE",
    **dict.fromkeys(("campaign_id", "token_id", "place_id", "code", "phase", "verdict", "reasons"), "VARCHAR"),
    "first_verdict": "VARCHAR",
    "rules_version": "INTEGER",
    "confirmed": "BOOLEAN",
    "presence": "UTINYINT",
    "geofence": "VARCHAR",
    **dict.fromkeys(("device", "language", "country", "city"), "VARCHAR"),
}
# What of the log goes with a scan. Positions are long without their point; tries of a till code are of ten minutes.
_WITH_IT: Final = (
    *(col(one.scan_id) for one in (ScanConfirmation, ScanJudgement, ScanPosition, ReceiptTries)),
    col(Scan.id),  # last: how many of them there were
)
Row = tuple[Any, ...]  # as COLUMNS go
Pages = Iterator[list[Row]]
Parquet = Callable[[Path, Pages], object]  # writes rows to a new file


@dataclass(frozen=True)
class Archived:
    """A file of a month and what its manifest says. `delete_by`: its scans reach their term (13 months) then."""

    file: str
    month: str
    rows: int
    first_id: str
    last_id: str
    sha256: str
    delete_by: str
    parquet: str | None = None


def archive(
    database: Database, folder: Path, *, before: datetime, parquet: Parquet | None = None, now: datetime
) -> Iterator[tuple[Archived, int]]:
    """Archive the months that ended before an instant, oldest first; a file each and how many scans left the log.

    With `parquet` a second file of each in that format. Files are readable by their owner alone. Run it where nobody
    else writes the log of these months. Invalid for a time that is no first of a month or not yet settled (four days);
    Conflict while the worker has not looked at all of them.
    """
    _require_closed(database, before, now)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    while (month := _oldest_month(database, before)) is not None:
        end = month_after(month)
        made = _write(database, folder, month, end, parquet)
        yield made, _forget(database, folder / made.file, up_to=_start_of(end))


def read_back(path: Path) -> Iterator[UUID]:
    """The ids of the scans a file holds, every byte of it read. Conflict for a file that is cut off or altered."""
    try:
        with gzip.open(path, "rt", encoding="utf-8") as file:
            for line in file:
                yield ids.parse("scn", json.loads(line)["scan_id"])
    except (OSError, EOFError, ValueError, KeyError, zlib.error) as error:
        raise Conflict(f"{path} cannot be read back: {error}. Nothing of it was deleted.") from error


def _require_closed(database: Database, before: datetime, now: datetime) -> None:
    if before != _start_of(before.date().replace(day=1)):
        raise Invalid("Whole months are archived: name the first day of one.", pointer="/before")
    if before > now - SETTLED:
        raise Invalid("Acts may still come: a month is archived four days after its end.", pointer="/before")
    with database.snapshot() as session:
        waiting = session.execute(select(func.count()).where(col(Event.recorded_at) < before + SETTLED)).scalar_one()
    if waiting:
        raise Conflict("The worker has not looked at all of these scans yet: let `passerelle serve` run a moment.")


def _oldest_month(database: Database, before: datetime) -> date | None:
    """The month of the oldest scan that is there still; None without one before."""
    oldest = select(col(Scan.id)).where(col(Scan.id) < ids.first_of(before)).order_by(col(Scan.id)).limit(1)
    with database.snapshot() as session:
        found = session.execute(oldest).scalar()
    return None if found is None else ids.instant_of(found).date().replace(day=1)


# Writing ---------------------------------------------------------------------------------------------------------


class _Tally:
    """How many scans went by, the first and last, and a hash of their ids: what is read back must come to the same."""

    def __init__(self) -> None:
        self.rows = 0
        self.first = self.last = ids.NIL
        self._hash = hashlib.sha256()

    def add(self, id: UUID) -> None:
        self.first = self.first if self.rows else id
        self.last, self.rows = id, self.rows + 1
        self._hash.update(id.bytes)

    @property
    def told(self) -> tuple[int, UUID, UUID, str]:
        return self.rows, self.first, self.last, self._hash.hexdigest()


def _write(database: Database, folder: Path, month: date, end: date, parquet: Parquet | None) -> Archived:
    """Write a file and its manifest under names of their own, on disk and read back when this returns."""
    path = _free(folder, month)
    part = path.with_name(path.name + ".part")
    tally = _write_lines(part, _pages(database, _start_of(month), _start_of(end)))
    read = _Tally()
    for id in read_back(part):
        read.add(id)
    if read.told != tally.told:
        raise Conflict(f"{part} does not hold what was written. Nothing was deleted.")
    part.replace(path)
    made = Archived(
        path.name,
        f"{month:%Y-%m}",
        tally.rows,
        ids.show("scn", tally.first),
        ids.show("scn", tally.last),
        digest(path),
        month_after(month, MONTHS_KEPT + 1).isoformat(),
        _write_parquet(path, parquet) if parquet else None,
    )
    manifest = path.with_name(path.name + ".manifest.json")
    with _create(manifest) as file:
        file.write(json.dumps({"passerelle_archive": 1, **asdict(made)}, indent=1).encode() + b"\n")
    for one in (path, manifest, folder):
        sync_file(one)
    return made


def _free(folder: Path, month: date) -> Path:
    """A name nobody has: a month has several files when a run was killed or scans came late."""
    for number in range(1, 10_000):
        path = folder / f"scans-{month:%Y-%m}{'' if number == 1 else f'-{number}'}.ndjson.gz"
        if not path.exists():
            return path
    raise Conflict(f"{folder} has too many files of {month:%Y-%m}.")


def _create(path: Path) -> Any:
    path.unlink(missing_ok=True)  # of a run that was killed
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _write_lines(part: Path, pages: Iterator[list[Row]]) -> _Tally:
    tally = _Tally()
    with _create(part) as raw:
        with gzip.GzipFile(fileobj=raw, mode="wb", compresslevel=6, mtime=0) as file:
            for page in pages:
                for row in page:
                    file.write(json.dumps(dict(zip(COLUMNS, row, strict=True)), ensure_ascii=False).encode() + b"\n")
                    tally.add(ids.parse("scn", row[0]))
        raw.flush()
        os.fsync(raw.fileno())
    return tally


def _write_parquet(path: Path, parquet: Parquet) -> str:
    """The same rows, read from the file that was verified."""
    name = path.name.removesuffix(".ndjson.gz") + ".parquet"
    part = path.with_name(name + ".part")
    parquet(part, lines_of(path))
    part.chmod(0o600)
    sync_file(part)
    part.replace(path.with_name(name))
    return name


def lines_of(path: Path) -> Iterator[list[Row]]:
    with gzip.open(path, "rt", encoding="utf-8") as file:
        while lines := list(islice(file, SLICE)):
            yield [tuple(json.loads(line).values()) for line in lines]


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _pages(database: Database, since: datetime, until: datetime) -> Iterator[list[Row]]:
    """The scans between, a short read a slice."""
    after, end = ids.first_of(since), ids.first_of(until)
    within: Any = col(Scan.id) >= after
    while True:
        of: Any = select(col(Scan.id)).where(within, col(Scan.id) < end).order_by(col(Scan.id)).limit(SLICE)
        with database.snapshot() as session:
            rows = session.execute(_QUERY.where(col(Scan.id).in_(of))).all()
        if not rows:
            return
        within = col(Scan.id) > rows[-1].id
        yield [_row(row) for row in rows]


def _query() -> Any:
    standing: Any = select(ScanJudgement).where(col(ScanJudgement.scan_id) == col(Scan.id))
    newest = standing.order_by(col(ScanJudgement.id).desc()).limit(1)
    fence: Any = select(col(ScanPosition.geofence)).where(col(ScanPosition.scan_id) == col(Scan.id))
    judged = [newest.with_only_columns(col(getattr(ScanJudgement, name))) for name in ("verdict", "reasons")]
    return (
        select(
            *(col(getattr(Scan, name)) for name in ("id", "campaign_id", "token_id", "place_id", "code", "phase")),
            func.coalesce(judged[0].scalar_subquery(), col(Scan.verdict)).label("standing"),
            func.coalesce(judged[1].scalar_subquery(), col(Scan.reasons)).label("reasons"),
            *(
                col(getattr(Scan, name))
                for name in ("verdict", "rules_version", "device", "language", "country", "city")
            ),
            exists().where(col(ScanConfirmation.scan_id) == col(Scan.id)).label("confirmed"),
            col(CheckIn.presence),
            fence.order_by(col(ScanPosition.accuracy_m)).limit(1).scalar_subquery().label("geofence"),
        )
        .select_from(Scan)
        .outerjoin(CheckIn, col(CheckIn.scan_id) == col(Scan.id))
        .order_by(col(Scan.id))
    )


_QUERY = _query()


def _row(row: Any) -> Row:
    """A scan as `COLUMNS` go: no visitor key, and no position but inside, maybe or outside."""
    return (
        ids.show("scn", row.id),
        ids.instant_of(row.id).isoformat(timespec="milliseconds"),
        *(ids.show(kind, id) if id else None for kind, id in (("cmp", row.campaign_id), ("tok", row.token_id))),
        ids.show("plc", row.place_id) if row.place_id else None,
        row.code,
        row.phase,
        row.standing,
        row.reasons,
        row.verdict,
        row.rules_version,
        bool(row.confirmed),
        row.presence,
        row.geofence,
        row.device,
        row.language,
        row.country,
        row.city,
    )


# Deleting --------------------------------------------------------------------------------------------------------


def _forget(database: Database, path: Path, *, up_to: datetime) -> int:
    """Delete the scans a file holds, 500 a transaction; how many there were."""
    with database.transaction() as session:
        move_log_start(session, to=up_to)  # before the first row goes: `verify` counts from here on
    gone = 0
    held = read_back(path)
    while chunk := list(islice(held, CHUNK)):
        with database.transaction() as session:
            gone += [_delete(session, column, chunk) for column in _WITH_IT][-1]
    return gone


def _delete(session: Session, column: Any, scan_ids: list[UUID]) -> int:
    statement = delete(column.class_).where(column.in_(scan_ids)).execution_options(synchronize_session=False)
    return changed(session, statement)


def _start_of(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
