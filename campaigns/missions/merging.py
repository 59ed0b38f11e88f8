"""Two names of one person in a mission: one membership, one completion a step and period, one visit of a place.

Locks come in the order of acts: `hold` takes memberships, friends' too; totals are written last. What one person could
not have done twice is reversed, the later of the two, with the reason `merged`.
"""

from collections.abc import Sequence
from uuid import UUID, uuid4

from sqlalchemy import update
from sqlmodel import Session, col, or_, select

from campaigns import scans
from campaigns.missions import merged_referrals
from campaigns.missions.acts import complete, count, hold_membership, note_completed
from campaigns.missions.models import (
    ActCode,
    Card,
    CompletionState,
    ExternalAct,
    FriendNaming,
    Membership,
    Mission,
    MissionPlace,
    PublicCode,
    Repeat,
    Share,
    StaffRecord,
    Step,
    StepCompletion,
    StepKind,
    Validation,
)
from campaigns.missions.recount import visits_of
from campaigns.missions.reversal import rest_on, reverse_completion, verified_of
from campaigns.missions.tours import check_ins_of, is_toured, tours_of
from campaigns.participants.merging import REASON, Merge
from campaigns.scans import CheckIn
from campaigns.storage import hand_over

_PLAIN = tuple(col(table.participant_id) for table in (ActCode, Validation, ExternalAct, Card, StaffRecord))


def hold(session: Session, merge: Merge) -> None:
    """Hold every membership that a merge touches."""
    mine = select(Membership).where(col(Membership.participant_id).in_(merge.ids))
    keys = {(row.mission_id, row.participant_id, row.phase) for row in session.exec(mine).all()}
    named = select(FriendNaming, Step.mission_id).join(Step, col(Step.id) == FriendNaming.step_id)
    touched = or_(col(FriendNaming.participant_id).in_(merge.ids), col(FriendNaming.friend_id).in_(merge.ids))
    for naming, mission_id in session.exec(named.where(touched)).all():
        keys |= {(mission_id, one, naming.phase) for one in (naming.participant_id, naming.friend_id)}
    keys |= merged_referrals.touching(session, merge.ids)
    for mission_id, person_id, phase in sorted(keys):
        hold_membership(session, mission_id, person_id, phase)
    merge.missions = {(mission_id, phase) for mission_id, person_id, phase in keys if person_id in merge.ids}


def merge(session: Session, merge: Merge) -> None:
    """Give the older name what the newer one did in missions and at their places."""
    older, newer = merge.ids
    visits_before = visits_of(session, merge.ids)
    scans.merge(session, merge)
    _merge_memberships(session, merge)
    _count_visits(session, merge, visits_before)
    _merge_friends(session, merge)
    _merge_shares(session, merge)
    merge.undone["referrals"] += merged_referrals.merge(session, older=older, newer=newer)
    _merge_places(session, merge)
    _merge_codes(session, merge)
    hand_over(session, _PLAIN, newer, older)
    gone = _uncount_steps(session, merge)
    _merge_completions(session, merge)
    merged_referrals.settle(session, older)
    _count_others(session, merge, gone)
    for mission_id, phase in sorted(merge.missions):
        _tour(session, session.get_one(Mission, mission_id), merge, phase)
        note_completed(session, mission_id, older, phase, now=merge.now)


def _merge_memberships(session: Session, merge: Merge) -> None:
    older, newer = merge.ids
    mine = select(Membership).where(col(Membership.participant_id).in_(merge.ids))
    rows = session.exec(mine.execution_options(populate_existing=True)).all()
    first = {(row.mission_id, row.phase): row for row in rows if row.participant_id == older}
    for row in sorted(rows, key=lambda one: (one.mission_id, one.phase)):
        kept = first.get((row.mission_id, row.phase))
        if row.participant_id == older or kept is None:
            continue
        if row.joined_at < kept.joined_at:
            kept.joined_at, kept.rules_version_id = row.joined_at, row.rules_version_id
        done = [at for at in (row.completed_at, kept.completed_at) if at is not None]
        kept.completed_at = min(done, default=None)
        session.add(kept)
        session.delete(row)
        session.flush()
        mission = session.get_one(Mission, row.mission_id)
        count(session, mission, "participants", -1, phase=row.phase)
    hand_over(session, [col(Membership.participant_id)], newer, older)


