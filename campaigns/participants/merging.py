"""Two names of one person become one: who is merged into whom, and what of the participants themselves moves."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns.errors import Conflict, NotFound
from campaigns.participants.models import Cohort, MergedPerson, Participant, ParticipantKey, RecoveryCode
from campaigns.storage import hand_over, store

REASON = "merged"
PERSON_COLUMNS = tuple(col(table.participant_id) for table in (ParticipantKey, RecoveryCode, MergedPerson))


@dataclass
class Merge:
    """A newer name and the older one that takes over what it did. What capabilities tell one another stands here.

    `ballot_secret` gives the key of a campaign's secret ballots. `missions`: those that one of the two takes part in,
    with the phase. `uncounted`: check-ins that are no visit of their own
    any more; `to_void`: scans whose proof was used under both names; `undone`: how much of what was reversed.
    """

    older: Participant
    newer: Participant
    ballot_secret: Callable[[UUID], bytes]
    now: datetime
    missions: set[tuple[UUID, str]] = field(default_factory=set)
    uncounted: list[UUID] = field(default_factory=list)
    to_void: list[UUID] = field(default_factory=list)
    undone: Counter[str] = field(default_factory=Counter)

    @property
    def ids(self) -> tuple[UUID, UUID]:
        return self.older.id, self.newer.id


def may_merge(one: Participant, other: Participant) -> bool:
    """Whether two names can be one person's: of one brand, known in the same of its campaigns, not the same name."""
    return one.id != other.id and _scope(one) == _scope(other)


def by_age(one: Participant, other: Participant) -> tuple[Participant, Participant]:
    """Two people, who joined first before the other."""
    return (one, other) if (one.created_at, one.id) <= (other.created_at, other.id) else (other, one)


def hold_both(
    session: Session,
    one_id: UUID,
    other_id: UUID,
    *,
    ballot_secret: Callable[[UUID], bytes],
    now: datetime,
) -> Merge:
    """Hold two people until the transaction ends, in one order: acts of theirs wait, and then find the older one.

    NotFound when one was erased or merged meanwhile, Conflict (`other_scope`) when they cannot be one person.
    """
    both = select(Participant).where(col(Participant.id).in_((one_id, other_id))).order_by(col(Participant.id))
    found = session.exec(both.with_for_update().execution_options(populate_existing=True)).all()
    if len(found) < 2 or any(one.is_erased for one in found):
        raise NotFound("One of these two is not there any more: erased, or merged at this moment.")
    older, newer = by_age(*found)
    if not may_merge(older, newer):
        raise Conflict(
            "These two are known in different campaigns or to different brands: they stay two.", code="other_scope"
        )
    return Merge(older, newer, ballot_secret, now)


def merge(session: Session, merge: Merge) -> None:
    """Let every key of the newer name lead to the older one, and drop the newer. Last of all: nothing else names it."""
    older, newer = merge.older, merge.newer
    if newer.cohort == Cohort.EMPLOYEE or older.cohort == Cohort.PUBLIC:
        older.cohort = newer.cohort  # an employee stays one: the figures tell their acts apart
    if newer.is_under_15 or older.is_under_15 is None:
        older.is_under_15, older.age_declared_at = newer.is_under_15, newer.age_declared_at
    session.add(older)
    session.flush()
    is_open = (col(RecoveryCode.participant_id) == newer.id, col(RecoveryCode.ended_at).is_(None))
    ended = update(RecoveryCode).where(*is_open).values(ended_at=merge.now, ended_by="replaced")
    session.execute(ended.execution_options(synchronize_session=False))
    hand_over(session, PERSON_COLUMNS, newer.id, older.id)
    gone = delete(Participant).where(col(Participant.id) == newer.id)
    session.expunge(newer)
    session.execute(gone.execution_options(synchronize_session=False))
    key = {"secret_hash": newer.secret_hash, "issued_at": newer.created_at}
    store(session, ParticipantKey, participant_id=older.id, **key)
    store(session, MergedPerson, former_id=newer.id, participant_id=older.id, merged_at=merge.now)


def former_ids(session: Session, participant_id: UUID) -> list[UUID]:
    """The ids of the names that were merged into a person."""
    query = select(MergedPerson.former_id).where(MergedPerson.participant_id == participant_id)
    return sorted(session.exec(query).all())


def _scope(person: Participant) -> tuple[UUID, UUID | None]:
    return person.organisation_id, person.campaign_id
