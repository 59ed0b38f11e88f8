"""The scans of a campaign to take away, as CSV, NDJSON or Parquet, streamed: in as much memory as for ten."""

import tempfile
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Annotated, Any

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse

from api.dependencies import Core, Now
from api.exports import Dialect, csv_file, file_of, ndjson_file
from api.figure_filters import Value, When, asked_for
from api.policies import Actor, may
from campaigns import ids, planning
from campaigns.identity import Right
from campaigns.planning import Campaign
from campaigns.scans import Verdict
from campaigns.stats import Asked, exporting, parquet
from campaigns.stats.exporting import ExportedScan, Wanted

router = APIRouter(prefix="/v1", tags=["figures"])

COLUMNS = ExportedScan._fields
LOOKED_AT = "X-Total-Count"  # how many scans are gone through at most: what a progress is of
_Verdict = Annotated[Verdict | None, Query(description="Of the one that stands.")]


class Filters:
    """What an export is asked of."""

    def __init__(
        self,
        campaign_id: str,
        actor: Actor,
        core: Core,
        now: Now,
        since: When = None,
        until: When = None,
        place_id: Value = None,
        token_id: Value = None,
        verdict: _Verdict = None,
    ) -> None:
        self.database = core.database
        with core.database.snapshot() as session:
            self.campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
            where = {"place": place_id, "token": token_id}
            asked = asked_for(session, self.campaign, since, until, where, now=now)
            self.wanted = wanted_of(self.campaign, asked, verdict, now=now)
            self.number = exporting.number(session, self.wanted)

    @property
    def name(self) -> str:
        return f"scans-{ids.plain_name(self.campaign.name) or 'campaign'}"


_Filtered = Annotated[Filters, Depends()]


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
    "/campaigns/{campaign_id}/export.csv", dependencies=[may(Right.FIGURES_READ)], response_class=StreamingResponse
)
def export_csv(found: _Filtered, dialect: Dialect = Dialect.PLAIN) -> StreamingResponse:
    """Every scan as it was judged last, with what was done on it, as CSV: place, code, time with its offset, presence.

    In the order of time, up to the moment it was asked for; no visitor key, no person. `dialect=excel-fr`: semicolons
    and a byte order mark. `X-Total-Count` is how many scans are gone through: all of the time, whatever is filtered.
    """
    pages = ([_as_text(row) for row in page] for _, page in exporting.export(found.database, found.wanted))
    return _told(csv_file(found.name, COLUMNS, pages, dialect=dialect), found)


@router.get(
    "/campaigns/{campaign_id}/export.ndjson", dependencies=[may(Right.FIGURES_READ)], response_class=StreamingResponse
)
def export_ndjson(found: _Filtered) -> StreamingResponse:
    """The same with a JSON object a line; what there is not is null."""
    pages = ([as_json(row) for row in page] for _, page in exporting.export(found.database, found.wanted))
    return _told(ndjson_file(found.name, pages), found)


@router.get(
    "/campaigns/{campaign_id}/export.parquet", dependencies=[may(Right.FIGURES_READ)], response_class=StreamingResponse
)
def export_parquet(found: _Filtered) -> StreamingResponse:
    """The same as Parquet: written to a file first, which nobody else sees, so that its first byte takes a while. 501
    without duckdb (`pip install "passerelle[parquet]"`).
    """
    parquet.require()
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


def _told(answer: StreamingResponse, found: Filters) -> StreamingResponse:
    answer.headers[LOOKED_AT] = str(found.number)
    return answer


def _as_text(row: ExportedScan) -> dict[str, str]:
    return dict(zip(COLUMNS, map(text_of, row), strict=True))


def text_of(value: Any) -> str:
    """A cell: true and false as such, nothing for none."""
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)


def as_json(row: ExportedScan) -> dict[str, Any]:
    """A line: what there is not is null."""
    return {name: None if value == "" else value for name, value in row._asdict().items()}
