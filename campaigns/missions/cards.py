"""Acts that the staff record for somebody without a phone, who holds a paper card: the same rights by another way in.

A card is a serial of a batch made for cards. Its code is who the person is: no act spends it. What a phone of the shop
records is witnessed (presence 3), once as the rules of each act say, and marked as recorded by the staff: by the place,
never by who did it. A phone has so many acts an hour, and fewer votes, so that nobody fills a ballot with cards.

`holder_of` is the seam for a phone that scans a card later: the card's person, to be merged with the phone's.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import participants, scans, tokens
from campaigns.clock import hour_of
from campaigns.errors import Conflict, Gone, Invalid, NotFound, TooMany
from campaigns.ids import uuid7_at
from campaigns.missions.acts import StepOutcome, complete, period_of, require_open, take_part
from campaigns.missions.check_ins import counted_for
from campaigns.missions.codes import WITNESSED
from campaigns.missions.insiders import LEAST_GROUP
from campaigns.missions.models import (
    ON_CHECK_IN,
    Card,
    CompletionState,
    Mission,
    StaffAct,
    StaffHour,
    StaffRecord,
    Step,
    StepKind,
)
from campaigns.missions.service import mission_of, steps_of
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.storage import changed, insert_once, newest, store, upsert
from campaigns.tokens import Token, TokenState, codes
from campaigns.tokens.directory import Entry

MOST_AN_HOUR = {"acts": 40, "votes": 15}  # of one phone


@dataclass(frozen=True)
class Presented:
    """A card at the counter: what it belongs to, its person once it was used, and a code that stands in the place."""

    token: Token
    campaign: Campaign
    mission: Mission
    person: Participant | None
    standing_code: str


def present(session: Session, place: Place, typed: str, *, now: datetime) -> Presented:
    """The card whose code, or the URL around it, was typed or read by a scanner at a place.

    NotFound (`unknown_card`) for what is no card of the brand, Gone (`card_closed`) for one that was withdrawn,
    Conflict (`place_apart`) where the place has no code of the card's campaign.
    """
    code = codes.normalise(typed.strip().split("?")[0].rstrip("/").rpartition("/")[2])
    token = tokens.find_card(session, place.organisation_id, code) if code else None
    if token is None:
        raise NotFound("This is not the code of a card. Read it again.", code="unknown_card")
    if token.state_at(now) != TokenState.ACTIVE:
        raise Gone("This card was withdrawn. Give the person another one.", code="card_closed")
    campaign = session.get_one(Campaign, token.campaign_id)
    mission = mission_of(session, campaign.id)
    here = [
        one
        for one in tokens.tokens_of_place(session, place.id)
        if one.campaign_id == campaign.id and one.state_at(now) == TokenState.ACTIVE
    ]
    if mission is None or not here:
        raise Conflict("This shop takes no part in the card's mission.", code="place_apart")
    return Presented(token, campaign, mission, holder_of(session, token.id), here[0].code)


def holder_of(session: Session, token_id: UUID) -> Participant | None:
    """The person a card stands for; None before its first act. Gone when they were erased."""
    query = select(Participant).join(Card, col(Card.participant_id) == Participant.id).where(Card.token_id == token_id)
    person = session.exec(query).first()
    if person is not None and person.is_erased:
        raise Gone("Who had this card was erased. Give the person another one.", code="erased")
    return person


def hold_card(session: Session, shown: Presented, *, language: str, now: datetime) -> Participant:
    """The card's person, made by its first act. The card is held: two tills at once make one person."""
    session.exec(select(Token.id).where(Token.id == shown.token.id).with_for_update()).one()
    person = holder_of(session, shown.token.id)
    if person is None:
        person, _ = participants.join(session, shown.campaign.organisation_id, language=language, now=now)
        store(session, Card, token_id=shown.token.id, participant_id=person.id, first_used_at=now)
    return person


def take_staff_turn(session: Session, staff_session_id: UUID, kind: str, *, now: datetime) -> None:
    """Count an act of a shop's phone. TooMany beyond 40 an hour, and beyond 15 votes."""
    most = MOST_AN_HOUR[kind]
    insert = upsert(session, StaffHour).values(staff_session_id=staff_session_id, hour=hour_of(now), kind=kind, acts=1)
    more = insert.on_conflict_do_update(
        index_elements=["staff_session_id", "hour", "kind"],
        set_={"acts": col(StaffHour.acts) + 1},
        where=col(StaffHour.acts) < most,
    )
    if not changed(session, more):
        left = 3600 - int(now.timestamp()) % 3600
        raise TooMany(
            f"This phone recorded {most} {kind} this hour: the most there is.", code="staff_limit", retry_after_s=left
        )


def find_record(session: Session, place_id: UUID, client_id: str) -> StaffRecord | None:
    """What a form recorded already, when it was sent before."""
    mine = select(StaffRecord).where(StaffRecord.place_id == place_id, StaffRecord.client_id == client_id)
    return session.exec(mine).first()


