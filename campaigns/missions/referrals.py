"""Word of mouth: who brought whom to a mission, and when that counts.

A referral is claimed with the first act of a person who came by another's link, and qualifies by an act of theirs at a
place, with the presence that the step asks for (1 at least: a code alone can be read anywhere). Then it does the
referrer's step. One referrer a person, never oneself, never two who bring one another (I18).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Text, cast, func, literal, or_, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import clock, ids, scans
from campaigns.errors import Forbidden
from campaigns.events import record_event
from campaigns.missions import tours
from campaigns.missions.acts import complete, count, hold_membership, period_of, require_open, take_part
from campaigns.missions.models import (
    CompletionState,
    Membership,
    Mission,
    PublicCode,
    Referral,
    ReferralState,
    Step,
    StepCompletion,
    StepKind,
    Validation,
)
from campaigns.missions.online import TOO_YOUNG, public_code, require_step
from campaigns.missions.service import counters, steps_of
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import CheckIn, Verdict
from campaigns.scans.models import Scan
from campaigns.storage import changed, insert_once

K_FORMULA = "k_factor/1"  # verified new people brought / people
LEAST_SHOWN = 5  # people: no figure of a smaller group is shown to the organisation
SAME_PHONE = "same_phone"
_COUNTED = (ReferralState.QUALIFIED, ReferralState.REWARDED)
_WITNESSED = 3
# What an act may rest on here; a further scan within the hour is no doubt that somebody was there.
_SURE = (Verdict.VALID, Verdict.TEST, Verdict.DUPLICATE)


class Phone(NamedTuple):
    """A phone on a UTC day, by a keyed hash under the salt of that day: one of another day cannot be compared."""

    day: int
    key: int


@dataclass(frozen=True)
class Link:
    """The link that a person came by: its code, and the phone they came with. `objected`: they want no link kept."""

    code: str
    phone: Phone
    objected: bool = False


@dataclass(frozen=True)
class OnSite:
    """An act at a place: a check-in, or a validation by the shop."""

    id: UUID
    presence: int
    scan_id: UUID | None = None


@dataclass(frozen=True)
class WordOfMouth:
    """How a mission spreads: its people, the new ones who were brought and came to a place, and referrals by state."""

    people: int
    brought: int
    states: dict[str, int]
    formula: str = K_FORMULA

    @property
    def k_factor(self) -> float | None:
        """Verified new people brought a person; None below five people."""
        return round(self.brought / self.people, 4) if self.people >= LEAST_SHOWN else None


def note_phone(session: Session, mission: Mission, person: Participant, phone: Phone) -> None:
    """Note with which phone a person asked for their link, for whoever comes by it."""
    mine = (col(PublicCode.mission_id) == mission.id, col(PublicCode.participant_id) == person.id)
    session.execute(update(PublicCode).where(*mine).values(phone_day=phone.day, phone_key=phone.key))


def invite(
    session: Session, mission: Mission, campaign: Campaign, person: Participant, phone: Phone, *, now: datetime
) -> str:
    """The code of a person's link, made at the first call. Forbidden under 15, Conflict without a referral step."""
    phase = require_open(campaign, now=now)
    require_step(session, mission, StepKind.REFERRAL)
    if person.is_under_15:
        raise Forbidden(TOO_YOUNG, code="under_age")
    take_part(session, mission, person, phase=phase, now=now)
    code = public_code(session, mission, person, now=now)
    note_phone(session, mission, person, phone)
    return code


def find_inviter(session: Session, mission: Mission, code: str) -> UUID | None:
    """Whose link it is; None for nobody's, and in a mission that asks for no referrals."""
    if not any(step.kind == StepKind.REFERRAL for step in steps_of(session, mission.id)):
        return None
    found = _code(session, mission, code)
    return found.participant_id if found else None


def claim(
    session: Session, mission: Mission, campaign: Campaign, person: Participant, link: Link | None, *, now: datetime
) -> Referral | None:
    """Note by whose link a newcomer came, with their first act in the mission, before it; None where nobody is to note.

    That is so for who takes part already, who is under 15 or objects, a code of nobody or of their own, and who has a
    referrer: nothing of it refuses the act. Blocked from the start on the phone that the referrer used that day.
    """
    if link is None or link.objected or person.campaign_id is not None or person.is_under_15:
        return None
    step = next((one for one in steps_of(session, mission.id) if one.kind == StepKind.REFERRAL), None)
    phase = require_open(campaign, now=now)
    if step is None or session.get(Membership, (mission.id, person.id, phase)) is not None:
        return None
    found = _code(session, mission, link.code)
    if found is None or found.participant_id == person.id or not _hold(session, [found.participant_id]):
        return None
    is_same = found.phone_day == link.phone.day and found.phone_key == link.phone.key
    values: dict[str, Any] = {
        "id": ids.uuid7_at(now),
        "mission_id": mission.id,
        "step_id": step.id,
        "referrer_id": found.participant_id,
        "newcomer_id": person.id,
        "pair": pair_of(found.participant_id, person.id),
        "phase": phase,
        "state": (ReferralState.BLOCKED if is_same else ReferralState.CLAIMED).value,
        "reason": SAME_PHONE if is_same else None,
        "claimed_at": now,
        "qualified_at": None,
        "act_id": None,
    }
    if not insert_once(session, Referral, **values):
        return None
    record_event(session, "referral.claimed", now=now, referral_id=values["id"])
    return Referral(**values)


