"""Joining without an account: a pseudonym and a secret that only the phone's cookie holds."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import bindparam, delete, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import prepared
from campaigns.ids import uuid7_at
from campaigns.participants.models import ERASED, Cohort, MergedPerson, Participant, ParticipantKey, RecoveryCode
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import columns_of, store

# What stands for the instant at which an erased person joined: the real one would tell them apart.
_LONG_AGO = datetime(2000, 1, 1, tzinfo=UTC)

# Birds of French towns and gardens: the same word serves on French and English pages.
_NAMES = [
    "Merle",
    "Pinson",
    "Moineau",
    "Rossignol",
    "Alouette",
    "Hirondelle",
    "Loriot",
    "Bouvreuil",
    "Fauvette",
    "Chouette",
    "Huppe",
    "Linotte",
    "Martinet",
    "Mésange",
    "Pivert",
    "Roitelet",
    "Rougegorge",
    "Sittelle",
    "Tarin",
    "Verdier",
    "Bergeronnette",
    "Chardonneret",
    "Colibri",
    "Courlis",
    "Étourneau",
    "Geai",
    "Goéland",
    "Grive",
    "Héron",
    "Ibis",
    "Mouette",
    "Pélican",
]


def pseudonym_of(id: UUID) -> str:
    """A name and four digits that follow from the id, such as `Merle 4821`: nobody chooses, nobody types."""
    number = id.int & 0xFFFFFFFF
    return f"{_NAMES[number % len(_NAMES)]} {number // len(_NAMES) % 10_000:04d}"


def join(
    session: Session, organisation_id: UUID, *, language: str, now: datetime, campaign_id: UUID | None = None
) -> tuple[Participant, str]:
    """Make a participant: the person and the secret for the cookie, known only now.

    With a campaign the person is known in that one alone: who objects is never linked across two.
    """
    secret = new_secret()
    id = uuid7_at(now)
    values: dict[str, Any] = {
        "id": id,
        "organisation_id": organisation_id,
        "pseudonym": pseudonym_of(id),
        "language": language,
        "cohort": Cohort.PUBLIC.value,
        "secret_hash": hash_secret(secret),
        "created_at": now,
        "campaign_id": campaign_id,
        "age_declared_at": None,
        "is_under_15": None,
    }
    store(session, Participant, **values)
    return prepared.as_loaded(Participant, values), secret


def recognise(session: Session, secret: str | None, *, to_act: bool = False) -> Participant | None:
    """The participant behind a cookie, or None: a cleared or forged cookie is simply nobody yet.

    A further key leads to them as well: that of another phone, or of a name that was merged into theirs.

    Before an act say so (`to_act`): the row is held, so that an erasure comes before the act or after it, and no act
    is left to somebody who is not there any more.
    """
    if not secret or len(secret) > 100:
        return None
    hashed = hash_secret(secret)
    # Once more at the end: who waited for a merge finds that the key leads to another row now.
    looks = (_HELD, _HELD_BY_KEY, _HELD_BY_KEY) if to_act else (_OWN, _BY_KEY)
    for look in looks:
        found = prepared.load(session, look, Participant, hashed=hashed)
        if found is not None:
            return found
    return None


_PEOPLE, _KEYS = columns_of(Participant), columns_of(ParticipantKey)
_OWN = columns(*_PEOPLE).where(_PEOPLE.secret_hash == bindparam("hashed"))
_BY_KEY = columns(*_PEOPLE).where(_KEYS.participant_id == _PEOPLE.id, _KEYS.secret_hash == bindparam("hashed"))
_TO_ACT: dict[str, Any] = {"read": True, "key_share": True, "of": Participant.__table__}  # type: ignore[attr-defined]  # SQLModel does not type it
_HELD, _HELD_BY_KEY = _OWN.with_for_update(**_TO_ACT), _BY_KEY.with_for_update(**_TO_ACT)


def declare_age(session: Session, person: Participant, *, is_under_15: bool, now: datetime) -> Participant:
    """Keep what a person says of their age, once: later only that they are younger than they said."""
    said = {"person": person.id, "now": now, "young": is_under_15}
    declared = prepared.load(session, _DECLARE_YOUNG if is_under_15 else _DECLARE, Participant, **said)
    return (
        declared
        or session.exec(
            select(Participant).where(Participant.id == person.id).execution_options(populate_existing=True)
        ).one()
    )


_IS_UNKNOWN = _PEOPLE.age_declared_at.is_(None)
_DECLARE = (
    update(Participant.__table__)  # type: ignore[attr-defined]  # SQLModel does not type it
    .where(_PEOPLE.id == bindparam("person"), _IS_UNKNOWN)
    .values(age_declared_at=bindparam("now"), is_under_15=bindparam("young"))
    .returning(*_PEOPLE)
)
_DECLARE_YOUNG = (
    update(Participant.__table__)  # type: ignore[attr-defined]  # SQLModel does not type it
    .where(_PEOPLE.id == bindparam("person"), or_(_IS_UNKNOWN, _PEOPLE.is_under_15.is_(False)))
    .values(age_declared_at=bindparam("now"), is_under_15=bindparam("young"))
    .returning(*_PEOPLE)
)


def take_hold(session: Session, participant_id: UUID) -> Participant | None:
    """The person, held until the transaction ends: acts of theirs wait, and then find nobody. None when gone."""
    query = select(Participant).where(Participant.id == participant_id).with_for_update()
    person = session.exec(query).first()
    return None if person is None or person.is_erased else person


def stand_in(session: Session, person: Participant, *, surrogate: UUID) -> None:
    """Make the row that stands for a person who is erased. Their cohort stays: the figures tell it apart."""
    store(
        session,
        Participant,
        id=surrogate,
        organisation_id=person.organisation_id,
        pseudonym="",
        language="und",
        cohort=person.cohort,
        secret_hash=f"{ERASED}{surrogate.hex}",
        created_at=_LONG_AGO,
    )


def forget(session: Session, participant_id: UUID) -> None:
    """Drop the person themselves, with every key to them, when nothing else refers to them any more."""
    for table in (ParticipantKey, RecoveryCode, MergedPerson):
        theirs = delete(table).where(col(table.participant_id) == participant_id)
        session.execute(theirs.execution_options(synchronize_session=False))
    session.execute(
        delete(Participant).where(col(Participant.id) == participant_id).execution_options(synchronize_session=False)
    )
