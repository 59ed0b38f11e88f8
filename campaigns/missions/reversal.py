"""Reversing what rested on a voided check-in: completions, places, meetings and totals of its mission, once (I19).

Memberships are held before any counter is touched, in one order, as acts do. What another act of the same person
supports as well stays, and rests on that one from then on.
"""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import clock
from campaigns.events import record_event
from campaigns.ids import instant_of
from campaigns.missions import referrals
from campaigns.missions.acts import count, hold_membership, note_undone, period_of
from campaigns.missions.codes import find_naming, together_at
from campaigns.missions.models import (
    ON_CHECK_IN,
    CompletionState,
    FriendNaming,
    Membership,
    Mission,
    MissionPlace,
    Referral,
    ReferralState,
    StaffAct,
    StaffRecord,
    Step,
    StepCompletion,
    StepKind,
)
from campaigns.missions.service import mission_of, steps_of
from campaigns.missions.tours import COUNTING, check_ins_of, is_toured, tours_of
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn, Effect, Voided
from campaigns.storage import changed


def least_presence(session: Session, campaign_id: UUID) -> int:
    """The least presence that makes a check-in a visit of a campaign: that of its mission's steps."""
    mission = mission_of(session, campaign_id)
    steps = steps_of(session, mission.id) if mission else []
    return min((step.min_presence for step in steps if step.kind in ON_CHECK_IN), default=0)


def reverse(session: Session, voided: Voided, now: datetime) -> list[Effect]:
    """Undo what rested on a voided check-in in its mission, in the transaction that voids it; what was undone."""
    act = voided.check_in
    mission = mission_of(session, act.campaign_id) if act else None
    if act is None or mission is None:
        return []
    meetings, brought = _hold(session, mission, act)
    _uncount_visit(session, mission, voided)
    effects = _scan_steps(session, mission, act, voided.reason)
    effects += _tours(session, mission, act, voided.reason)
    people = {act.participant_id}
    for naming in meetings:
        effects += _meeting(session, mission, naming, voided.reason)
        people.add(naming.friend_id)
    for referral in brought:
        effects += _referral(session, referral, voided.reason)
    for person_id in sorted(people):
        if note_undone(session, mission.id, person_id, act.phase):
            effects.append(Effect("mission", mission.id))
    return effects


def reverse_recorded(session: Session, mission: Mission, record: StaffRecord, *, reason: str) -> list[Effect]:
    """Undo the step that a record of the staff completed; an idea's words stay, and are for moderators."""
    hold_membership(session, mission.id, record.participant_id, record.phase)
    what = StepCompletion.step_id if record.act == StaffAct.STEP else StepCompletion.source_id
    rows = session.exec(
        select(StepCompletion).where(
            StepCompletion.mission_id == mission.id,
            StepCompletion.participant_id == record.participant_id,
            StepCompletion.phase == record.phase,
            StepCompletion.completed_at == record.recorded_at,
            StepCompletion.state != CompletionState.REVERSED,
            what == record.subject_id,
        )
    ).all()
    effects = [reverse_completion(session, mission, one, reason) for one in rows]
    if effects and note_undone(session, mission.id, record.participant_id, record.phase):
        effects.append(Effect("mission", mission.id))
    return effects


def hold_people(session: Session, voided: Voided) -> None:
    """Hold the memberships that voiding a scan touches, for a capability whose turn comes before."""
    mission = mission_of(session, voided.check_in.campaign_id) if voided.check_in else None
    if voided.check_in is not None and mission is not None:
        _hold(session, mission, voided.check_in)


def verified_of(session: Session, step: Step, participant_id: UUID, phase: str) -> Sequence[StepCompletion]:
    """A person's verified completions of a step, oldest first."""
    mine = (StepCompletion.step_id == step.id, StepCompletion.participant_id == participant_id)
    query = select(StepCompletion).where(*mine, StepCompletion.phase == phase)
    verified = query.where(StepCompletion.state == CompletionState.VERIFIED.value)
    order = verified.order_by(col(StepCompletion.completed_at), col(StepCompletion.period))
    return session.exec(order.execution_options(populate_existing=True)).all()


def rest_on(
    session: Session, mission: Mission, completion: StepCompletion, source_id: UUID | None, *, reason: str
) -> Effect:
    """Let a completion rest on another act of its person, or, without one, reverse it."""
    if source_id is None:
        return reverse_completion(session, mission, completion, reason)
    completion.source_id = source_id
    session.add(completion)
    session.flush()
    return Effect("completion", completion.id, "kept")


