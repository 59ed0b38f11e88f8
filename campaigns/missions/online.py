"""Acts on the phone or elsewhere: sharing a mission, and what another system tells of."""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlmodel import Session, col, select

from campaigns import audit, ids
from campaigns.clock import civil_day
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.missions.acts import StepOutcome, complete, period_of, require_open, take_part
from campaigns.missions.models import CompletionState, ExternalAct, Mission, PublicCode, Share, Step, StepKind
from campaigns.missions.service import standing, steps_of
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import insert_once

_ALPHABET = "23456789ABCDEFGHJKMNPQRSTVWXYZ"  # none that is read as another
_LENGTH = 10  # 49 bits: nobody guesses one, and who has one can only name its person
TOO_YOUNG = "Who is under 15 may check in, but not act online. If this is a mistake, ask us to mend it."


@dataclass(frozen=True)
class Shared:
    """A person's link of a mission, by its code, and what sharing it did today."""

    code: str
    outcome: StepOutcome


def public_code(session: Session, mission: Mission, person: Participant, *, now: datetime) -> str:
    """A person's public code in a mission; made at the first call."""
    drawn = "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))
    mine = {"mission_id": mission.id, "participant_id": person.id}
    insert_once(session, PublicCode, **mine, code=drawn, issued_at=now)
    return find_public_code(session, mission, person) or drawn


def find_public_code(session: Session, mission: Mission, person: Participant) -> str | None:
    mine = select(PublicCode.code).where(PublicCode.mission_id == mission.id, PublicCode.participant_id == person.id)
    return session.exec(mine.where(col(PublicCode.former_at).is_(None))).first()


def share(session: Session, mission: Mission, campaign: Campaign, person: Participant, *, now: datetime) -> Shared:
    """Share a mission by a link of one's own: counted once a civil day. Forbidden under 15 or below its presence."""
    phase = require_open(campaign, now=now)
    step = require_step(session, mission, StepKind.SHARE)
    presence = require_presence(session, mission, step, person, phase=phase)
    take_part(session, mission, person, phase=phase, now=now)
    code = public_code(session, mission, person, now=now)
    id = ids.uuid7_at(now)
    day = civil_day(now, campaign.time_zone).isoformat()
    of_today = {"mission_id": mission.id, "participant_id": person.id, "civil_day": day, "phase": phase}
    if not insert_once(session, Share, id=id, **of_today, shared_at=now):
        return Shared(code, StepOutcome(step, "already"))
    outcome = complete(
        session,
        mission,
        step,
        person,
        period=period_of(step.repeat, now, campaign.time_zone),
        presence=presence,
        phase=phase,
        source_id=id,
        state=CompletionState.VERIFIED,
        now=now,
    )
    return Shared(code, outcome)


def tell(session: Session, mission: Mission, campaign: Campaign, *, code: str, external_id: str, now: datetime) -> str:
    """Take an act that another system tells of, once by its id; what it did. A repeat gets the first answer.

    NotFound for a code of nobody, Conflict (`no_such_step`) without an external step, Forbidden under 15.
    """
    first = _told(session, mission, external_id)
    if first is not None:
        return first
    phase = require_open(campaign, now=now)
    step = require_step(session, mission, StepKind.EXTERNAL)
    person = _coded(session, mission, code)
    presence = require_presence(session, mission, step, person, phase=phase)
    take_part(session, mission, person, phase=phase, now=now)
    id = ids.uuid7_at(now)
    done = complete(
        session,
        mission,
        step,
        person,
        period=period_of(step.repeat, now, campaign.time_zone),
        presence=presence,
        phase=phase,
        source_id=id,
        state=CompletionState.VERIFIED,
        now=now,
    )
    is_new = insert_once(
        session,
        ExternalAct,
        id=id,
        mission_id=mission.id,
        external_id=external_id,
        participant_id=person.id,
        step_id=step.id,
        outcome=done.outcome,
        phase=phase,
        acted_at=now,
    )
    if not is_new:
        raise Conflict("This act was told of a moment ago.", code="already_told")
    audit.note(session, "external_act.created", id, organisation_id=mission.organisation_id, now=now)
    return done.outcome


def require_step(session: Session, mission: Mission, kind: StepKind) -> Step:
    """The mission's first step of a kind; Conflict when it has none."""
    found = next((step for step in steps_of(session, mission.id) if step.kind == kind), None)
    if found is None:
        raise Conflict("This mission does not ask for this act.", code="no_such_step")
    return found


def require_presence(session: Session, mission: Mission, step: Step, person: Participant, *, phase: str) -> int:
    """A person's best presence in a mission. Forbidden under 15, and below what an online step asks for."""
    if person.is_under_15:
        raise Forbidden(TOO_YOUNG, code="under_age")
    best = standing(session, mission, person, phase=phase).presence
    if step.min_presence > (best or 0):
        raise Forbidden(
            "This step is for people who showed that they were in the shop. Scan a code there and check in first.",
            code="presence_missing",
        )
    return best or 0


def _told(session: Session, mission: Mission, external_id: str) -> str | None:
    mine = select(ExternalAct.outcome).where(ExternalAct.mission_id == mission.id)
    return session.exec(mine.where(ExternalAct.external_id == external_id)).first()


def _coded(session: Session, mission: Mission, code: str) -> Participant:
    query = (
        select(Participant)
        .join(PublicCode, col(PublicCode.participant_id) == Participant.id)
        .where(PublicCode.mission_id == mission.id, PublicCode.code == code.strip().upper())
        .with_for_update(read=True, key_share=True, of=Participant)
    )
    found = session.exec(query).first()
    if found is None:
        raise NotFound("Nobody in this mission has this code.")
    return found
