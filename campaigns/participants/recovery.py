"""Recovery codes: what moves a person to another phone or browser. Shown once, kept as a keyed hash, good once.

A new one ends the one before. Sixteen characters of an alphabet of thirty are 78 bits: nobody guesses one, and whoever
tries is told to wait after ten an hour.
"""

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import clock
from campaigns.errors import Conflict, NotFound, TooMany
from campaigns.ids import uuid7_at
from campaigns.participants.models import Participant, ParticipantKey, RecoveryCode, RecoveryTries
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import changed, insert_once, store, upsert

ALPHABET: Final = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is read as another
LENGTH: Final = 16
GROUP: Final = 4
TRIES_AN_HOUR: Final = 10  # wrong codes of one address
USED: Final = "used"
REPLACED: Final = "replaced"
HOUR = timedelta(hours=1)


def issue_code(session: Session, person: Participant, *, key: bytes, now: datetime) -> str:
    """A new recovery code of a person, known only now: `7K3Q-9XAB-W4RT-HM2P`. The one before ends.

    Conflict (`busy`) when another one is made at the same moment.
    """
    code = "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))
    _end(session, RecoveryCode.participant_id == person.id, REPLACED, now=now)
    fields = {"participant_id": person.id, "code_hash": _hash(key, code), "issued_at": now}
    if not insert_once(session, RecoveryCode, id=uuid7_at(now), **fields, ended_at=None, ended_by=None):
        raise Conflict("Another code is being made at this moment. Try again.", code="busy")
    return "-".join(code[at : at + GROUP] for at in range(0, LENGTH, GROUP))


def has_code(session: Session, participant_id: UUID) -> bool:
    """Whether a person has a code that is still good."""
    mine = select(RecoveryCode.id).where(RecoveryCode.participant_id == participant_id)
    return session.exec(mine.where(col(RecoveryCode.ended_at).is_(None))).first() is not None


def owner_of(session: Session, typed: str, *, key: bytes) -> Participant:
    """Whose place a code keeps; the person is held as an act of theirs holds them.

    Spaces, hyphens and case do not matter. NotFound (`unknown_recovery_code`) for one that is none; Conflict
    (`recovery_code_used`, `recovery_code_replaced`) for one that ended, with `ended_at`.
    """
    found = _find(session, typed, key)
    held = select(Participant).where(Participant.id == found.participant_id)
    person = session.exec(held.with_for_update(read=True, key_share=True)).first()
    if person is None:
        found = _find(session, typed, key)  # merged into another name at this moment: the code leads there now
        person = session.exec(
            select(Participant).where(Participant.id == found.participant_id).with_for_update(read=True, key_share=True)
        ).first()
    if person is None:
        raise _unknown()
    return person


def use_code(session: Session, typed: str, *, key: bytes, now: datetime) -> None:
    """Spend a code: of two browsers that come at once with it one is let in. Refused as `owner_of` refuses."""
    found = _find(session, typed, key)
    if not _end(session, RecoveryCode.id == found.id, USED, now=now):
        raise _ended(USED, now)


def add_key(session: Session, person: Participant, *, now: datetime) -> str:
    """A further key to a person, for the cookie of another browser; known only now. Hold the person first."""
    secret = new_secret()
    store(session, ParticipantKey, secret_hash=hash_secret(secret), participant_id=person.id, issued_at=now)
    return secret


def take_try(
    session: Session, sender_key: int, *, most: int = TRIES_AN_HOUR, code: str = "recovery_tries", now: datetime
) -> None:
    """Count a try of an address; commit it before its code is looked at.

    TooMany beyond so many wrong ones an hour, ten of a recovery code.
    """
    hour = clock.hour_of(now)
    first = upsert(session, RecoveryTries).values(sender_key=sender_key, hour=hour, tries=1)
    more = first.on_conflict_do_update(
        index_elements=["sender_key", "hour"],
        set_={"tries": col(RecoveryTries.tries) + 1},
        where=col(RecoveryTries.tries) < most,
    )
    if not changed(session, more):
        left = int((clock.instant_of_hour(hour + 1) - now).total_seconds()) + 1
        words = "Too many wrong codes came from here within the hour. Wait a little, then try again."
        raise TooMany(words, code=code, retry_after_s=left)


def give_back_try(session: Session, sender_key: int, *, now: datetime) -> None:
    """A right code costs nothing."""
    mine = (col(RecoveryTries.sender_key) == sender_key, col(RecoveryTries.hour) == clock.hour_of(now))
    less = update(RecoveryTries).where(*mine, col(RecoveryTries.tries) > 0)
    session.execute(less.values(tries=col(RecoveryTries.tries) - 1).execution_options(synchronize_session=False))


def _find(session: Session, typed: str, key: bytes) -> RecoveryCode:
    letters = "".join(one for one in typed.upper() if one.isalnum())
    query = select(RecoveryCode).where(RecoveryCode.code_hash == _hash(key, letters))
    found = session.exec(query.execution_options(populate_existing=True)).first() if len(letters) == LENGTH else None
    if found is None:
        raise _unknown()
    if found.ended_at is not None:
        raise _ended(found.ended_by or USED, found.ended_at)
    return found


def _end(session: Session, which: object, how: str, *, now: datetime) -> int:
    is_open = col(RecoveryCode.ended_at).is_(None)
    ended = update(RecoveryCode).where(which, is_open).values(ended_at=now, ended_by=how)  # type: ignore[arg-type]  # an expression
    return changed(session, ended.execution_options(synchronize_session=False))


def _unknown() -> NotFound:
    return NotFound(
        "This is no recovery code. It has sixteen letters and digits; look at it again.",
        code="unknown_recovery_code",
        pointer="/code",
    )


def _ended(how: str, at: datetime) -> Conflict:
    if how == REPLACED:
        return Conflict(
            "This code was replaced by a newer one. Take the newest, or make one on the phone where you are known.",
            code="recovery_code_replaced",
            pointer="/code",
            ended_at=at.isoformat(),
        )
    return Conflict(
        "This code was used already: it is good once. Make a new one on a phone where you are known.",
        code="recovery_code_used",
        pointer="/code",
        ended_at=at.isoformat(),
    )


def _hash(key: bytes, letters: str) -> str:
    return hashlib.blake2b(letters.encode(), digest_size=24, key=key, person=b"recovery").hexdigest()
