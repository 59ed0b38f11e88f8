"""The log of erasures, kept outside the database: restoring an older backup must not bring anybody back.

A folder of append-only files, one a process, so that hosts and processes may share it without a lock. One record a
line: the participant's id, the instant, and a CRC-32 of both. A record is on disk when `append` returns.
"""

import logging
import os
import threading
import zlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from uuid import UUID

from campaigns.errors import Conflict
from campaigns.ids import uuid7
from campaigns.storage import sync_file

_SUFFIX = ".erasures"

log = logging.getLogger("passerelle.privacy")


@dataclass(frozen=True)
class Erasure:
    """Who was erased, and when."""

    participant_id: UUID
    erased_at: datetime


class ErasureLog:
    """The erasures of a folder. One object serves all threads of a process; nothing is made before the first record."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mutex = threading.Lock()
        self._file: int | None = None
        self._process = 0

    def append(self, participant_id: UUID, erased_at: datetime) -> None:
        """Write a record and sync it. Twice is harmless. OSError when it is not on disk: then erase nothing yet."""
        line = _line(Erasure(participant_id, erased_at))
        with self._mutex:
            file = self._open()
            # Given back only when all of it is on disk: behind half a line no other may stand.
            self._file = None
            try:
                if os.write(file, line) != len(line):
                    raise OSError(f"The log of erasures in {self.folder} took half a line: is the disk full?")
                os.fsync(file)
            except OSError:
                os.close(file)
                raise
            self._file = file

    def read(self) -> list[Erasure]:
        """Every record of every process, oldest first, each once.

        A torn last line of a file was never promised to anybody: it is left out, and the log says so. Conflict when a
        line before the last is damaged: that person would come back.
        """
        found = {one for path in sorted(self.folder.glob(f"*{_SUFFIX}")) for one in _records(path)}
        return sorted(found, key=lambda one: (one.erased_at, one.participant_id))

    def close(self) -> None:
        """Close this process's file; the next record begins another one."""
        with self._mutex:
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _open(self) -> int:
        if self._file is not None and self._process == os.getpid():  # a fork takes a file of its own
            return self._file
        if not self.folder.exists():
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            sync_file(self.folder.parent)
        path = self.folder / f"{uuid7().hex}{_SUFFIX}"
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
        sync_file(self.folder)
        self._process = os.getpid()
        return file


def _line(erasure: Erasure) -> bytes:
    text = f"{erasure.participant_id.hex} {erasure.erased_at.isoformat()}"
    return f"{text} {zlib.crc32(text.encode()):08x}\n".encode()


def _records(path: Path) -> list[Erasure]:
    *lines, rest = path.read_bytes().split(b"\n")
    found = [_parse(line) for line in lines]
    if None in found[:-1]:
        raise Conflict(
            f"The log of erasures {path} is damaged in line {found.index(None) + 1}: whom it names cannot be told. "
            "Take the file from another copy."
        )
    if rest or None in found:
        log.warning("%s ends in a torn line: that erasure was never answered, and is left out", path)
    return [one for one in found if one is not None]


def _parse(line: bytes) -> Erasure | None:
    text, _, check = line.rpartition(b" ")
    if f"{zlib.crc32(text):08x}".encode() != check:
        return None
    participant, _, instant = text.decode().partition(" ")
    return Erasure(UUID(participant), datetime.fromisoformat(instant))