def _count_visits(session: Session, merge: Merge, visits_before: dict[tuple[UUID, str], int]) -> None:
    after = visits_of(session, merge.ids)
    for mission_id, phase in sorted(after.keys() | visits_before.keys()):
        more = after.get((mission_id, phase), 0) - visits_before.get((mission_id, phase), 0)
        if more:
            mission = session.get_one(Mission, mission_id)
            count(session, mission, "check_ins", more, phase=phase)


def _merge_friends(session: Session, merge: Merge) -> None:
    """Nobody is a friend of their own, and meeting a friend under two names is one meeting."""
    older, newer = merge.ids
    touched = or_(col(FriendNaming.participant_id).in_(merge.ids), col(FriendNaming.friend_id).in_(merge.ids))
    rows = session.exec(select(FriendNaming).where(touched).order_by(col(FriendNaming.id))).all()
    kept: dict[tuple[object, ...], FriendNaming] = {}
    rows = sorted(rows, key=lambda one: (one.check_in_id is None, one.named_at, one.id))
    for row in rows:
        person = older if row.participant_id == newer else row.participant_id
        friend = older if row.friend_id == newer else row.friend_id
        if person == friend:
            _drop(session, merge, row, None)
            continue
        first = kept.setdefault((row.step_id, person, friend, row.period, row.phase), row)
        if first is not row:
            _drop(session, merge, row, first)
    session.flush()
    for column in (col(FriendNaming.participant_id), col(FriendNaming.friend_id)):
        hand_over(session, [column], newer, older)
    session.expire_all()
    for row in kept.values():
        note_friend(session, merge, row)


def note_friend(session: Session, merge: Merge, naming: FriendNaming) -> None:
    """Whether a friend still has all steps done."""
    step = session.get_one(Step, naming.step_id)
    for person_id in {naming.participant_id, naming.friend_id} - set(merge.ids):
        note_completed(session, step.mission_id, person_id, naming.phase, now=merge.now)


def _merge_shares(session: Session, merge: Merge) -> None:
    older, newer = merge.ids
    rows = session.exec(select(Share).where(col(Share.participant_id).in_(merge.ids))).all()
    kept: dict[tuple[object, ...], Share] = {}
    for row in sorted(rows, key=lambda one: (one.shared_at, one.id)):
        first = kept.setdefault((row.mission_id, row.civil_day, row.phase), row)
        if first is not row:
            _drop(session, merge, row, first)
    session.flush()
    hand_over(session, [col(Share.participant_id)], newer, older)


def _drop(session: Session, merge: Merge, row: FriendNaming | Share, kept: FriendNaming | Share | None) -> None:
    """Drop an act that is another one too. What rests on it rests on that one, unless something does already."""
    for completion in _on(session, row.id):
        owner = merge.older.id if completion.participant_id in merge.ids else completion.participant_id
        taken = _on(session, kept.id) if kept is not None else []
        owners = {merge.older.id if one.participant_id in merge.ids else one.participant_id for one in taken}
        mission = session.get_one(Mission, completion.mission_id)
        if kept is None or owner in owners:
            _reverse(session, merge, mission, completion)
        else:
            rest_on(session, mission, completion, kept.id, reason=REASON)
    session.delete(row)


def _on(session: Session, source_id: UUID) -> Sequence[StepCompletion]:
    rests = (StepCompletion.source_id == source_id, StepCompletion.state != CompletionState.REVERSED.value)
    query = select(StepCompletion).where(*rests).order_by(col(StepCompletion.id))
    return session.exec(query.execution_options(populate_existing=True)).all()


