"""Short codes on a person's phone, and what is done with them: a till witnesses an act, friends name one another."""

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import ids
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.missions.acts import StepOutcome, complete, hold_membership, period_of, require_open, take_part
from campaigns.missions.models import (
    ActCode,
    CompletionState,
    FriendNaming,
    Mission,
    Step,
    StepKind,
    Validation,
)
from campaigns.missions.tours import COUNTING
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.storage import changed, insert_once, store

CODE_LIFE = timedelta(minutes=10)
TOGETHER = timedelta(minutes=10)  # between the two receipts of friends at one place
WITNESSED = 3  # the presence of what a person of the shop says
SHOWN = (StepKind.STAFF_VALIDATED, StepKind.BRING_FRIEND)  # kinds for which a phone shows a code
_TRIES = 20


def draw_digits() -> str:
    """Six digits that nobody can foresee."""
    return f"{secrets.randbelow(10**6):06d}"


def show_code(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    step: Step,
    person: Participant,
    *,
    draw: Callable[[], str] = draw_digits,
    now: datetime,
) -> ActCode:
    """The person's code for a step: the one still good, else a new one, for ten minutes. They are a member by it."""
    if step.kind not in SHOWN:
        raise Conflict("This step is not done with a code.", code="no_such_step")
    phase = require_open(campaign, now=now)
    take_part(session, mission, person, phase=phase, now=now)
    session.execute(
        delete(ActCode).where(col(ActCode.organisation_id) == mission.organisation_id, col(ActCode.expires_at) <= now)
    )
    found = code_of(session, step, person, now=now)
    if found is not None:
        return found
    id = ids.uuid7_at(now)
    for _ in range(_TRIES):
        if insert_once(
            session,
            ActCode,
            id=id,
            organisation_id=mission.organisation_id,
            step_id=step.id,
            participant_id=person.id,
            code=draw(),
            phase=phase,
            issued_at=now,
            expires_at=now + CODE_LIFE,
        ):
            return session.get_one(ActCode, id)
    raise Conflict("No code was free; try again in a moment.", code="busy")


def code_of(session: Session, step: Step, person: Participant, *, now: datetime) -> ActCode | None:
    """The code a person's phone shows for a step now, if any."""
    mine = select(ActCode).where(ActCode.step_id == step.id, ActCode.participant_id == person.id)
    return session.exec(mine.where(col(ActCode.used_at).is_(None), col(ActCode.expires_at) > now)).first()


@dataclass(frozen=True)
class Witnessed:
    """What a till's code did, for the page that says so."""

    outcome: StepOutcome
    mission: Mission
    person: Participant


def validate(session: Session, place: Place, staff_session_id: UUID, typed: str, *, now: datetime) -> Witnessed:
    """Witness a person's act by the code on their phone, once: presence 3. Racing tills get one yes.

    NotFound for a code that is none or too old, Conflict for one that was used, Invalid for a place the step does not
    name.
    """
    code = _code_typed(session, place.organisation_id, typed, StepKind.STAFF_VALIDATED, now=now)
    step = session.get_one(Step, code.step_id)
    mission = session.get_one(Mission, step.mission_id)
    campaign = session.get_one(Campaign, mission.campaign_id)
    person = _held(session, code.participant_id)
    phase = require_open(campaign, now=now)
    if step.places and place.id not in step.places:
        raise Invalid("This step is done in another place.", code="other_place", pointer="/code")
    hold_membership(session, mission.id, person.id, phase)
    _use(session, code, now=now)
    id = ids.uuid7_at(now)
    store(
        session,
        Validation,
        id=id,
        code_id=code.id,
        step_id=step.id,
        participant_id=person.id,
        place_id=place.id,
        staff_session_id=staff_session_id,
        phase=phase,
        validated_at=now,
    )
    outcome = complete(
        session,
        mission,
        step,
        person,
        period=period_of(step.repeat, now, place.time_zone),
        presence=WITNESSED,
        phase=phase,
        source_id=id,
        state=CompletionState.VERIFIED,
        now=now,
    )
    record_event(session, "act.witnessed", now=now, validation_id=id)
    return Witnessed(outcome, mission, person)


def name_friend(
    session: Session,
    mission: Mission,
    campaign: Campaign,
    step: Step,
    person: Participant,
    typed: str,
    *,
    now: datetime,
) -> StepOutcome:
    """Name a friend by the code on their phone; once both did, and were together, the step is done for both.

    `progress` while the friend has not named this person, or a receipt of the two is missing. Both memberships are
    held, in one order: of two friends who name one another at once the second sees the first.
    """
    phase = require_open(campaign, now=now)
    code = _code_typed(session, mission.organisation_id, typed, StepKind.BRING_FRIEND, now=now)
    if code.step_id != step.id:
        raise NotFound("This is not a code of this mission.", code="unknown_act_code")
    if code.participant_id == person.id:
        raise Invalid("This is your own code: type your friend's.", code="own_code", pointer="/code")
    friend = _held(session, code.participant_id)
    for one in sorted((person, friend), key=lambda each: each.id):
        take_part(session, mission, one, phase=phase, now=now)
    period = period_of(step.repeat, now, campaign.time_zone)
    pair = {"step_id": step.id, "period": period, "phase": phase, "named_at": now}
    mine = {"participant_id": person.id, "friend_id": friend.id}
    is_new = insert_once(session, FriendNaming, id=ids.uuid7_at(now), **pair, **mine)
    if not is_new and _naming(session, step, period, phase, person.id, friend.id).check_in_id is not None:
        return StepOutcome(step, "already")
    return meet(session, mission, step, person, friend, period=period, phase=phase, now=now)


