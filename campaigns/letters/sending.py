"""Sending letters from the worker: one at a time, outside any transaction, again after a while when that fails.

A letter is taken under a lock that others skip, and its next try put off; it is sent, then marked. Only who dies
between sending and marking sends it twice, under the same Message-ID. No address is in any log.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import EmailMessage
from email.utils import format_datetime
from urllib.parse import urlsplit
from uuid import UUID

from sqlalchemy import select, update
from sqlmodel import Session, col

from campaigns import care, identity, ids
from campaigns.care.models import Case, CaseMessage
from campaigns.community.models import Comment, Idea, Round
from campaigns.letters.contacts import CONFIRM_WITHIN, link_secret
from campaigns.letters.models import Contact, Letter, LetterKind
from campaigns.letters.words import words_of
from campaigns.letters.writing import untold_rounds, write_results
from campaigns.missions import Mission
from campaigns.missions.models import text_in
from campaigns.participants import Participant
from campaigns.sealing import Keyring
from campaigns.storage import Database

ATTEMPTS = 6  # the pauses are 2 minutes, then 4, 8, ... to an hour in all
ABOUT_LENGTH = 120  # characters of an idea or a title in a letter

log = logging.getLogger("passerelle.letters")


@dataclass(frozen=True)
class Mailer:
    """What sending takes: how a letter goes, the keys, and what our addresses begin with."""

    send: Callable[[EmailMessage], None]
    sender: str
    keyring: Keyring
    base_url: str


def deliver(database: Database, mailer: Mailer, *, now: datetime) -> bool:
    """Send the letter that has waited longest, if one is due; whether there was one."""
    with database.transaction() as session:
        letter = _take(session, now)
    if letter is None:
        return False
    with database.snapshot() as session:
        message = compose(session, mailer, letter, now=now)
    if message is None:
        _end(database, letter.id, sent_at=None)  # what it was about, or its address, is gone
        return True
    try:
        mailer.send(message)
    except Exception as error:  # whatever one letter meets, the next ones go
        log.warning("a letter (%s) could not be sent: %s", letter.kind, type(error).__name__)
        if letter.attempts >= ATTEMPTS:
            _end(database, letter.id, sent_at=None)
        return True
    _end(database, letter.id, sent_at=now)
    return True


def tell_results(database: Database, mailer: Mailer, *, now: datetime) -> None:
    """Write to the voters of the rounds that have closed, a page of addresses a transaction."""
    with database.snapshot() as session:
        rounds = untold_rounds(session, now=now)
    for round in rounds:
        after: UUID | None = None
        while True:
            with database.transaction() as session:
                after = write_results(session, round, secret=mailer.keyring.ballot_secret, after=after, now=now)
            if after is None:
                break


def compose(session: Session, mailer: Mailer, letter: Letter, *, now: datetime) -> EmailMessage | None:
    """The letter as it goes; None when its address or what it tells of is not there any more."""
    contact, person = session.get(Contact, letter.contact_id), session.get(Participant, letter.participant_id)
    if contact is None or person is None:
        return None
    kind = LetterKind(letter.kind)
    if kind is LetterKind.CONFIRM and (contact.confirmed_at is not None or now >= contact.asked_at + CONFIRM_WITHIN):
        return None
    subject = _subject(session, mailer, contact, kind, letter.subject_id, person.language)
    if subject is None:
        return None
    about, path = subject
    brand = _one_line(identity.organisation_by_id(session, contact.organisation_id).name)
    stop = mailer.base_url + link(mailer.keyring, "stop", contact.id)
    url = f"{mailer.base_url}{path}{'&' if '?' in path else '?'}lang={person.language}"
    words = words_of(kind, person.language, brand=brand, about=about, url=url, stop=stop)
    message = EmailMessage()
    message["Subject"], message["From"] = words.subject, mailer.sender
    message["To"] = mailer.keyring.open_address(contact.sealed).decode()
    message["Date"] = format_datetime(now)
    message["Message-ID"] = f"<{letter.id.hex}@{urlsplit(mailer.base_url).hostname or 'passerelle.invalid'}>"
    message["Auto-Submitted"] = "auto-generated"  # RFC 3834: no out-of-office note comes back
    if kind is not LetterKind.CONFIRM:
        message["List-Unsubscribe"] = f"<{stop}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"  # RFC 8058
    message.set_content(words.body)
    return message


def link(keyring: Keyring, purpose: str, contact_id: UUID) -> str:
    """The path of a letter's link, for `confirm` or `stop`."""
    return f"/letters/{ids.show('ctc', contact_id)}/{purpose}/{link_secret(keyring, purpose, contact_id)}"


def _subject(
    session: Session, mailer: Mailer, contact: Contact, kind: LetterKind, id: UUID, language: str
) -> tuple[str, str] | None:
    """What a letter tells of, on one line, and the path of its page; None when it is gone or hidden."""
    if kind is LetterKind.CONFIRM:
        return "", link(mailer.keyring, "confirm", contact.id)
    if kind is LetterKind.CASE:
        said = session.get(CaseMessage, id)
        if said is None:
            return None
        case = session.get_one(Case, said.case_id)
        secret = care.secret_of(mailer.keyring.derive("case-link"), case.id)
        return case.reference, f"/cases/{case.reference}/{secret}"
    if kind is LetterKind.ANSWER:
        return _answered(session, id)
    round = session.get(Round, id) if kind is LetterKind.RESULT else None
    mission = session.get(Mission, round.mission_id if round is not None else id)
    if mission is None or (kind is LetterKind.RESULT and round is None):
        return None
    path = f"/m/{mission.slug}" + (f"/rounds/{ids.show('rnd', round.id)}" if round is not None else "")
    return _one_line(text_in(mission.title, language)), path


def _answered(session: Session, comment_id: UUID) -> tuple[str, str] | None:
    comment = session.get(Comment, comment_id)
    idea = session.get(Idea, comment.idea_id) if comment is not None and not comment.hidden_rule else None
    mission = session.get(Mission, idea.mission_id) if idea is not None else None
    if idea is None or mission is None or idea.hidden_rule or not idea.text:
        return None
    return _one_line(idea.text), f"/m/{mission.slug}/ideas/{ids.show('ide', idea.id)}"


def _one_line(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= ABOUT_LENGTH else f"{line[: ABOUT_LENGTH - 1]}…"


def _take(session: Session, now: datetime) -> Letter | None:
    due = (
        select(col(Letter.id))
        .where(col(Letter.due_at) <= now)
        .order_by(col(Letter.due_at), col(Letter.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    id = session.execute(due).scalar()
    if id is None:
        return None
    letter = session.get_one(Letter, id)
    attempts = letter.attempts + 1
    later = now + timedelta(minutes=2**attempts)
    taken = update(Letter).where(col(Letter.id) == id).values(attempts=attempts, due_at=later).returning(Letter)
    return session.scalars(taken, execution_options={"populate_existing": True}).first()


def _end(database: Database, letter_id: UUID, *, sent_at: datetime | None) -> None:
    with database.transaction() as session:
        ended = update(Letter).where(col(Letter.id) == letter_id).values(due_at=None, sent_at=sent_at)
        session.execute(ended.execution_options(synchronize_session=False))