def _merge_places(session: Session, merge: Merge) -> None:
    """A place visited under both names: its best visit stays."""
    older, newer = merge.ids
    rows = session.exec(select(MissionPlace).where(col(MissionPlace.participant_id).in_(merge.ids))).all()
    best: dict[tuple[object, ...], MissionPlace] = {}
    for row in sorted(rows, key=lambda one: (-one.presence, one.check_in_id)):
        if best.setdefault((row.mission_id, row.place_id, row.phase), row) is not row:
            session.delete(row)
    session.flush()
    hand_over(session, [col(MissionPlace.participant_id)], newer, older)
    session.expire_all()


def _merge_codes(session: Session, merge: Merge) -> None:
    """One public code a mission is shown, the older name's; a link that the newer one shared still leads to them."""
    older, newer = merge.ids
    has = select(PublicCode.mission_id).where(PublicCode.participant_id == older)
    theirs = (col(PublicCode.participant_id) == newer, col(PublicCode.mission_id).in_(has))
    kept = update(PublicCode).where(*theirs, col(PublicCode.former_at).is_(None)).values(former_at=merge.now)
    session.execute(kept.execution_options(synchronize_session=False))
    hand_over(session, [col(PublicCode.participant_id)], newer, older)


def _merge_completions(session: Session, merge: Merge) -> None:
    """One completion a step and period (I10). What gives way keeps its row, reversed, under a period of its own."""
    query = select(StepCompletion).where(col(StepCompletion.participant_id).in_(merge.ids))
    rows = session.exec(query.execution_options(populate_existing=True)).all()
    shared = {(row.step_id, row.phase) for row in rows if row.participant_id == merge.newer.id}
    groups: dict[tuple[UUID, str], list[StepCompletion]] = {}
    for row in rows:
        if (row.step_id, row.phase) in shared:
            groups.setdefault((row.step_id, row.phase), []).append(row)
    for (step_id, _), group in sorted(groups.items()):
        step = session.get_one(Step, step_id)
        _let_count(session, merge, step, sorted(group, key=_rank))
    session.expire_all()


_ORDER = (CompletionState.VERIFIED, CompletionState.PENDING, CompletionState.REVERSED)


def _rank(row: StepCompletion) -> tuple[object, ...]:
    return _ORDER.index(CompletionState(row.state)), row.completed_at, row.period, row.id


def _let_count(session: Session, merge: Merge, step: Step, group: list[StepCompletion]) -> None:
    """Let the first of each period count; of a step that counts a number of times so many of them all."""
    mission = session.get_one(Mission, step.mission_id)
    numbers = [str(number) for number in range(1, step.times + 1)] if step.repeat.isdigit() else []
    free, periods = list(numbers), {row.id: row.period for row in group}
    for row in group:  # the keys are free before any is taken
        _set_period(session, row, uuid4().hex)
    taken: set[str] = set()
    for row in group:
        is_live = row.state != CompletionState.REVERSED.value
        wanted = periods[row.id]
        if numbers and is_live:
            wanted = free.pop(0) if free else ""
        fits = bool(wanted) and wanted not in taken and (is_live or not numbers)
        if fits:
            taken.add(wanted)
            _set_period(session, row, wanted)
        else:
            _set_period(session, row, f"{periods[row.id]} {REASON} {uuid4().hex[:8]}")
            if is_live:
                _reverse(session, merge, mission, row)
    for row in group:
        row.participant_id = merge.older.id
        session.add(row)
    session.flush()


def _set_period(session: Session, row: StepCompletion, period: str) -> None:
    row.period = period
    session.add(row)
    session.flush()


