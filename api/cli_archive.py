"""`passerelle archive`: scans of closed months out of the database, into files that were read back."""

import json
import os
from contextlib import closing, nullcontext
from dataclasses import asdict
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from api.cli_export import Format
from api.terminal import AsJson, read_settings, refuse, say
from campaigns import clock
from campaigns.scans import archiving
from campaigns.stats import parquet
from campaigns.storage import Database, sole_process

_GENTLE = 10


def archive(
    before: Annotated[str, typer.Option(help="Months that ended before this day, the first of one: 2026-10-01.")],
    out: Annotated[Path, typer.Option(help="The folder, made if need be.")],
    file_format: Annotated[
        Format, typer.Option("--format", help="parquet: beside the NDJSON; needs the extra `parquet`.")
    ] = Format.NDJSON,
    as_json: AsJson = False,
) -> None:
    """Move scans of closed months into gzipped NDJSON, a file a month with its manifest; no figure changes.

    A file is read back before the first of its rows is deleted: killed at any moment, every scan is in the database or
    in a file. It holds no visitor keys and no positions, and keeps their term: delete it on the day its manifest names
    (13 months). Stop the server first on SQLite.
    """
    os.nice(_GENTLE)
    settings = read_settings()
    if settings.sqlite_path is not None and not settings.sqlite_path.exists():
        refuse(f"There is no database {settings.sqlite_path}.")
    if file_format is Format.CSV:
        refuse("An archive is written as ndjson, or as parquet beside it.")
    if file_format is Format.PARQUET:
        parquet.require()
    write = _write_parquet if file_format is Format.PARQUET else None
    alone = sole_process(settings.sqlite_path) if settings.sqlite_path else nullcontext()
    made = []
    try:
        with alone, closing(Database(settings.database_url)) as database:
            for one, gone in archiving.archive(database, out, before=_day(before), parquet=write, now=clock.utc_now()):
                made.append(asdict(one) | {"deleted": gone})
                if not as_json:
                    say(f"{one.month}: {one.rows:,} scans in {out / one.file}, to be kept until {one.delete_by}.")
    except OSError as error:
        refuse(f"{out} could not be written: {error}. Every scan is still there or in a file.")
    if as_json:
        say(json.dumps({"files": made}))
    elif not made:
        say("There is nothing to archive.")


def _write_parquet(path: Path, pages: archiving.Pages) -> None:
    parquet.write(path, archiving.COLUMNS, pages)


def _day(text: str) -> datetime:
    try:
        day = date.fromisoformat(text)
    except ValueError:
        refuse(f"{text} is no day; write one as 2026-10-01.")
    return datetime(day.year, day.month, day.day, tzinfo=UTC)
