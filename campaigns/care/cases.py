"""Cases: what shoppers tell the shop, with a deadline: answered by the shop or a member, escalated when late."""

import hashlib
import hmac
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, func, literal, update
from sqlmodel import Session, col, select

from campaigns import audit, clock
from campaigns.care.models import OPEN_STATES, Case, CaseDay, CaseKind, CaseMessage, CaseState, Speaker
from campaigns.care.opening_days import due_at
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.participants import Participant
from campaigns.participants.merging import Merge
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.storage import changed, find_own, hand_over, insert_once, newest, store, upsert

TEXT_LIMIT = 2000  # characters of what is said in a case
CASES_A_DAY = 5  # of one phone with one brand
CASES_OF_ALL_A_DAY = 500  # of all phones with one brand
DAYS_KEPT = timedelta(days=3)  # of these counts
PERSON_COLUMNS = (col(Case.participant_id),)
UNDER_AGE = "Writing is for people of 15 and over. Tell it to the staff in the shop, or to a grown-up."
_EVERYBODY = 0
_TO_ANSWER = (*OPEN_STATES, CaseState.ANSWERED)


class Opened(NamedTuple):
    """A case; `is_replay` when this client id was seen before, and the first one stands."""

    case: Case
    is_replay: bool


def open_case(
    session: Session,
    campaign: Campaign,
    *,
    mission_id: UUID | None,
    place: Place | None,
    kind: CaseKind = CaseKind.WORD,
    subject_id: UUID | None = None,
    text: str,
    person: Participant | None,
    sender_key: int,
    client_id: str,
    language: str,
    now: datetime,
) -> Opened:
    """Open a case, due at the closing of the place's second opening day. A repeat of `client_id` returns the first.

    Invalid for an empty or too long text, Forbidden under 15, TooMany beyond five cases of a phone on a day.
    """
    if person is not None and person.is_under_15:
        raise Forbidden(UNDER_AGE, code="under_age_text")
    words = tidy(text)
    who: dict[str, Any] = {"participant_id": person.id, "reporter_key": None} if person else {"participant_id": None}
    who.setdefault("reporter_key", sender_key)
    id = uuid7_at(now)
    fields = {
        "organisation_id": campaign.organisation_id,
        "campaign_id": campaign.id,
        "mission_id": mission_id,
        "place_id": place.id if place else None,
        "kind": kind.value,
        "subject_id": subject_id,
        "client_id": client_id,
        "reference": reference_of(id),
        "language": language,
        "state": CaseState.RECEIVED.value,
        "opened_at": now,
        "due_at": _due(place, campaign, now),
    }
    never = dict.fromkeys(("acknowledged_at", "answered_at", "closed_at", "reopened_at", "escalated_at"))
    if not insert_once(session, Case, id=id, **who, **fields, **never):
        query = select(Case).where(Case.client_id == client_id)
        mine = Case.participant_id == person.id if person else Case.reporter_key == sender_key
        return Opened(session.exec(query.where(mine)).one(), True)
    _count(session, campaign.organisation_id, clock.day_of(now), sender_key)
    _say(session, id, Speaker.PERSON, words, now)
    record_event(session, "case.opened", now=now, case_id=id, organisation_id=campaign.organisation_id)
    return Opened(session.get_one(Case, id), False)


def reference_of(id: UUID) -> str:
    """What a person reads out: two groups of four from the random part of the id, such as `K7Q3-9XAB`."""
    alphabet = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"  # Crockford's base 32
    digits = "".join(alphabet[id.int >> 5 * place & 31] for place in range(8))
    return f"{digits[:4]}-{digits[4:]}"


def secret_of(key: bytes, case_id: UUID) -> str:
    """What the link of a case carries: it follows from the id under a key, so nothing of it is stored."""
    return hmac.new(key, case_id.bytes, hashlib.sha256).hexdigest()[:32]


def case_by_link(session: Session, reference: str, secret: str, *, key: bytes) -> Case:
    """The case of a link; NotFound for any other secret, as for no case at all."""
    case = session.exec(select(Case).where(Case.reference == reference)).first()
    expected = secret_of(key, case.id) if case is not None else ""
    if case is None or not hmac.compare_digest(expected.encode(), secret.encode()):
        raise NotFound("There is no such case.")
    return case


def case_by_id(session: Session, organisation_id: UUID, case_id: UUID) -> Case:
    """The organisation's case; NotFound for another's."""
    case = find_own(session, Case, organisation_id, case_id)
    if case is None:
        raise NotFound("There is no such case.")
    return case