def _hold(session: Session, mission: Mission, act: CheckIn) -> tuple[list[FriendNaming], list[Referral]]:
    """Hold the memberships of everybody it touches, in one order; meetings and referrals it bore, as they stand then.

    A referral is of any mission of the campaign: each membership there is held as well.
    """
    mine = select(FriendNaming).where(FriendNaming.check_in_id == act.id)
    held = {(mission.id, id) for id in (act.participant_id, *(one.friend_id for one in session.exec(mine)))}
    held |= {(one.mission_id, one.referrer_id) for one in referrals.resting_on(session, act.id)}
    for mission_id, person_id in sorted(held):
        hold_membership(session, mission_id, person_id, act.phase)
    meetings = session.exec(mine.execution_options(populate_existing=True)).all()
    return list(meetings), referrals.resting_on(session, act.id)


def _uncount_visit(session: Session, mission: Mission, voided: Voided) -> None:
    act, other = voided.check_in, voided.stand_in
    assert act is not None  # noqa: S101  # `reverse` asked
    joined = session.exec(
        select(Membership.joined_at).where(
            Membership.mission_id == mission.id,
            Membership.participant_id == act.participant_id,
            Membership.phase == act.phase,
        )
    ).first()
    if joined is None or not voided.was_counted:
        return
    before = act.checked_in_at >= joined
    after = other is not None and other.checked_in_at >= joined
    if before != after:
        count(session, mission, "check_ins", int(after) - int(before), phase=act.phase)


def _scan_steps(session: Session, mission: Mission, act: CheckIn, reason: str) -> list[Effect]:
    """Completions of steps that one scan does: another check-in of the period takes them over, or they go."""
    rows = session.exec(
        select(StepCompletion, Step)
        .join(Step, col(Step.id) == StepCompletion.step_id)
        .where(
            StepCompletion.source_id == act.id,
            Step.kind == StepKind.SCAN.value,
            StepCompletion.state != CompletionState.REVERSED,
        )
        .order_by(col(StepCompletion.id))
    ).all()
    effects = []
    for completion, step in rows:
        other = _support(session, mission, step, completion)
        if other is None or completion.state != CompletionState.VERIFIED:
            effects.append(reverse_completion(session, mission, completion, reason))
            continue
        completion.source_id, completion.presence = other.id, other.presence
        session.add(completion)
        session.flush()
        effects.append(Effect("completion", completion.id, "kept"))
    return effects


def _support(session: Session, mission: Mission, step: Step, completion: StepCompletion) -> CheckIn | None:
    """Another check-in of the person that is worth this completion, and no other of the step."""
    campaign = session.get_one(Campaign, mission.campaign_id)
    taken = select(StepCompletion.source_id).where(
        StepCompletion.step_id == step.id, StepCompletion.state != CompletionState.REVERSED
    )
    rows = session.exec(
        select(CheckIn, Place.time_zone)
        .outerjoin(Place, col(Place.id) == CheckIn.place_id)
        .where(
            CheckIn.participant_id == completion.participant_id,
            CheckIn.campaign_id == mission.campaign_id,
            CheckIn.phase == completion.phase,
            col(CheckIn.verdict).in_(COUNTING),
            CheckIn.presence >= step.min_presence,
            col(CheckIn.id).not_in(taken),
        )
        .order_by(col(CheckIn.id))
    ).all()
    for act, zone in rows:
        if not step.takes(act.reasons):
            continue
        if step.repeat.isdigit():
            if act.counted or act.phase == "draft":
                return act
        elif period_of(step.repeat, instant_of(act.scan_id), zone or campaign.time_zone) == completion.period:
            return act
    return None


def _tours(session: Session, mission: Mission, act: CheckIn, reason: str) -> list[Effect]:
    """Places it was the best visit of, and tours that are not done any more."""
    steps = tours_of(session, mission.id)
    if not steps:
        return []
    _move_places(session, mission, act)
    effects = []
    for step in steps:
        acts = check_ins_of(session, step, act.participant_id, mission.campaign_id, act.phase)
        completion = session.exec(
            select(StepCompletion).where(
                StepCompletion.step_id == step.id,
                StepCompletion.participant_id == act.participant_id,
                StepCompletion.phase == act.phase,
                StepCompletion.state == CompletionState.VERIFIED,
            )
        ).first()
        if completion is None:
            continue
        if not is_toured(session, step, act.participant_id, act.phase, acts):
            effects.append(reverse_completion(session, mission, completion, reason))
        elif completion.source_id == act.id:
            completion.source_id = acts[-1].id
            session.add(completion)
            session.flush()
            effects.append(Effect("completion", completion.id, "kept"))
    return effects


