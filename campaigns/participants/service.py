"""Joining without an account: a pseudonym and a secret that only the phone's cookie holds."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlmodel import Session, select

from campaigns.ids import uuid7_at
from campaigns.participants.models import Cohort, Participant
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import store

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


def join(session: Session, organisation_id: UUID, *, language: str, now: datetime) -> tuple[Participant, str]:
    """Make a participant: the person and the secret for the cookie, known only now."""
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
    }
    store(session, Participant, **values)
    return Participant(**values), secret


def recognise(session: Session, secret: str | None) -> Participant | None:
    """The participant behind a cookie, or None: a cleared or forged cookie is simply nobody yet."""
    if not secret or len(secret) > 100:
        return None
    return session.exec(select(Participant).where(Participant.secret_hash == hash_secret(secret))).first()