def meet(
    session: Session,
    mission: Mission,
    step: Step,
    person: Participant,
    friend: Participant,
    *,
    period: str,
    phase: str,
    now: datetime,
) -> StepOutcome:
    """Complete the step for both friends where both named the other and two of their receipts belong together."""
    namings = [
        find_naming(session, step, period, phase, *names) for names in ((person.id, friend.id), (friend.id, person.id))
    ]
    together = together_at(session, mission, step, person.id, friend.id, phase=phase)
    if None in namings or together is None:
        return StepOutcome(step, "progress")
    outcomes = []
    for naming, who, act in zip(namings, (person, friend), together, strict=True):
        assert naming is not None  # noqa: S101  # asked above
        naming.check_in_id = act.id
        session.add(naming)
        session.flush()
        outcomes.append(
            complete(
                session,
                mission,
                step,
                who,
                period=period,
                presence=act.presence,
                phase=phase,
                source_id=naming.id,
                state=CompletionState.VERIFIED,
                now=now,
            )
        )
    return outcomes[0]


def together_at(
    session: Session, mission: Mission, step: Step, one_id: UUID, other_id: UUID, *, phase: str
) -> tuple[CheckIn, CheckIn] | None:
    """Two check-ins of two people at one place within ten minutes, each good for the step: the newest such pair."""
    both = session.exec(
        select(CheckIn)
        .where(
            col(CheckIn.participant_id).in_((one_id, other_id)),
            CheckIn.campaign_id == mission.campaign_id,
            CheckIn.phase == phase,
            col(CheckIn.verdict).in_(COUNTING),
            CheckIn.presence >= step.min_presence,
            col(CheckIn.place_id).is_not(None),
        )
        .order_by(col(CheckIn.id).desc())
    ).all()
    theirs = [act for act in both if act.participant_id == other_id]
    for mine in both:
        for act in theirs if mine.participant_id == one_id else ():
            apart = abs(ids.instant_of(mine.scan_id) - ids.instant_of(act.scan_id))
            if mine.place_id == act.place_id and apart <= TOGETHER:
                return mine, act
    return None


def find_naming(
    session: Session, step: Step, period: str, phase: str, participant_id: UUID, friend_id: UUID
) -> FriendNaming | None:
    return session.exec(
        select(FriendNaming)
        .where(
            FriendNaming.step_id == step.id,
            FriendNaming.period == period,
            FriendNaming.phase == phase,
            FriendNaming.participant_id == participant_id,
            FriendNaming.friend_id == friend_id,
        )
        .execution_options(populate_existing=True)
    ).first()


def steps_of_kind(steps: Sequence[Step], *kinds: StepKind) -> list[Step]:
    return [step for step in steps if step.kind in kinds]


def _naming(session: Session, step: Step, period: str, phase: str, *names: UUID) -> FriendNaming:
    found = find_naming(session, step, period, phase, *names)
    assert found is not None  # noqa: S101  # its UNIQUE refused another
    return found


def _code_typed(session: Session, organisation_id: UUID, typed: str, kind: StepKind, *, now: datetime) -> ActCode:
    digits = "".join(one for one in typed if one.isascii() and one.isdigit())
    found = session.exec(
        select(ActCode)
        .join(Step, col(Step.id) == ActCode.step_id)
        .where(ActCode.organisation_id == organisation_id, ActCode.code == digits, Step.kind == kind.value)
    ).first()
    if found is None or found.expires_at <= now:
        raise NotFound("This code is not known, or is older than ten minutes.", code="unknown_act_code")
    return found


def _held(session: Session, participant_id: UUID) -> Participant:
    """The person, held as an act of theirs holds them; NotFound when they were erased meanwhile."""
    query = select(Participant).where(Participant.id == participant_id).with_for_update(read=True, key_share=True)
    found = session.exec(query).first()
    if found is None or found.is_erased:
        raise NotFound("This code is not known, or is older than ten minutes.", code="unknown_act_code")
    return found


def _use(session: Session, code: ActCode, *, now: datetime) -> None:
    """Spend a code. Conflict when another till was first."""
    unused = update(ActCode).where(
        col(ActCode.id) == code.id, col(ActCode.used_at).is_(None), col(ActCode.expires_at) > now
    )
    if not changed(session, unused.values(used_at=now).execution_options(synchronize_session=False)):
        raise Conflict("This code was used already. Ask for a new one.", code="act_code_used")