def case_of_place(session: Session, place_id: UUID, case_id: UUID) -> Case:
    """The case of a place; NotFound for another's."""
    case = session.exec(select(Case).where(Case.id == case_id, Case.place_id == place_id)).first()
    if case is None:
        raise NotFound("There is no such case.")
    return case


def messages_of(session: Session, case_id: UUID) -> Sequence[CaseMessage]:
    """What was said in a case, oldest first."""
    query = select(CaseMessage).where(CaseMessage.case_id == case_id)
    return session.exec(query.order_by(col(CaseMessage.written_at), col(CaseMessage.id))).all()


def cases_of_place(session: Session, place_id: UUID, *, limit: int) -> Sequence[Case]:
    """The open cases of a place, the most urgent first."""
    query = select(Case).where(Case.place_id == place_id, col(Case.state).in_(OPEN_STATES))
    return session.exec(query.order_by(col(Case.due_at), col(Case.id)).limit(limit)).all()


def open_cases(session: Session, organisation_id: UUID, *, limit: int) -> Sequence[Case]:
    """The open cases of all places, the most urgent first."""
    query = select(Case).where(Case.organisation_id == organisation_id, col(Case.state).in_(OPEN_STATES))
    return session.exec(query.order_by(col(Case.due_at), col(Case.id)).limit(limit)).all()


def waiting_cases(
    session: Session, organisation_id: UUID, campaign_ids: Sequence[UUID], *, places: Sequence[UUID] | None
) -> int:
    """How many cases of these campaigns wait for an answer, everywhere or in some places alone."""
    query = select(func.count()).where(
        Case.organisation_id == organisation_id,
        col(Case.campaign_id).in_(campaign_ids),
        col(Case.state).in_(OPEN_STATES),
    )
    if places is not None:
        query = query.where(col(Case.place_id).in_(places))
    return session.exec(query).one()


