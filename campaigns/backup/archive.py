"""The file of a backup: a ZIP of a manifest and the database, which ordinary tools open too.

Its table of contents stands at the end and every member has a CRC-32, so a file that was cut off or altered is known.
"""

import json
import os
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from campaigns.errors import Invalid, NotFound

CHUNK = 1 << 20
_FORMAT = 1
_MANIFEST = "manifest.json"
_MOST_SAID = 10_000  # bytes of a manifest: a megabyte of a ZIP can unfold to a gigabyte
_MEMBERS = {"sqlite": "passerelle.sqlite", "postgresql": "passerelle.pgdump"}


@dataclass(frozen=True)
class Manifest:
    """What a backup says of itself. Of the secret key it has the fingerprint alone."""

    database: str  # sqlite | postgresql
    made_at: datetime
    schema: str
    key_fingerprint: str  # empty: no server had started yet
    tool: str  # the library or the pg_dump that made it


def write(path: Path, manifest: Manifest, fill: Callable[[IO[bytes]], None]) -> None:
    """Write a backup, mode 0600, and read all of it back. On disk when this returns."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w+b") as file:
        # A dump of pg_dump is compressed already.
        kind = zipfile.ZIP_DEFLATED if manifest.database == "sqlite" else zipfile.ZIP_STORED
        with zipfile.ZipFile(file, "w", kind, compresslevel=1) as archive:
            archive.writestr(_MANIFEST, json.dumps({"passerelle_backup": _FORMAT, **asdict(manifest)}, default=str))
            with archive.open(_MEMBERS[manifest.database], "w", force_zip64=True) as member:
                fill(member)
        file.flush()
        os.fsync(file.fileno())
    require_whole(path)


def read_manifest(path: Path) -> Manifest:
    """What the backup says of itself; Invalid, in words, for a file that is none or is cut off."""
    with _open(path) as archive:
        return _manifest(path, archive)


def require_whole(path: Path) -> Manifest:
    """The same after reading every byte; Invalid when one is not what was written."""
    with _open(path) as archive:
        manifest = _manifest(path, archive)
        try:
            broken = archive.testzip()
        except (zipfile.BadZipFile, zlib.error, EOFError, OSError) as error:
            raise Invalid(f"{path} is damaged ({error}). Take another backup.") from error
        if broken is not None or _MEMBERS[manifest.database] not in archive.namelist():
            raise Invalid(f"{path} is damaged: its database is not what was written. Take another backup.")
    return manifest


def read_database(path: Path, manifest: Manifest, take: Callable[[IO[bytes]], None]) -> None:
    """Hand the database of a backup to `take`, as a stream."""
    with _open(path) as archive, archive.open(_MEMBERS[manifest.database]) as member:
        take(member)


def _open(path: Path) -> zipfile.ZipFile:
    if not path.is_file():
        raise NotFound(f"There is no file {path}.")
    if path.stat().st_size == 0:
        raise Invalid(f"{path} is empty. Take another backup.")
    try:
        return zipfile.ZipFile(path)
    except (zipfile.BadZipFile, OSError) as error:
        with path.open("rb") as file:
            is_begun = file.read(4) == b"PK\x03\x04"
        raise Invalid(
            f"{path} is cut off: its end is missing. Take another backup."
            if is_begun
            else f"{path} is no backup that `passerelle backup` made."
        ) from error


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    try:
        if archive.getinfo(_MANIFEST).file_size > _MOST_SAID:  # no more than this is ever read of it
            raise ValueError
        told: dict[str, Any] = json.loads(archive.read(_MANIFEST))
        is_known = told.pop("passerelle_backup") == _FORMAT
        manifest = Manifest(**{**told, "made_at": datetime.fromisoformat(told["made_at"])}) if is_known else None
    except (KeyError, TypeError, ValueError, AttributeError, zipfile.BadZipFile, zlib.error) as error:
        raise Invalid(f"{path} is no backup that `passerelle backup` made.") from error
    if manifest is None or manifest.database not in _MEMBERS:
        raise Invalid(f"{path} was made by a newer Passerelle, in a form this one does not know. Install that one.")
    return manifest
