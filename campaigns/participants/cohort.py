"""The cohort of employees: a person of the team joins it by a link that a member or a manager made."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns.errors import Gone, Invalid, NotFound
from campaigns.ids import uuid7_at
from campaigns.participants.models import Cohort, CohortLink, Participant
from campaigns.sealing import hash_secret, new_secret
from campaigns.storage import changed, find_own, newest

LINK_LIFE = timedelta(days=14)
LONGEST_LIFE = timedelta(days=90)
MOST_USES = 1_000


def issue_cohort_link(
    session: Session,
    organisation_id: UUID,
    *,
    max_uses: int = 1,
    label: str = "",
    place_id: UUID | None = None,
    expires_at: datetime | None = None,
    secret: str | None = None,
    now: datetime,
) -> tuple[CohortLink, str]:
    """Make a link into the cohort, good for so many people and 14 days by default; with its secret, known only now.

    Invalid for more than 1,000 people, and for an end that is past or more than 90 days away.
    """
    ends = expires_at or now + LINK_LIFE
    if not 1 <= max_uses <= MOST_USES:
        raise Invalid(f"A link is good for 1 to {MOST_USES:,} people.", pointer="/max_uses")
    if not now < ends <= now + LONGEST_LIFE:
        raise Invalid("A link ends in the next 90 days.", pointer="/expires_at")
    secret = secret or new_secret()
    link = CohortLink(
        id=uuid7_at(now),
        organisation_id=organisation_id,
        place_id=place_id,
        label=label,
        secret_hash=hash_secret(secret),
        max_uses=max_uses,
        created_at=now,
        expires_at=ends,
    )
    session.add(link)
    session.flush()
    return link, secret


def cohort_link_by_secret(session: Session, secret: str, *, now: datetime) -> CohortLink:
    """A link that still lets somebody in. NotFound for none, Gone for one that was taken back, is used up or over."""
    found = session.exec(select(CohortLink).where(CohortLink.secret_hash == hash_secret(secret[:100]))).first()
    if found is None:
        raise NotFound("This link into the team is not one of ours. Ask for a new one.", code="unknown_cohort_link")
    if not found.is_good(now):
        raise _over()
    return found


def enter_cohort(session: Session, link: CohortLink, person: Participant, *, now: datetime) -> Participant:
    """Put a person into the cohort of employees by a link. Who is in already uses nothing of it.

    Gone when the link ended meanwhile: of people who race for its last use one gets in.
    """
    if person.cohort == Cohort.EMPLOYEE:
        return person
    good = update(CohortLink).where(
        col(CohortLink.id) == link.id,
        col(CohortLink.revoked_at).is_(None),
        col(CohortLink.expires_at) > now,
        col(CohortLink.uses) < col(CohortLink.max_uses),
    )
    if not changed(session, good.values(uses=col(CohortLink.uses) + 1).execution_options(synchronize_session=False)):
        raise _over()
    mine = col(Participant.id) == person.id
    changed(session, update(Participant).where(mine).values(cohort=Cohort.EMPLOYEE.value))
    return session.exec(select(Participant).where(mine).execution_options(populate_existing=True)).one()


def cohort_link_by_id(session: Session, organisation_id: UUID, link_id: UUID) -> CohortLink:
    """The organisation's link; NotFound for another's."""
    found = find_own(session, CohortLink, organisation_id, link_id)
    if found is None:
        raise NotFound("There is no such link.")
    return found


def list_cohort_links(
    session: Session, organisation_id: UUID, *, before: UUID | None, limit: int
) -> Sequence[CohortLink]:
    """Newest first, older than `before`."""
    query = select(CohortLink).where(CohortLink.organisation_id == organisation_id)
    return newest(session, query, CohortLink, before=before, limit=limit)


def revoke_cohort_link(session: Session, link: CohortLink, *, now: datetime) -> None:
    """Take a link back: nobody enters by it any more, who entered stays. Twice is once."""
    if link.revoked_at is None:
        link.revoked_at = now
        session.add(link)
        session.flush()


def _over() -> Gone:
    return Gone("This link into the team is used up or too old. Ask for a new one.", code="cohort_link_over")
