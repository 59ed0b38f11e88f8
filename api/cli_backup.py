"""`passerelle backup` and `passerelle restore`."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlmodel import Session

from api.terminal import EXIT_DIFFERENT, AsJson, read_settings, refuse, say
from campaigns import backup as backups
from campaigns import clock, privacy
from campaigns.backup import Made, Restored
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.sealing import Keyring
from campaigns.settings import Settings
from campaigns.storage import Database

KEEP_DAYS = 30  # a backup holds what is held about people: it has a term too
_GENTLE = 10  # the scans of a server beside it come first


def backup(
    target: Annotated[str, typer.Argument(metavar="[FILE or FOLDER]", help="Where to; a folder gets a name.")] = ".",
    keep_days: Annotated[
        int, typer.Option(min=0, max=3650, help="Remove our own backups in that folder older than this; 0 keeps all.")
    ] = KEEP_DAYS,
    as_json: AsJson = False,
) -> None:
    """Back the database up, beside a running server: SQLite's online backup, or pg_dump (PASSERELLE_PG_BIN).

    Makes passerelle-<UTC time>.backup, readable by its owner alone; one that was cut off never has that name. The
    visitor salts are not in it, nor the secret key: keep PASSERELLE_SECRET_KEY (or <file>.key) and the folder of
    erasures (PASSERELLE_ERASURE_DIR) apart from it, for `passerelle restore` asks for both.
    """
    os.nice(_GENTLE)
    settings = read_settings()
    path = Path(target)
    if target.endswith("/"):
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            refuse(f"There is no folder {target}, and it could not be made: {error}")
    database = Database(settings.database_url)
    made = backups.make(database, path, keep_days=keep_days, now=clock.utc_now(), pg_bin=settings.pg_bin)
    database.close()
    say(json.dumps(_told_made(made)) if as_json else _words_made(made, settings))


def restore(
    file: Annotated[Path, typer.Argument(help="What `passerelle backup` made.")],
    force: Annotated[
        bool, typer.Option("--force", help="PostgreSQL: also over a database that is not empty, which is kept aside.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Put a backup in the place of the database, whole or not at all. Stop the server first. Exits 3 like `verify`.

    Checks the file and the secret key before it touches anything, migrates an older schema, erases again whom the log
    of erasures names (PASSERELLE_ERASURE_DIR), and recounts everything. What was there is kept beside it
    (<file>.replaced-<time>, or a schema replaced_<time>) for you to delete. Killed midway? Run it again.
    """
    settings = read_settings()
    database = Database(settings.database_url)
    done = backups.restore(
        database,
        file,
        fingerprint=Keyring(_secret_that_is_there(settings)).fingerprint(),
        erasures=ErasureLog(settings.erasure_folder),
        replay=replay,
        now=clock.utc_now(),
        force=force,
        pg_bin=settings.pg_bin,
    )
    database.close()
    say(json.dumps(_told_restored(done)) if as_json else _words_restored(done, settings))
    raise typer.Exit(EXIT_DIFFERENT if done.problems else 0)


def replay(session: Session, erasures: Sequence[Erasure]) -> int:
    """Erase again whom the log names; how many of them the backup had."""
    return privacy.replay(session, erasures, now=clock.utc_now())


def _secret_that_is_there(settings: Settings) -> str:
    """The secret key; never a new one, which would fit no backup."""
    path = settings.sqlite_path
    if settings.secret_key:
        return settings.secret_key
    kept = None if path is None else path.with_name(path.name + ".key")
    if kept is None or not kept.exists():
        refuse(f"Give the key of this backup first: PASSERELLE_SECRET_KEY{f', or the file {kept}' if kept else ''}.")
    return kept.read_text().strip()


def _told_made(made: Made) -> dict[str, Any]:
    return {
        "file": str(made.file),
        "bytes": made.file.stat().st_size,
        "database": made.manifest.database,
        "schema": made.manifest.schema,
        "made_at": made.manifest.made_at.isoformat(),
        "removed": [str(one) for one in made.removed],
    }


def _words_made(made: Made, settings: Settings) -> str:
    apart = (
        "PASSERELLE_SECRET_KEY" if settings.secret_key or not settings.sqlite_path else f"{settings.sqlite_path}.key"
    )
    lines = [f"Backed up to {made.file} ({made.file.stat().st_size / 1e6:.1f} MB)."]
    lines += [f"Removed {one}: its term was over." for one in made.removed]
    lines += [f"Not in it, to be kept apart: {apart}, and the erasures in {settings.erasure_folder}."]
    return "\n".join(lines)


def _told_restored(done: Restored) -> dict[str, Any]:
    return {
        "ok": not done.problems,
        "made_at": done.manifest.made_at.isoformat(),
        "schema_before": done.manifest.schema,
        "schema": done.schema,
        "erasures_noted": done.noted,
        "erased": done.erased,
        "kept": done.kept,
        "problems": done.problems,
    }


def _words_restored(done: Restored, settings: Settings) -> str:
    lines = [f"Restored the backup of {done.manifest.made_at:%Y-%m-%d %H:%M:%S} UTC."]
    if done.schema != done.manifest.schema:
        lines.append(f"Migrated from schema {done.manifest.schema} to {done.schema}.")
    lines.append(f"Erased again: {done.erased} of {done.noted} people noted in {settings.erasure_folder}.")
    if not done.noted:
        lines.append("Is that the log of this database? Without it the erased are back: name it and restore again.")
    if done.kept:
        lines.append(f"What was there is kept as {done.kept}: delete it when you are sure, it holds personal data.")
    lines.append("Keys, links and sessions revoked since that moment are good again: revoke them anew.")
    return "\n".join([*lines, *(done.problems or ["Everything adds up."])])