def list_cases(
    session: Session,
    organisation_id: UUID,
    *,
    among: frozenset[UUID] | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[Case]:
    """Newest first, older than `before`; of certain places alone if asked."""
    query = select(Case).where(Case.organisation_id == organisation_id)
    if among is not None:
        query = query.where(col(Case.place_id).in_(among))
    return newest(session, query, Case, before=before, limit=limit)


def cases_of(session: Session, participant_id: UUID) -> Sequence[Case]:
    """A person's own cases, newest first."""
    return session.exec(select(Case).where(Case.participant_id == participant_id).order_by(col(Case.id).desc())).all()


def acknowledge(session: Session, case: Case, *, now: datetime) -> Case:
    """Tell the person that somebody read it. Conflict when it was answered or acknowledged before."""
    _move(session, case, CaseState.ACKNOWLEDGED, (CaseState.RECEIVED, CaseState.REOPENED), acknowledged_at=now)
    return _noted(session, case, CaseState.ACKNOWLEDGED, now)


def answer(session: Session, case: Case, *, text: str, speaker: Speaker, now: datetime) -> Case:
    """Answer a case; once more after an answer if need be. Conflict when it is closed."""
    words = tidy(text)
    _move(session, case, CaseState.ANSWERED, _TO_ANSWER, answered_at=now)
    _say(session, case.id, speaker, words, now)
    return _noted(session, case, CaseState.ANSWERED, now)


def close(session: Session, case: Case, *, now: datetime) -> Case:
    """Close a case that was answered. Conflict for any other."""
    _move(session, case, CaseState.CLOSED, (CaseState.ANSWERED,), closed_at=now)
    return _noted(session, case, CaseState.CLOSED, now)


def reopen(session: Session, case: Case, *, text: str, now: datetime) -> Case:
    """The person is not content: an answered or closed case opens again, with a new deadline."""
    words = tidy(text)
    place = session.get(Place, case.place_id) if case.place_id else None
    due = _due(place, session.get_one(Campaign, case.campaign_id), now)
    fresh = {"reopened_at": now, "due_at": due, "closed_at": None, "escalated_at": None}
    _move(session, case, CaseState.REOPENED, (CaseState.ANSWERED, CaseState.CLOSED), **fresh)
    _say(session, case.id, Speaker.PERSON, words, now)
    record_event(session, "case.reopened", now=now, case_id=case.id)
    return session.get_one(Case, case.id, populate_existing=True)


def overdue(session: Session, *, now: datetime, limit: int) -> Sequence[UUID]:
    """Cases whose deadline passed without an answer, which did not escalate yet."""
    waiting = [one for one in OPEN_STATES if one is not CaseState.ESCALATED]
    query = select(Case.id).where(col(Case.state).in_(waiting), Case.due_at < now)
    return session.exec(query.order_by(col(Case.due_at)).limit(limit)).all()


def escalate(session: Session, case_ids: Sequence[UUID], *, now: datetime) -> int:
    """Escalate overdue cases; how many. One that was answered meanwhile is left alone."""
    done = 0
    for id in case_ids:
        waiting = [one for one in OPEN_STATES if one is not CaseState.ESCALATED]
        late = update(Case).where(col(Case.id) == id, col(Case.state).in_(waiting), col(Case.due_at) < now)
        if changed(session, late.values(state=CaseState.ESCALATED.value, escalated_at=now)):
            record_event(session, "case.escalated", now=now, case_id=id)
            done += 1
    return done


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Blank all that was said in a person's cases, answers too: they may repeat it. Open ones are over."""
    mine = select(Case.id).where(Case.participant_id == participant_id)
    blank = update(CaseMessage).where(col(CaseMessage.case_id).in_(mine)).values(text="")
    session.execute(blank.execution_options(synchronize_session=False))
    session.execute(
        update(Case)
        .where(col(Case.participant_id) == participant_id)
        .values(
            state=CaseState.CLOSED.value,
            closed_at=func.coalesce(col(Case.closed_at), col(Case.opened_at)),
            language="und",
            client_id=literal("erased-") + cast(col(Case.id), Text),
        )
        .execution_options(synchronize_session=False)
    )
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the cases of the newer one; what its phone called them stays apart."""
    older, newer = merge.ids
    has = select(Case.client_id).where(Case.participant_id == older)
    twins = (col(Case.participant_id) == newer, col(Case.client_id).in_(has))
    apart = literal("merged-") + cast(col(Case.id), Text)
    session.execute(update(Case).where(*twins).values(client_id=apart).execution_options(synchronize_session=False))
    hand_over(session, PERSON_COLUMNS, newer, older)


def tidy(text: str) -> str:
    """The text with one kind of line break. Invalid when it is empty or longer than 2,000 characters."""
    words = "\n".join(line.rstrip() for line in text.strip().splitlines()).strip()
    if not words:
        raise Invalid("Write a few words first: the text is empty.", pointer="/text", code="case_empty")
    if len(words) > TEXT_LIMIT:
        raise Invalid(f"At most {TEXT_LIMIT} characters; this has {len(words)}.", pointer="/text", code="case_too_long")
    return words


def _due(place: Place | None, campaign: Campaign, now: datetime) -> datetime:
    hours = place.opening_hours if place else None
    return due_at(now, hours, place.time_zone if place else campaign.time_zone)


def _say(session: Session, case_id: UUID, speaker: Speaker, text: str, now: datetime) -> None:
    said = {"case_id": case_id, "speaker": speaker.value, "text": text, "written_at": now}
    store(session, CaseMessage, id=uuid7_at(now), **said)


def _move(session: Session, case: Case, state: CaseState, of: Sequence[CaseState], **instants: Any) -> None:
    """One state to another, if it stands in one of `of`: of two who answer at once both do, of two who close one."""
    move = update(Case).where(col(Case.id) == case.id, col(Case.state).in_(of))
    if not changed(session, move.values(state=state.value, **instants)):
        raise Conflict(f"This case is {case.state}; that leads not to {state.value}.", code="wrong_state")


def _noted(session: Session, case: Case, state: CaseState, now: datetime) -> Case:
    changes = {"state": [case.state, state.value]}
    audit.note(session, "case.changed", case.id, organisation_id=case.organisation_id, changes=changes, now=now)
    record_event(session, f"case.{state.value}", now=now, case_id=case.id)
    return session.get_one(Case, case.id, populate_existing=True)


def _count(session: Session, organisation_id: UUID, day: int, sender_key: int) -> None:
    for key, most in ((sender_key, CASES_A_DAY), (_EVERYBODY, CASES_OF_ALL_A_DAY)):
        insert = upsert(session, CaseDay).values(organisation_id=organisation_id, day=day, sender_key=key, cases=1)
        more = insert.on_conflict_do_update(
            index_elements=["organisation_id", "day", "sender_key"],
            set_={"cases": col(CaseDay.cases) + 1},
            where=col(CaseDay.cases) < most,
        )
        if not changed(session, more):
            raise TooMany(
                "That is enough for today. Come back tomorrow, or ask the staff in the shop.",
                code="too_many_cases",
                retry_after_s=3600,
            )