def _move_places(session: Session, mission: Mission, act: CheckIn) -> None:
    """Give a place to the best other visit of it, or take it away."""
    mine = (
        col(MissionPlace.mission_id) == mission.id,
        col(MissionPlace.participant_id) == act.participant_id,
        col(MissionPlace.place_id) == act.place_id,
        col(MissionPlace.phase) == act.phase,
        col(MissionPlace.check_in_id) == act.id,
    )
    steps = [step for step in tours_of(session, mission.id) if step.kind == StepKind.VISIT_PLACES]
    others: list[CheckIn] = []
    for step in steps:
        if step.places and act.place_id not in step.places:
            continue
        acts = check_ins_of(session, step, act.participant_id, mission.campaign_id, act.phase)
        others += [one for one in acts if one.place_id == act.place_id]
    if not others:
        session.execute(delete(MissionPlace).where(*mine).execution_options(synchronize_session=False))
        return
    best = max(others, key=lambda one: one.presence)
    values = {"check_in_id": best.id, "presence": best.presence}
    session.execute(update(MissionPlace).where(*mine).values(**values).execution_options(synchronize_session=False))


def _meeting(session: Session, mission: Mission, naming: FriendNaming, reason: str) -> list[Effect]:
    """Two friends' meeting: two other receipts of theirs belong together as well, or it goes for both."""
    step = session.get_one(Step, naming.step_id)
    back = find_naming(session, step, naming.period, naming.phase, naming.friend_id, naming.participant_id)
    both = [one for one in (naming, back) if one is not None]
    together = together_at(session, mission, step, naming.participant_id, naming.friend_id, phase=naming.phase)
    done = _rest_on(session, [one.id for one in both])
    if together is not None and len(both) == 2:
        for one, act in zip(both, together, strict=True):
            one.check_in_id = act.id
            session.add(one)
        session.flush()
        return [Effect("completion", one.id, "kept") for one in done]
    effects = [reverse_completion(session, mission, one, reason) for one in done]
    for one in both:
        session.delete(one)
    session.flush()
    return effects


def _referral(session: Session, referral: Referral, reason: str) -> list[Effect]:
    """A referral that rested on it: another act of the newcomer keeps it, or it is only claimed again."""
    mission, step = session.get_one(Mission, referral.mission_id), session.get_one(Step, referral.step_id)
    other = referrals.on_site(session, mission, step, referral)
    if other is not None:
        referral.act_id = other.id
        session.add(referral)
        session.flush()
        return [Effect("referral", referral.id, "kept")]
    return unqualify(session, referral, reason)


def unqualify(session: Session, referral: Referral, reason: str) -> list[Effect]:
    """Let a referral be only claimed again; nothing for one that is. The memberships it touches are held.

    The step it did goes to another newcomer of the same referrer, where one did no step so far, or it goes.
    """
    if referral.act_id is None:
        return []
    mission, step = session.get_one(Mission, referral.mission_id), session.get_one(Step, referral.step_id)
    referral.state, referral.act_id, referral.qualified_at = ReferralState.CLAIMED.value, None, None
    session.add(referral)
    session.flush()
    count(session, mission, "referrals", phase=referral.phase, number=-1)
    effects = [Effect("referral", referral.id)]
    zone = session.get_one(Campaign, mission.campaign_id).time_zone
    for completion in _rest_on(session, [referral.id]):
        spare = referrals.spare(session, referral, completion, step, zone)
        if spare is None:
            effects.append(reverse_completion(session, mission, completion, reason))
            continue
        completion.source_id, spare.state = spare.id, ReferralState.REWARDED.value
        session.add_all([completion, spare])
        session.flush()
        effects.append(Effect("completion", completion.id, "kept"))
    if note_undone(session, mission.id, referral.referrer_id, referral.phase):
        effects.append(Effect("mission", mission.id))
    return effects


def _rest_on(session: Session, source_ids: Sequence[UUID]) -> Sequence[StepCompletion]:
    return session.exec(
        select(StepCompletion)
        .where(col(StepCompletion.source_id).in_(source_ids), StepCompletion.state == CompletionState.VERIFIED.value)
        .order_by(col(StepCompletion.id))
    ).all()


def reverse_completion(session: Session, mission: Mission, completion: StepCompletion, reason: str) -> Effect:
    """Turn a completion; the counter moves with it, and only when it was verified."""
    stood = completion.state
    turned = (
        update(StepCompletion)
        .where(col(StepCompletion.id) == completion.id, col(StepCompletion.state) == stood)
        .values(state=CompletionState.REVERSED.value, reason=reason)
        .execution_options(synchronize_session=False)
    )
    if changed(session, turned) and stood == CompletionState.VERIFIED:
        count(session, mission, "completions", -1, phase=completion.phase)
        record_event(session, "step.reversed", now=clock.utc_now(), completion_id=completion.id)
    session.refresh(completion)
    return Effect("completion", completion.id)
