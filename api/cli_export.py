"""`passerelle export`: the scans of a campaign into a file, read from the database beside a running server."""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from api.exports import Dialect, csv_text, ndjson_text
from api.figure_filters import asked_for
from api.scan_exports import COLUMNS, TYPES, as_cells, as_json, wanted_of
from api.terminal import AsJson, campaign_named, read_settings, refuse, say
from campaigns import clock
from campaigns.scans import Verdict
from campaigns.stats import exporting, parquet
from campaigns.stats.exporting import ExportedScan, Wanted
from campaigns.storage import Database, sync_file

_GENTLE = 10  # the scans of a server beside it come first
Pages = Iterator[Sequence[ExportedScan]]


class Format(StrEnum):
    """What is written."""

    CSV = "csv"
    NDJSON = "ndjson"
    PARQUET = "parquet"


def export(
    campaign: Annotated[str, typer.Argument(help="A campaign: cmp_... or ext_...")],
    out: Annotated[Path, typer.Option(help="The file to write; it has that name once it is whole.")],
    file_format: Annotated[Format, typer.Option("--format", help="Parquet needs the extra `parquet`.")] = Format.CSV,
    since: Annotated[str | None, typer.Option(help="A date, or an instant with its zone.")] = None,
    until: Annotated[str | None, typer.Option(help="The same; not included.")] = None,
    place_id: Annotated[str | None, typer.Option(help="plc_...")] = None,
    token_id: Annotated[str | None, typer.Option(help="tok_... or tbt_...")] = None,
    verdict: Annotated[Verdict | None, typer.Option(help="The one that stands.")] = None,
    dialect: Annotated[Dialect, typer.Option(help="Of CSV.")] = Dialect.PLAIN,
    force: Annotated[bool, typer.Option("--force", help="Over a file that is there.")] = False,
    as_json_: AsJson = False,
) -> None:
    """Every scan of a campaign as it was judged last, without visitors and people, in memory that stays the same.

    Reads beside a running server, in short reads, and changes nothing. What was cut off never has the file's name.
    """
    os.nice(_GENTLE)
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    if out.exists() and not force:
        refuse(f"{out} is there already; name another file, or say --force.")
    if file_format is Format.PARQUET:
        parquet.require()
    now = clock.utc_now()
    with closing(Database(settings.database_url)) as database:
        filters = {"place": place_id, "token": token_id}
        wanted, number = _wanted(database, campaign, since, until, filters, verdict, now)
        told = {"file": str(out), "format": file_format.value}
        rows = write_file(database, wanted, number, out, file_format, dialect)
    say(json.dumps(told | {"scans": rows}) if as_json_ else f"Wrote {rows:,} scans to {out}.")


def _wanted(
    database: Database,
    name: str,
    since: str | None,
    until: str | None,
    filters: dict[str, str | None],
    verdict: Verdict | None,
    now: datetime,
) -> tuple[Wanted, int]:
    with database.snapshot(keep_pages=False) as session:
        campaign = campaign_named(session, name)
        asked = asked_for(session, campaign, since, until, filters, now=now)
        wanted = wanted_of(campaign, asked, verdict, now=now)
        return wanted, exporting.number(session, wanted)


def write_file(
    database: Database, wanted: Wanted, number: int, out: Path, file_format: Format, dialect: Dialect
) -> int:
    """Write beside the file under another name, and give it its name when all is on disk; how many scans."""
    part = out.with_name(f".{out.name}.{os.getpid()}.part")
    count = [0]
    try:
        with _progress(number) as progress:
            pages = _counted(exporting.export(database, wanted), progress, count)
            if file_format is Format.PARQUET:
                parquet.write(part, TYPES, pages)
            else:
                _write_text(part, pages, file_format, dialect)
        sync_file(part)
        part.replace(out)
        sync_file(out.parent)
    except OSError as error:
        refuse(f"{out} could not be written: {error}")
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
    return count[0]


def _write_text(part: Path, pages: Pages, file_format: Format, dialect: Dialect) -> None:
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
        if file_format is Format.NDJSON:
            file.writelines(ndjson_text([as_json(row) for row in page] for page in pages))
        else:
            lines = (map(as_cells, page) for page in pages)
            file.writelines(csv_text(COLUMNS, lines, excel_fr=dialect is Dialect.EXCEL_FR))


def _progress(number: int) -> Progress:
    """A bar of the scans gone through, on a terminal only."""
    console = Console(stderr=True)
    columns: tuple[Any, ...] = (TextColumn("scans"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    progress = Progress(*columns, console=console, disable=not console.is_terminal, transient=True)
    progress.add_task("scans", total=number)
    return progress


def _counted(
    slices: Iterator[tuple[int, list[ExportedScan]]], progress: Progress, count: list[int]
) -> Iterator[list[ExportedScan]]:
    for looked_at, page in slices:
        progress.advance(progress.task_ids[0], looked_at)
        count[0] += len(page)
        yield page
