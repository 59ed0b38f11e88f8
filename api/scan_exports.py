"""The scans of a campaign to take away, as CSV, NDJSON or Parquet, streamed: in as much memory as for ten."""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.dependencies import Core, Now
from api.exports import Dialect, csv_text, defused, file_of, ndjson_file
from api.figure_filters import KNOWN, Value, When, asked_for
from api.policies import Actor, may
from campaigns import ids, planning
from campaigns.identity import Right
from campaigns.planning import Campaign
from campaigns.scans import Verdict
from campaigns.stats import Asked, exporting, parquet
from campaigns.stats.exporting import ExportedScan, Wanted
from campaigns.storage import Database

router = APIRouter(prefix="/v1", tags=["figures"])

COLUMNS = ExportedScan._fields
LOOKED_AT = "X-Total-Count"  # how many scans are gone through at most: what a progress is of
_Verdict = Annotated[Verdict | None, Query(description="Of the one that stands.")]


@dataclass(frozen=True)
class Found:
    """The scans that are asked for, and how many are gone through for them."""

    database: Database
    name: str
    wanted: Wanted
    number: int


class Filters:
    """What an export is asked of."""

    def __init__(
        self,
        actor: Actor,
        core: Core,
        now: Now,
        since: When = None,
        until: When = None,
        place_id: Value = None,
        token_id: Value = None,
        verdict: _Verdict = None,
    ) -> None:
        self._core, self._now, self._organisation_id = core, now, actor.organisation_id
        self._times, self._verdict = (since, until), verdict
        self._where = {"place": place_id, "token": token_id}

    def of(self, campaign_id: str) -> Found:
        """The scans of a campaign they leave; NotFound for another organisation's."""
        database = self._core.database
        with database.snapshot(keep_pages=False) as session:
            campaign = planning.campaign_by_name(session, self._organisation_id, campaign_id)
            asked = asked_for(session, campaign, *self._times, self._where, now=self._now)
            wanted = wanted_of(campaign, asked, self._verdict, now=self._now)
            name = f"scans-{ids.plain_name(campaign.name) or 'campaign'}"
            return Found(database, name, wanted, exporting.number(session, wanted))


_Filtered = Annotated[Filters, Depends()]
_MAY = [may(Right.FIGURES_READ), KNOWN]


def wanted_of(campaign: Campaign, asked: Asked, verdict: Verdict | None, *, now: datetime) -> Wanted:
    """The scans asked for, up to now. Invalid when the times are the wrong way round."""
    asked.check()
    token = asked.where.get("token", "")
    return Wanted(
        campaign,
        until=exporting.until_of(min(asked.until or now, now)),
        since=ids.first_of(asked.since) if asked.since else ids.NIL,
        place_id=ids.parse("plc", asked.where["place"]) if "place" in asked.where else None,
        token_id=ids.parse("tok", token) if token.startswith("tok_") else None,
        batch_id=ids.parse("tbt", token) if token.startswith("tbt_") else None,
        verdict=verdict.value if verdict else None,
    )


@router.get(
    "/campaigns/{campaign_id}/export.csv",
    dependencies=[may(Right.FIGURES_READ), KNOWN],
    response_class=StreamingResponse,
)
def export_csv(campaign_id: str, filters: _Filtered, dialect: Dialect = Dialect.PLAIN) -> StreamingResponse:
    """Every scan as it was judged last, with what was done on it, as CSV: place, code, time with its offset, presence.

    In the order of time, up to the moment it was asked for; no visitor key, no person. `dialect=excel-fr`: semicolons
    and a byte order mark. `X-Total-Count` is how many scans are gone through: all of the time, whatever is filtered.
    """
    found = filters.of(campaign_id)
    pages = (map(as_cells, page) for _, page in exporting.export(found.database, found.wanted))
    body = csv_text(COLUMNS, pages, excel_fr=dialect is Dialect.EXCEL_FR)
    return _told(file_of(f"{found.name}.csv", "text/csv; charset=utf-8", body), found)


@router.get(
    "/campaigns/{campaign_id}/export.ndjson",
    dependencies=[may(Right.FIGURES_READ), KNOWN],
    response_class=StreamingResponse,
)
def export_ndjson(campaign_id: str, filters: _Filtered) -> StreamingResponse:
    """The same with a JSON object a line; what there is not is null."""
    found = filters.of(campaign_id)
    pages = ([as_json(row) for row in page] for _, page in exporting.export(found.database, found.wanted))
    return _told(ndjson_file(found.name, pages), found)


@router.get(
    "/campaigns/{campaign_id}/export.parquet",
    dependencies=[may(Right.FIGURES_READ), KNOWN],
    response_class=StreamingResponse,
)
def export_parquet(campaign_id: str, filters: _Filtered) -> StreamingResponse:
    """The same as Parquet: written to a file first, which nobody else sees, so that its first byte takes a while. 501
    without duckdb (`pip install "passerelle[parquet]"`).
    """
    parquet.require()
    found = filters.of(campaign_id)
    pages = (page for _, page in exporting.export(found.database, found.wanted))
    with tempfile.TemporaryDirectory(prefix="passerelle-export-") as folder:
        path = Path(folder) / "scans.parquet"
        parquet.write(path, TYPES, pages)
        file = path.open("rb")  # gone from the folder with it, and from the disk with the last byte that is sent
    return _told(file_of(f"{found.name}.parquet", "application/vnd.apache.parquet", _chunks(file)), found)


TYPES = dict.fromkeys(COLUMNS, "VARCHAR") | {
    "scanned_at": "TIMESTAMP WITH TIME ZONE",
    **dict.fromkeys(("confirmed", "checked_in", "counted", "late"), "BOOLEAN"),
    "presence": "UTINYINT",
}


def _chunks(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        while chunk := file.read(1 << 16):
            yield chunk


def _told(answer: StreamingResponse, found: Found) -> StreamingResponse:
    answer.headers[LOOKED_AT] = str(found.number)
    return answer


def as_cells(row: ExportedScan) -> list[str]:
    """A line of CSV, defused: true and false as such, nothing for none."""
    return [defused(value) if isinstance(value, str) else _text_of(value) for value in row]


def _text_of(value: bool | int | None) -> str:
    return "" if value is None else str(value).lower()


def as_json(row: ExportedScan) -> dict[str, Any]:
    """A line: what there is not is null."""
    return {name: None if value == "" else value for name, value in row._asdict().items()}
