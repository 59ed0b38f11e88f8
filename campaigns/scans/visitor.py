"""The visitor key: a keyed hash of address and user agent under a salt of the UTC day, which is then destroyed.

The salt lives where backups do not reach: a 0600 file beside the SQLite database, an UNLOGGED table on PostgreSQL.
A lost salt is a new salt: visitors of that day may be counted twice, and the log says so.
"""

import hashlib
import json
import logging
import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path

from sqlalchemy import delete
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from campaigns.errors import Invalid
from campaigns.scans.models import VisitorSalt
from campaigns.storage import Database, insert_once

SALT_BYTES = 32
_FILE = threading.Lock()  # of the salt's file: the worker destroys, the scan path makes
KEY_MASK = (1 << 63) - 1  # keys fit a signed 64-bit column

log = logging.getLogger("passerelle.visitor")


class VisitorKeys:
    """Makes the keys of one day after another; `load_salt(day)` may read a disk, so call `prepare` in a thread."""

    def __init__(self, load_salt: Callable[[int], bytes]) -> None:
        self._load_salt = load_salt
        self._day = -1
        self._salt = b""
        self._lock = threading.Lock()

    def is_ready(self, day: int) -> bool:
        """Whether the salt is that of this UTC day, or of the next: a straggler at midnight does not go back."""
        return day <= self._day

    def prepare(self, day: int) -> None:
        """Fetch the salt of a UTC day (days since 1970), once, whoever asks first."""
        with self._lock:
            if not self.is_ready(day):
                self._salt = self._load_salt(day)
                self._day = day

    def key(self, address: str, agent: str, campaign: str = "") -> int:
        """The 63-bit key of a visitor today. The address is used here and nowhere else.

        With a campaign the key is of that campaign alone: who objects is never linked across two.
        """
        text = f"{campaign}|{address}|{agent}" if campaign else f"{address}|{agent}"
        digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8, key=self._salt)
        return int.from_bytes(digest.digest(), "big") & KEY_MASK


def salt_of_day(database: Database, day: int) -> bytes:
    """Today's salt, made at the first call of the day; salts of other days are destroyed."""
    if database.path is not None:
        return _salt_in_file(database.path.with_name(database.path.name + ".salt"), day)
    try:
        with database.transaction() as session:
            return _salt_in_table(session, day)
    except OperationalError:
        log.warning("the database is away: this process takes a visitor salt of its own for day %s", day)
        return secrets.token_bytes(SALT_BYTES)


def destroy_salts(database: Database, *, before: int) -> None:
    """Destroy the salts of days before this UTC day, also where nobody has scanned since: none outlives 48 hours."""
    if database.path is None:
        with database.transaction() as session:
            session.execute(delete(VisitorSalt).where(col(VisitorSalt.day) < before))
        return
    path = database.path.with_name(database.path.name + ".salt")
    with _FILE:
        try:
            is_old = json.loads(path.read_text())["day"] < before
        except FileNotFoundError:
            return
        except (ValueError, KeyError, TypeError):
            is_old = True  # nobody can use it either
        if is_old:
            path.unlink(missing_ok=True)
            path.with_name(path.name + ".new").unlink(missing_ok=True)


def _salt_in_file(path: Path, day: int) -> bytes:
    with _FILE:
        return _read_or_make_salt(path, day)


def _read_or_make_salt(path: Path, day: int) -> bytes:
    try:
        kept = json.loads(path.read_text())
        if kept["day"] >= day:
            return bytes.fromhex(kept["salt"])
    except FileNotFoundError:
        log.info("a new visitor salt begins for day %s", day)
    except (ValueError, KeyError, TypeError) as error:
        log.warning("the visitor salt was unreadable and is made anew: %s", type(error).__name__)
    salt = secrets.token_bytes(SALT_BYTES)
    fresh = path.with_name(path.name + ".new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump({"day": day, "salt": salt.hex()}, file)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)  # a reader sees the old salt or the new one, never half of one
    return salt


def _salt_in_table(session: Session, day: int) -> bytes:
    insert_once(session, VisitorSalt, day=day, salt=secrets.token_bytes(SALT_BYTES))
    session.execute(delete(VisitorSalt).where(col(VisitorSalt.day) < day))
    kept = session.exec(select(VisitorSalt.salt).where(VisitorSalt.day == day)).first()
    if kept is None:
        raise Invalid("The visitor salt vanished between two statements.")
    return bytes(kept)