def _uncount_steps(session: Session, merge: Merge) -> dict[tuple[UUID, str], int]:
    """Take back what a step of so many visits has of visits that count no more; how many of each step and phase."""
    rested = (col(StepCompletion.source_id).in_(merge.uncounted), Step.kind == StepKind.SCAN.value)
    query = select(StepCompletion, Step).join(Step, col(Step.id) == StepCompletion.step_id)
    stands = query.where(*rested, StepCompletion.state != CompletionState.REVERSED.value)
    gone: dict[tuple[UUID, str], int] = {}
    for done, step in session.exec(stands.order_by(col(StepCompletion.id))).all():
        if step.repeat.isdigit():
            _reverse(session, merge, session.get_one(Mission, step.mission_id), done)
            gone[step.id, done.phase] = gone.get((step.id, done.phase), 0) + 1
    return gone


def _count_others(session: Session, merge: Merge, gone: dict[tuple[UUID, str], int]) -> None:
    """Let further visits, which had found the step done, take the place of those."""
    for (step_id, phase), number in sorted(gone.items()):
        step = session.get_one(Step, step_id)
        mission = session.get_one(Mission, step.mission_id)
        resting = select(StepCompletion.source_id).where(
            StepCompletion.step_id == step.id, StepCompletion.state != CompletionState.REVERSED.value
        )
        others = select(CheckIn).where(
            CheckIn.participant_id == merge.older.id,
            CheckIn.campaign_id == mission.campaign_id,
            CheckIn.phase == phase,
            col(CheckIn.counted),
            CheckIn.presence >= step.min_presence,
            col(CheckIn.id).not_in(resting),
        )
        fitting = [act for act in session.exec(others.order_by(col(CheckIn.id))) if step.takes(act.reasons)]
        for act in fitting[:number]:
            _complete(session, mission, step, merge, phase, act)


def _tour(session: Session, mission: Mission, merge: Merge, phase: str) -> None:
    """Places and tours of one person's visits: some may be done only together, some only apart."""
    for step in tours_of(session, mission.id):
        acts = check_ins_of(session, step, merge.older.id, mission.campaign_id, phase)
        if step.kind == StepKind.VISIT_PLACES:
            _refresh_places(session, mission, merge, phase)
        done = verified_of(session, step, merge.older.id, phase)
        if not is_toured(session, step, merge.older.id, phase, acts):
            for one in done:
                _reverse(session, merge, mission, one)
        elif not done and acts:
            _complete(session, mission, step, merge, phase, acts[-1])


def _complete(session: Session, mission: Mission, step: Step, merge: Merge, phase: str, act: CheckIn) -> None:
    complete(
        session,
        mission,
        step,
        merge.older,
        period=Repeat.ONCE,
        presence=act.presence if step.kind == StepKind.SCAN else step.min_presence,
        phase=phase,
        source_id=act.id,
        state=CompletionState.VERIFIED,
        now=merge.now,
    )


def _refresh_places(session: Session, mission: Mission, merge: Merge, phase: str) -> None:
    """Let each place rest on a visit that still counts, or go."""
    steps = [step for step in tours_of(session, mission.id) if step.kind == StepKind.VISIT_PLACES]
    acts = {
        act.id: act
        for step in steps
        for act in check_ins_of(session, step, merge.older.id, mission.campaign_id, phase)
        if not step.places or act.place_id in step.places
    }
    mine = (MissionPlace.mission_id == mission.id, MissionPlace.participant_id == merge.older.id)
    for row in session.exec(select(MissionPlace).where(*mine, MissionPlace.phase == phase)).all():
        others = [act for act in acts.values() if act.place_id == row.place_id]
        if row.check_in_id in acts:
            continue
        if not others:
            session.delete(row)
            continue
        best = max(others, key=lambda act: act.presence)
        row.check_in_id, row.presence = best.id, best.presence
        session.add(row)
    session.flush()


def _reverse(session: Session, merge: Merge, mission: Mission, completion: StepCompletion) -> None:
    merge.undone["steps"] += 1
    reverse_completion(session, mission, completion, REASON)