def record(
    session: Session,
    shown: Presented,
    place: Place,
    person: Participant,
    act: StaffAct,
    *,
    client_id: str,
    subject_id: UUID | None,
    outcome: str,
    now: datetime,
) -> StaffRecord:
    """Note that the staff of a place recorded an act. The subject of a vote is its round: nobody reads whom it was for.

    Conflict (`already_recorded`) when the same form was first: ask again for the answer it got.
    """
    id = uuid7_at(now)
    values: dict[str, Any] = {
        "id": id,
        "campaign_id": shown.campaign.id,
        "place_id": place.id,
        "participant_id": person.id,
        "act": act.value,
        "subject_id": subject_id,
        "outcome": outcome,
        "phase": require_open(shown.campaign, now=now),
        "client_id": client_id,
        "recorded_at": now,
    }
    if not insert_once(session, StaffRecord, **values):
        raise Conflict("This was recorded a moment ago.", code="already_recorded")
    return StaffRecord(**values)


def check_in_card(
    session: Session,
    shown: Presented,
    entry: Entry,
    person: Participant,
    *,
    rules_version_id: UUID | None = None,
    now: datetime,
) -> tuple[CheckIn, list[StepOutcome]]:
    """Witness that the card's person is at the place of `entry`: presence 3, one counted visit a code and day.

    A second one of the day is the first: it opens no second ballot and does nothing more.
    """
    phase = require_open(shown.campaign, now=now)
    # Visits before memberships, as the check-in of a phone and who voids one hold them.
    done, is_new = scans.witness(
        session, entry, person, phase=phase, presence=WITNESSED, rules_version_id=rules_version_id, now=now
    )
    take_part(session, shown.mission, person, phase=phase, rules_version_id=rules_version_id, now=now)
    if not is_new:
        return done, []
    steps = [step for step in steps_of(session, shown.mission.id) if step.kind in ON_CHECK_IN]
    return done, counted_for(session, shown.mission, steps, person, done, entry, now=now)


def confirm_step(
    session: Session, shown: Presented, place: Place, person: Participant, step_id: UUID, *, now: datetime
) -> StepOutcome:
    """Witness a step that the staff confirm. NotFound for a step of another kind, Invalid for another place."""
    step = session.get(Step, step_id)
    if step is None or step.mission_id != shown.mission.id or step.kind != StepKind.STAFF_VALIDATED:
        raise NotFound("There is no such step that the shop confirms.")
    if step.places and place.id not in step.places:
        raise Invalid("This step is done in another place.", code="other_place", pointer="/step")
    phase = require_open(shown.campaign, now=now)
    return complete(
        session,
        shown.mission,
        step,
        person,
        period=period_of(step.repeat, now, place.time_zone),
        presence=WITNESSED,
        phase=phase,
        source_id=uuid7_at(now),
        state=CompletionState.VERIFIED,
        now=now,
    )


def record_by_id(session: Session, organisation_id: UUID, record_id: UUID) -> StaffRecord:
    """What the staff recorded in a place of an organisation; NotFound for another's."""
    query = select(StaffRecord).join(Place, col(Place.id) == StaffRecord.place_id)
    found = session.exec(query.where(StaffRecord.id == record_id, Place.organisation_id == organisation_id)).first()
    if found is None:
        raise NotFound("There is no such record.")
    return found


def list_records(
    session: Session,
    *,
    campaign_id: UUID | None = None,
    place_id: UUID | None = None,
    participant_id: UUID | None = None,
    before: UUID | None = None,
    limit: int,
) -> Sequence[StaffRecord]:
    """What the staff recorded, of a campaign, a place, a person, or of several of them, newest first."""
    query = select(StaffRecord)
    for column, wanted in (
        (StaffRecord.campaign_id, campaign_id),
        (StaffRecord.place_id, place_id),
        (StaffRecord.participant_id, participant_id),
    ):
        query = query if wanted is None else query.where(column == wanted)
    return newest(session, query, StaffRecord, before=before, limit=limit)


@dataclass(frozen=True)
class RecordedAt:
    """What the staff of a place recorded: acts by kind, and people where there are five at least."""

    place_id: UUID
    acts: dict[str, int]
    people: int | None


def recorded_by_place(session: Session, campaign_id: UUID, *, phase: str = "live") -> list[RecordedAt]:
    """What was recorded for people without a phone, place by place; never by who of the staff did it."""
    where = (col(StaffRecord.campaign_id) == campaign_id, col(StaffRecord.phase) == phase)
    place = col(StaffRecord.place_id)
    found: dict[UUID, dict[str, int]] = {}
    query = columns(place, col(StaffRecord.act), func.count()).where(*where).group_by(place, col(StaffRecord.act))
    for place_id, act, number in session.execute(query):
        found.setdefault(place_id, {})[act] = number
    groups = columns(place, func.count(func.distinct(col(StaffRecord.participant_id)))).where(*where).group_by(place)
    people: dict[UUID, int] = dict(session.execute(groups).all())
    return [RecordedAt(id, found[id], people[id] if people[id] >= LEAST_GROUP else None) for id in sorted(found)]
