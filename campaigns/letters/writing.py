"""When a letter is written: after an answer, a mission done or the close of a vote, to who confirmed an address."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import select, update
from sqlmodel import Session, col

from campaigns.care.models import Case, CaseMessage, Speaker
from campaigns.community import voter_of
from campaigns.community.models import Ballot, Comment, Idea, Round
from campaigns.ids import uuid7_at
from campaigns.letters.models import Contact, Letter, LetterKind
from campaigns.missions import Membership, Mission
from campaigns.storage import insert_once

RESULTS_WITHIN = timedelta(days=7)  # after the close: an installation that stood still tells no old news
CONTACTS_A_ROUND = 500  # addresses looked at in a transaction


def write(session: Session, kind: LetterKind, subject_id: UUID, participant_ids: Iterable[UUID], now: datetime) -> int:
    """Write a letter to each of these people who confirmed an address, once; how many are new."""
    query = select(col(Contact.id), col(Contact.participant_id)).where(
        col(Contact.participant_id).in_(set(participant_ids)), col(Contact.confirmed_at).is_not(None)
    )
    return sum(
        insert_once(
            session,
            Letter,
            id=uuid7_at(now),
            participant_id=participant_id,
            contact_id=contact_id,
            kind=kind.value,
            subject_id=subject_id,
            made_at=now,
            attempts=0,
            due_at=now,
        )
        for contact_id, participant_id in session.execute(query).all()
    )


def write_answers(
    session: Session, *, comment_ids: Sequence[UUID], case_ids: Sequence[UUID]
) -> list[tuple[LetterKind, UUID, UUID]]:
    """Whom official answers among these comments, and answers to these cases, are for: kind, subject, participant."""
    official = (
        select(col(Comment.id), col(Idea.participant_id))
        .join(Idea, col(Idea.id) == col(Comment.idea_id))
        .where(col(Comment.id).in_(comment_ids), col(Comment.member_id).is_not(None))
    )
    said = (
        select(col(Case.id), col(CaseMessage.id), col(Case.participant_id))
        .join(Case, col(Case.id) == col(CaseMessage.case_id))
        .where(col(Case.id).in_(case_ids), col(CaseMessage.speaker) != Speaker.PERSON)
        .where(col(Case.participant_id).is_not(None))
        .order_by(col(CaseMessage.id))
    )
    newest = {case_id: (message_id, whose) for case_id, message_id, whose in session.execute(said)}
    found = [(LetterKind.ANSWER, id, whose) for id, whose in session.execute(official)]
    return found + [(LetterKind.CASE, id, whose) for id, whose in newest.values() if whose is not None]


def write_done(session: Session, done: Iterable[tuple[UUID, UUID]]) -> list[tuple[LetterKind, UUID, UUID]]:
    """Of missions and participants those that are done for real, and still: kind, mission, participant."""
    found = []
    for mission_id, participant_id in done:
        query = select(col(Membership.completed_at)).where(
            col(Membership.mission_id) == mission_id,
            col(Membership.participant_id) == participant_id,
            col(Membership.phase) == "live",
        )
        if session.execute(query).scalar() is not None:
            found.append((LetterKind.DONE, mission_id, participant_id))
    return found


def untold_rounds(session: Session, *, now: datetime) -> Sequence[Round]:
    """The rounds that closed within the week and whose voters were not written to yet."""
    query = select(Round).where(
        col(Round.closes_at) <= now,
        col(Round.closes_at) > now - RESULTS_WITHIN,
        col(Round.told_at).is_(None),
        col(Round.first_vote_at).is_not(None),
    )
    return session.execute(query.order_by(col(Round.closes_at)).limit(10)).scalars().all()


def write_results(
    session: Session, round: Round, *, secret: Callable[[UUID], bytes], after: UUID | None, now: datetime
) -> UUID | None:
    """Write to who voted in a round, a page of addresses at a time; the last one looked at, None when all were.

    No row joins a person to their ballot: for each who confirmed an address the key they vote under is made anew.
    `secret` gives the key of a campaign's ballots. The last page notes that the round is told.
    """
    query = select(col(Contact.id), col(Contact.participant_id)).where(
        col(Contact.organisation_id) == round.organisation_id, col(Contact.confirmed_at).is_not(None)
    )
    if after is not None:
        query = query.where(col(Contact.id) > after)
    contacts = session.execute(query.order_by(col(Contact.id)).limit(CONTACTS_A_ROUND)).all()
    key = secret(session.get_one(Mission, round.mission_id).campaign_id)
    voters = {voter_of(key, participant_id): participant_id for _, participant_id in contacts}
    voted = select(col(Ballot.voter)).where(
        col(Ballot.round_id) == round.id, col(Ballot.voter).in_(voters), col(Ballot.phase) == "live"
    )
    found = [voters[voter] for voter in session.execute(voted.where(col(Ballot.live) > 0)).scalars()]
    write(session, LetterKind.RESULT, round.id, found, now)
    if len(contacts) == CONTACTS_A_ROUND:
        last: UUID = contacts[-1][0]
        return last
    told = update(Round).where(col(Round.id) == round.id).values(told_at=now)
    session.execute(told.execution_options(synchronize_session=False))
    return None
