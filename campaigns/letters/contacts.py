"""Leaving an address: asked for, confirmed from the mailbox itself, and taken away at any moment.

The links in letters carry keyed hashes of the contact's id, as a case's link does: nothing of them is stored, and a
contact that is gone has no link any more.
"""

import hashlib
import hmac
import re
import unicodedata
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import clock
from campaigns.errors import Forbidden, Invalid, NotFound, TooMany
from campaigns.ids import uuid7_at
from campaigns.letters.models import Contact, Letter, LetterKind, LetterTurn
from campaigns.participants import Merge, Participant
from campaigns.sealing import Keyring
from campaigns.storage import changed, hand_over, hold, store, upsert

CONFIRM_WITHIN = timedelta(hours=24)
AN_ADDRESS_A_DAY = 3  # confirming letters: whoever types another's address annoys them no more than that
A_PERSON_A_DAY = 5
A_PHONE_A_DAY = 10
PERSON_COLUMNS = (col(Contact.participant_id), col(Letter.participant_id))
UNDER_AGE = "An address can be left from 15 years on. If this is a mistake, ask us to mend it."
_ADDRESS = re.compile(r"[^@\s<>\"(),:;\\]{1,64}@[^@\s<>\"(),:;\\]+\.[^@\s<>\"(),:;\\.]+")
_LONGEST = 254  # RFC 5321


def ask(
    session: Session, person: Participant, *, address: str, phone_key: int, keyring: Keyring, now: datetime
) -> Contact:
    """Keep an address for a person, sealed, and write the letter that asks its owner to confirm it.

    One that they confirmed before stays as it is; another one takes its place. Forbidden under 15, Invalid for what is
    no address, TooMany beyond three letters a day to one address, five of a person, ten of a phone.
    """
    if person.is_under_15:
        raise Forbidden(UNDER_AGE, code="under_age_mail")
    found = tidy_address(address)
    key = _key(keyring, "address", found.casefold())
    mine = contact_of(session, person.id)
    if mine is not None and mine.confirmed_at is not None and mine.address_key == key:
        return mine
    day = clock.day_of(now)
    for name, most in (
        (key, AN_ADDRESS_A_DAY),
        (_key(keyring, "person", person.id.hex), A_PERSON_A_DAY),
        (_key(keyring, "phone", str(phone_key)), A_PHONE_A_DAY),
    ):
        _take_turn(session, name, day, most)
    remove(session, person.id)
    id = uuid7_at(now)
    store(
        session,
        Contact,
        id=id,
        organisation_id=person.organisation_id,
        participant_id=person.id,
        sealed=keyring.seal_address(found.encode()),
        address_key=key,
        asked_at=now,
    )
    values = {"participant_id": person.id, "contact_id": id, "kind": LetterKind.CONFIRM.value, "subject_id": id}
    store(session, Letter, id=uuid7_at(now), made_at=now, due_at=now, attempts=0, **values)
    return session.get_one(Contact, id)


def tidy_address(text: str) -> str:
    """An address in NFC; Invalid for anything else."""
    address = unicodedata.normalize("NFC", text.strip())
    is_plain = all(unicodedata.category(one)[0] != "C" for one in address)
    if len(address) > _LONGEST or not is_plain or _ADDRESS.fullmatch(address) is None:
        raise Invalid("This is not an e-mail address.", pointer="/address", code="no_address")
    return address


def confirm(session: Session, contact: Contact, *, now: datetime) -> Contact:
    """Note that the owner of the mailbox wants the letters. Twice is once; NotFound after 24 hours.

    Who confirms has the mailbox: where the same address is another participant's, it goes over to this one. So an
    address is one person's, and who comes back with a new phone gets no letter twice.
    """
    if contact.confirmed_at is not None:
        return contact
    if now >= contact.asked_at + CONFIRM_WITHIN:
        raise NotFound("This link is not good any more.", code="old_letter")
    hold(session, UUID(hex=contact.address_key))  # of two phones that confirm one address at once one is first
    others = select(Contact.participant_id).where(
        Contact.organisation_id == contact.organisation_id,
        Contact.address_key == contact.address_key,
        col(Contact.confirmed_at).is_not(None),
        Contact.id != contact.id,
    )
    for participant_id in session.exec(others).all():
        remove(session, participant_id)
    ours = update(Contact).where(col(Contact.id) == contact.id).values(confirmed_at=now)
    session.execute(ours.execution_options(synchronize_session=False))
    session.refresh(contact)
    return contact


def stop(session: Session, contact: Contact) -> None:
    """Take an address away from its letter's link: no letter goes there any more."""
    remove(session, contact.participant_id)


def contact_of(session: Session, participant_id: UUID) -> Contact | None:
    """The address of a person, confirmed or not."""
    return session.exec(select(Contact).where(Contact.participant_id == participant_id)).first()


def link_secret(keyring: Keyring, purpose: str, contact_id: UUID) -> str:
    """What the link of a letter carries, for `confirm` or `stop`."""
    return hmac.new(keyring.derive(f"letter-{purpose}"), contact_id.bytes, hashlib.sha256).hexdigest()[:32]


def contact_by_link(session: Session, keyring: Keyring, purpose: str, contact_id: UUID, secret: str) -> Contact:
    """The contact of a letter's link; NotFound for any other secret, as for one that is gone."""
    expected = link_secret(keyring, purpose, contact_id)
    found = session.get(Contact, contact_id)
    if not hmac.compare_digest(expected.encode(), secret.encode()) or found is None:
        raise NotFound("This link is not good any more.", code="old_letter")
    return found


def remove(session: Session, participant_id: UUID) -> bool:
    """Drop a person's address and the letters to it; whether there was one."""
    for table in (Letter, Contact):
        gone = delete(table).where(col(table.participant_id) == participant_id)
        number = changed(session, gone.execution_options(synchronize_session=False))
    return number > 0


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the address of the newer one, or keep the better of two: a confirmed one, else its own."""
    older, newer = merge.ids
    rows = session.exec(select(Contact).where(col(Contact.participant_id).in_(merge.ids))).all()
    best_first = sorted(rows, key=lambda one: (one.confirmed_at is None, one.participant_id == newer))
    for one in best_first[1:]:
        session.execute(delete(Letter).where(col(Letter.contact_id) == one.id))
        session.delete(one)
        session.flush()
    has = select(Letter.kind, Letter.subject_id).where(Letter.participant_id == older)
    for kind, subject_id in session.exec(has).all():
        twin = (Letter.participant_id == newer, Letter.kind == kind, Letter.subject_id == subject_id)
        session.execute(delete(Letter).where(*twin))  # type: ignore[arg-type]  # expressions
    hand_over(session, PERSON_COLUMNS, newer, older)


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Drop the address of who is erased: no surrogate has one."""
    remove(session, participant_id)


def _key(keyring: Keyring, kind: str, value: str) -> str:
    return hmac.new(keyring.derive(f"contact-{kind}"), value.encode(), hashlib.sha256).hexdigest()[:32]


def _take_turn(session: Session, key: str, day: int, most: int) -> None:
    insert = upsert(session, LetterTurn).values(key=key, day=day, letters=1)
    more = insert.on_conflict_do_update(
        index_elements=["key", "day"],
        set_={"letters": col(LetterTurn.letters) + 1},
        where=col(LetterTurn.letters) < most,
    )
    if not changed(session, more):
        words = "Enough letters were asked for today. Look into your mailbox, or come back tomorrow."
        raise TooMany(words, code="too_many_letters", retry_after_s=3600)