def pair_of(one: UUID, other: UUID) -> str:
    """Two people, the same in either order."""
    return "".join(sorted((one.hex, other.hex)))


def due(session: Session, act_ids: Sequence[UUID]) -> list[UUID]:
    """The claimed referrals that these check-ins or validations may qualify, in one order. Reads only."""
    people: set[UUID] = set()
    for table in (CheckIn, Validation) if act_ids else ():
        people |= set(session.execute(columns(col(table.participant_id)).where(col(table.id).in_(act_ids))).scalars())
    if not people:
        return []
    theirs = (Referral.state == ReferralState.CLAIMED.value, col(Referral.newcomer_id).in_(people))
    return list(session.exec(select(Referral.id).where(*theirs).order_by(col(Referral.id))).all())


def qualify(session: Session, referral_id: UUID, *, now: datetime) -> None:
    """Qualify a claimed referral by the newcomer's first act at a place, if there is one, and do the referrer's step.

    Once, whoever comes again. Blocked when the act was made with a phone the referrer checked in with that day.
    """
    referral = session.get_one(Referral, referral_id)
    people = _hold(session, [referral.referrer_id, referral.newcomer_id])
    session.refresh(referral)  # an erasure may have come before
    mission, step = session.get_one(Mission, referral.mission_id), session.get_one(Step, referral.step_id)
    for id in sorted((referral.referrer_id, referral.newcomer_id)):
        hold_membership(session, mission.id, id, referral.phase)
    act = on_site(session, mission, step, referral)
    if act is None:
        return
    if _is_same_phone(session, referral, act):
        _turn(session, referral, ReferralState.CLAIMED, state=ReferralState.BLOCKED.value, reason=SAME_PHONE)
        return
    qualified = {"state": ReferralState.QUALIFIED.value, "act_id": act.id, "qualified_at": now}
    if not _turn(session, referral, ReferralState.CLAIMED, **qualified):
        return
    count(session, mission, "referrals", phase=referral.phase)
    record_event(session, "referral.qualified", now=now, referral_id=referral.id)
    referrer = people.get(referral.referrer_id)
    if referrer is not None:
        _reward(session, mission, step, referrer, referral, act, now=now)


def on_site(session: Session, mission: Mission, step: Step, referral: Referral) -> OnSite | None:
    """The newcomer's first act at a place since they came by the link, with the presence that the step asks for."""
    least = max(1, step.min_presence)
    acts = session.exec(
        select(CheckIn)
        .where(
            CheckIn.participant_id == referral.newcomer_id,
            CheckIn.campaign_id == mission.campaign_id,
            CheckIn.phase == referral.phase,
            CheckIn.checked_in_at >= referral.claimed_at,
            CheckIn.presence >= least,
            col(CheckIn.place_id).is_not(None),
            col(CheckIn.voided_at).is_(None),
        )
        .order_by(col(CheckIn.id))
    ).all()
    standing = scans.standing_judgements(session, [act.scan_id for act in acts])
    for act in acts:
        judged = standing.get(act.scan_id)
        verdict = judged.verdict if judged else act.verdict
        is_strong = verdict == Verdict.PROVISIONAL and act.presence >= scans.STRONG
        if act.verdict in tours.COUNTING and (verdict in _SURE or is_strong):
            return OnSite(act.id, act.presence, act.scan_id)
    witnessed = session.exec(
        select(Validation.id)
        .join(Step, col(Step.id) == Validation.step_id)
        .where(
            Validation.participant_id == referral.newcomer_id,
            Step.mission_id == mission.id,
            Validation.phase == referral.phase,
            Validation.validated_at >= referral.claimed_at,
        )
        .order_by(col(Validation.id))
    ).first()
    return OnSite(witnessed, _WITNESSED) if witnessed is not None else None


def spare(session: Session, referral: Referral, completion: StepCompletion, step: Step, zone: str) -> Referral | None:
    """Another referral of the referrer that did no step so far, and fits the period of this completion."""
    rows = session.exec(
        select(Referral)
        .where(
            Referral.referrer_id == referral.referrer_id,
            Referral.step_id == step.id,
            Referral.phase == referral.phase,
            Referral.state == ReferralState.QUALIFIED.value,
            Referral.id != referral.id,
        )
        .order_by(col(Referral.id))
    ).all()
    for one in rows:
        assert one.qualified_at is not None  # noqa: S101  # its CHECK
        if step.repeat.isdigit() or period_of(step.repeat, one.qualified_at, zone) == completion.period:
            return one
    return None


