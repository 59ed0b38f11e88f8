"""Erasure: a person's identity and the key to it go, what they did stays counted under a random surrogate (I23).

One transaction replaces the participant's id in every table that refers to it, blanks what they wrote, drops their
precise positions, and deletes the person. The surrogate is random: a UUIDv7 would tell when they joined, and their
pseudonym follows from their id.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import func, not_, or_, update
from sqlmodel import Session, col, select

from campaigns import care, community, letters, missions, participants, planning, rewards, scans, sponsorship, tokens
from campaigns.missions import Membership, Mission
from campaigns.participants import Participant
from campaigns.participants.models import ERASED
from campaigns.planning import Campaign
from campaigns.privacy.log import Erasure
from campaigns.privacy.models import ErasedPerson
from campaigns.scans import CheckIn
from campaigns.storage import changed, insert_once

PERSON_LIFE = timedelta(days=90)  # after the end of a person's last campaign
Note = Callable[[UUID, datetime], object]  # writes an erasure down outside the database, before it is committed

_CAPABILITIES = (planning, tokens, scans, missions, community, sponsorship, rewards, care, letters)
# Every column that names a participant; a test compares it with the tables.
REFERENCES: tuple[Any, ...] = tuple(column for one in (participants, *_CAPABILITIES) for column in one.PERSON_COLUMNS)
TOUCHED = sorted({column.class_.__tablename__ for column in REFERENCES} | {"participants", "scan_positions"})


def people_of(session: Session, secrets: Iterable[str]) -> list[Participant]:
    """The participants that a phone's cookies open, each once, in the order in which they joined."""
    found = {person.id: person for secret in secrets if (person := participants.recognise(session, secret))}
    return [found[id] for id in sorted(found)]


def erase(session: Session, participant_id: UUID, *, note: Note, now: datetime) -> bool:
    """Erase a participant; False when they are erased already or never were. Run it in `Database.erasing()`.

    Acts of the same person wait for it or come before it: none is lost, none refers to somebody who is gone. Names that
    were merged into theirs are noted as well: an older backup has them still.
    """
    person = participants.take_hold(session, participant_id)
    if person is None:
        return False
    everybody = [participant_id, *participants.former_ids(session, participant_id)]
    for id in everybody:
        note(id, now)
    surrogate = uuid4()
    participants.stand_in(session, person, surrogate=surrogate)
    for capability in _CAPABILITIES:
        capability.forget(session, participant_id, surrogate=surrogate)
    participants.forget(session, participant_id)
    for id in everybody:
        insert_once(session, ErasedPerson, participant_id=id, erased_at=now, is_swept=False)
    return True


def replay(session: Session, erasures: Sequence[Erasure], *, now: datetime) -> int:
    """Erase every person of the list who is there, as after the restore of an older backup; how many there were."""
    return sum(erase(session, one.participant_id, note=_noted, now=now) for one in erasures)


def declare_young(session: Session, person: Participant, *, now: datetime) -> Participant:
    """Keep that a person is under 15: the precise positions they shared before go, and the address they left."""
    scans.forget_positions(session, person.id)
    letters.remove(session, person.id)
    return participants.declare_age(session, person, is_under_15=True, now=now)


def erase_due(session: Session, *, now: datetime, limit: int) -> int:
    """Erase people whose campaigns all ended 90 days ago; how many. The clock would do it again: nothing is noted."""
    due = session.execute(due_people(now).limit(limit)).scalars().all()
    return sum(erase(session, id, note=_noted, now=now) for id in due)


def due_people(now: datetime) -> Any:
    """The query of participants all of whose campaigns ended 90 days before, oldest first."""
    before = now - PERSON_LIFE
    ended_at = func.coalesce(col(Campaign.ended_at), col(Campaign.ends_at))
    goes_on = or_(ended_at.is_(None), ended_at >= before)
    acts = select(CheckIn.id).join(Campaign, col(Campaign.id) == CheckIn.campaign_id)
    joined = (
        select(Membership.mission_id)
        .join(Mission, col(Mission.id) == Membership.mission_id)
        .join(Campaign, col(Campaign.id) == Mission.campaign_id)
    )
    return (
        select(Participant.id)
        .where(
            not_(col(Participant.secret_hash).startswith(ERASED)),
            Participant.created_at < before,
            ~acts.where(CheckIn.participant_id == Participant.id, goes_on).exists(),
            ~joined.where(Membership.participant_id == Participant.id, goes_on).exists(),
        )
        .order_by(col(Participant.id))
    )


def unswept(session: Session) -> list[UUID]:
    """The erased whose old rows the database may still hold in a place it has not overwritten."""
    return list(session.exec(select(ErasedPerson.participant_id).where(col(ErasedPerson.is_swept).is_(False))).all())


def note_swept(session: Session, participant_ids: Sequence[UUID]) -> int:
    """Note that the database has thrown those rows away."""
    ours = col(ErasedPerson.participant_id).in_(participant_ids)
    return changed(session, update(ErasedPerson).where(ours).values(is_swept=True))


def _noted(_: UUID, __: datetime) -> None:
    """It is in the log already, or follows from the clock."""
