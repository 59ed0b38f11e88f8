"""Who acts in a campaign: the cookie's participant, a new one, or nobody any more."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import delete
from sqlmodel import Session, col, select

from campaigns import participants
from campaigns.errors import Gone
from campaigns.missions import referrals
from campaigns.missions.models import (
    ActCode,
    Card,
    ExternalAct,
    FriendNaming,
    Membership,
    Mission,
    MissionPlace,
    PublicCode,
    Referral,
    Share,
    StaffRecord,
    StepCompletion,
    Validation,
)
from campaigns.participants import Cohort, Participant
from campaigns.planning import Campaign, Phase, State
from campaigns.scans import CheckIn, Receipt
from campaigns.storage import hand_over

PERSON_COLUMNS = (
    col(StepCompletion.participant_id),
    col(Membership.participant_id),
    col(MissionPlace.participant_id),
    col(ActCode.participant_id),
    col(Validation.participant_id),
    col(FriendNaming.participant_id),
    col(FriendNaming.friend_id),
    col(PublicCode.participant_id),
    col(Share.participant_id),
    col(ExternalAct.participant_id),
    col(Referral.referrer_id),
    col(Referral.newcomer_id),
    col(Card.participant_id),
    col(StaffRecord.participant_id),
)


def first_person(session: Session, receipt: Receipt) -> Participant:
    """Who made the check-in there was already. The scan outlives them, their page does not."""
    rows = select(Participant).join(CheckIn, col(CheckIn.participant_id) == Participant.id)
    person = session.exec(rows.where(CheckIn.scan_id == receipt.scan_id)).one()
    if person.is_erased:
        raise Gone("This visit was counted, and who made it was erased. Scan again to take part anew.", code="erased")
    return person


def recognise_or_join(
    session: Session,
    campaign: Campaign,
    cookie: str | None,
    *,
    language: str,
    objected: bool = False,
    is_young: bool = False,
    now: datetime,
) -> tuple[Participant, str | None]:
    """The cookie's participant of this organisation, else a new one with the secret for its cookie.

    Who objects (Sec-GPC, DNT) is a participant of this campaign alone: acts in two campaigns meet in no row.
    `is_young`: the phone says that its person is under 15.
    """
    person = recognise(session, campaign, cookie, objected=objected, to_act=True)
    secret = None
    if person is None:
        person, secret = participants.join(
            session,
            campaign.organisation_id,
            language=language,
            campaign_id=campaign.id if objected else None,
            now=now,
        )
    if is_young and not person.is_under_15:
        person = participants.declare_age(session, person, is_under_15=True, now=now)
    return person, secret


def recognise(
    session: Session, campaign: Campaign, cookie: str | None, *, objected: bool = False, to_act: bool = False
) -> Participant | None:
    """The cookie's participant, where it holds for this campaign; else None."""
    person = participants.recognise(session, cookie, to_act=to_act)
    if person is None or person.organisation_id != campaign.organisation_id:
        return None
    if person.cohort == Cohort.EMPLOYEE:
        return person  # who entered the team by its link asked to be known in all of its missions
    if person.campaign_id is not None:
        return person if person.campaign_id == campaign.id else None
    return person if not objected or _has_acted(session, campaign, person) else None


def phase_shown(campaign: Campaign, person: Participant | None) -> str:
    """The phase whose ideas and totals a page shows: the pilot's to its team alone, a draft's as a preview."""
    if campaign.state == State.PILOT:
        is_insider = person is not None and person.cohort == Cohort.EMPLOYEE
        return Phase.PILOT.value if is_insider else Phase.LIVE.value
    return Phase.DRAFT.value if campaign.state == State.DRAFT else Phase.LIVE.value


def state_shown(campaign: Campaign, person: Participant | None, *, now: datetime) -> State:
    """The state a page shows: a campaign in its pilot has not started for who is not of the team."""
    state = campaign.state_at(now)
    is_apart = state is State.PILOT and phase_shown(campaign, person) != Phase.PILOT
    return State.SCHEDULED if is_apart else state


def _has_acted(session: Session, campaign: Campaign, person: Participant) -> bool:
    """Whether this person is known in the campaign already: going on there links nothing that was apart."""
    acts = select(CheckIn.id).where(CheckIn.participant_id == person.id, CheckIn.campaign_id == campaign.id)
    joined = (
        select(Membership.mission_id)
        .join(Mission, col(Mission.id) == Membership.mission_id)
        .where(Membership.participant_id == person.id, Mission.campaign_id == campaign.id)
    )
    return any(session.exec(query.limit(1)).first() is not None for query in (acts, joined))


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave what a person completed and joined to nobody: it stays counted. The codes that led to them go."""
    for table in (ActCode, PublicCode):
        gone = delete(table).where(col(table.participant_id) == participant_id)
        session.execute(gone.execution_options(synchronize_session=False))
    referrals.forget(session, participant_id)
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)