def resting_on(session: Session, act_id: UUID) -> list[Referral]:
    """The referrals that an act at a place qualified, as they stand."""
    found = select(Referral).where(Referral.act_id == act_id).order_by(col(Referral.id))
    return list(session.exec(found.execution_options(populate_existing=True)).all())


def came_by(session: Session, mission: Mission, participant_id: UUID, *, phase: str) -> dict[str, int]:
    """How many came by a person's link, by the state of their referral; states of nobody are zero."""
    return _states(session, mission.id, phase, col(Referral.referrer_id) == participant_id)


def blocked_by(session: Session, mission_id: UUID, *, phase: str) -> dict[str, int]:
    """How many referrals of a mission are blocked, by reason."""
    by = col(Referral.reason)
    query = columns(by, func.count()).where(*_of(mission_id, phase), by.is_not(None)).group_by(by)
    return {str(reason): number for reason, number in session.execute(query)}


def word_of_mouth(session: Session, mission_id: UUID, *, phase: str = "live") -> WordOfMouth:
    """How a mission spreads, from its counters and its referrals."""
    totals = counters(session, mission_id, phase=phase)
    states = _states(session, mission_id, phase)
    return WordOfMouth(totals.get("participants", 0), totals.get("referrals", 0), states)


def recount(session: Session) -> dict[tuple[UUID, str, str], int]:
    """The referrals that count, by mission and phase, under the name of their counter."""
    by = (col(Referral.mission_id), col(Referral.phase))
    query = columns(*by, func.count()).where(col(Referral.state).in_(_COUNTED)).group_by(*by)
    return {(mission_id, phase, "referrals"): number for mission_id, phase, number in session.execute(query)}


def forget(session: Session, participant_id: UUID) -> None:
    """Take a person out of what tells two people by their ids; who brought whom is handed over with the rest."""
    theirs = or_(col(Referral.referrer_id) == participant_id, col(Referral.newcomer_id) == participant_id)
    gone = update(Referral).where(theirs).values(pair=literal("erased-") + cast(col(Referral.id), Text))
    session.execute(gone.execution_options(synchronize_session=False))


def _reward(
    session: Session,
    mission: Mission,
    step: Step,
    referrer: Participant,
    referral: Referral,
    act: OnSite,
    *,
    now: datetime,
) -> None:
    zone = session.get_one(Campaign, mission.campaign_id).time_zone
    done = complete(
        session,
        mission,
        step,
        referrer,
        period=period_of(step.repeat, now, zone),
        presence=act.presence,
        phase=referral.phase,
        source_id=referral.id,
        state=CompletionState.VERIFIED,
        now=now,
    )
    if done.outcome == CompletionState.VERIFIED:
        _turn(session, referral, ReferralState.QUALIFIED, state=ReferralState.REWARDED.value)


def _turn(session: Session, referral: Referral, stood: ReferralState, **values: Any) -> bool:
    """Change a referral that is in a state; whether it was."""
    mine = update(Referral).where(col(Referral.id) == referral.id, col(Referral.state) == stood.value)
    return changed(session, mine.values(**values).execution_options(synchronize_session=False)) > 0


def _code(session: Session, mission: Mission, code: str) -> PublicCode | None:
    named = select(PublicCode).where(PublicCode.mission_id == mission.id, PublicCode.code == code.strip().upper())
    return session.exec(named).first()


def _hold(session: Session, participant_ids: Sequence[UUID]) -> dict[UUID, Participant]:
    """People, held as an act of theirs holds them, in one order; without those who were erased."""
    query = select(Participant).where(col(Participant.id).in_(participant_ids)).order_by(col(Participant.id))
    rows = session.exec(query.with_for_update(read=True, key_share=True)).all()
    return {one.id: one for one in rows if not one.is_erased}


def _is_same_phone(session: Session, referral: Referral, act: OnSite) -> bool:
    """Whether the referrer checked in on the same UTC day with the phone of this act. Other days cannot be compared."""
    scan = session.get(Scan, act.scan_id) if act.scan_id is not None else None
    if scan is None:
        return False
    start = clock.EPOCH + timedelta(days=clock.day_of(ids.instant_of(scan.id)))
    theirs = (
        select(CheckIn.id)
        .join(Scan, col(Scan.id) == CheckIn.scan_id)
        .where(
            CheckIn.participant_id == referral.referrer_id,
            CheckIn.scan_id >= ids.first_of(start),
            CheckIn.scan_id < ids.first_of(start + timedelta(days=1)),
            Scan.visitor_key == scan.visitor_key,
        )
    )
    return session.exec(theirs.limit(1)).first() is not None


def _states(session: Session, mission_id: UUID, phase: str, *further: Any) -> dict[str, int]:
    query = columns(col(Referral.state), func.count()).where(*_of(mission_id, phase), *further)
    found: dict[str, int] = dict(session.execute(query.group_by(col(Referral.state))).all())
    return {state.value: found.get(state.value, 0) for state in ReferralState}


def _of(mission_id: UUID, phase: str) -> tuple[Any, ...]:
    return col(Referral.mission_id) == mission_id, col(Referral.phase) == phase
