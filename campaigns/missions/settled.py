"""Which completions are beyond doubt: nothing is paid or given for an act before the judge has seen it."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import scans
from campaigns.missions.models import CompletionState, FriendNaming, StepCompletion
from campaigns.missions.tours import COUNTING
from campaigns.planning import Phase
from campaigns.scans import CheckIn, Verdict
from campaigns.scans.models import ScanConfirmation, ScanJudgement

# A further scan within the hour is no doubt that somebody was there.
_SURE = (Verdict.VALID, Verdict.DUPLICATE)


def settled(session: Session, completions: Sequence[StepCompletion]) -> list[StepCompletion]:
    """Those of them that are verified, of the pilot or live, and rest on no scan that waits for the judge or failed it.

    What rests on no scan (an idea, a validation, a redemption, what the staff recorded) is beyond doubt as it is.
    """
    real = [
        one for one in completions if one.state == CompletionState.VERIFIED.value and one.phase != Phase.DRAFT.value
    ]
    sources = {one.source_id for one in real}
    namings = session.exec(select(FriendNaming).where(col(FriendNaming.id).in_(sources))).all()
    meetings = {one.id: one.check_in_id for one in namings}
    acts = _acts(session, sources | {id for id in meetings.values() if id is not None})
    good = beyond_doubt(session, list(acts.values()))
    return [
        one for one in real if (act_id := meetings.get(one.source_id) or one.source_id) not in acts or act_id in good
    ]


def resting_on_scans(session: Session, scan_ids: Sequence[UUID]) -> list[StepCompletion]:
    """The completions that rest on the check-ins of these scans, friends' meetings too, oldest first."""
    acts = session.exec(select(CheckIn.id).where(col(CheckIn.scan_id).in_(scan_ids))).all()
    if not acts:
        return []
    met = session.exec(select(FriendNaming.id).where(col(FriendNaming.check_in_id).in_(acts))).all()
    rests = select(StepCompletion).where(col(StepCompletion.source_id).in_([*acts, *met]))
    return list(session.exec(rests.order_by(col(StepCompletion.completed_at), col(StepCompletion.id))).all())


def _acts(session: Session, ids: set[UUID]) -> dict[UUID, CheckIn]:
    return {one.id: one for one in session.exec(select(CheckIn).where(col(CheckIn.id).in_(ids)))}


def beyond_doubt(session: Session, acts: Sequence[CheckIn]) -> set[UUID]:
    """The check-ins that the staff recorded, or whose scan the judge has seen and found valid."""
    scan_ids = [one.scan_id for one in acts]
    seen = select(ScanConfirmation.scan_id).where(
        col(ScanConfirmation.scan_id).in_(scan_ids), col(ScanConfirmation.is_judged)
    )
    judged = set(session.exec(seen).all())
    standing = scans.standing_judgements(session, scan_ids)
    return {one.id for one in acts if one.by_staff or (one.scan_id in judged and _is_good(one, standing))}


def _is_good(act: CheckIn, standing: dict[UUID, ScanJudgement]) -> bool:
    found = standing.get(act.scan_id)
    verdict = found.verdict if found else act.verdict
    is_strong = verdict == Verdict.PROVISIONAL and act.presence >= scans.STRONG
    return act.voided_at is None and act.verdict in COUNTING and (verdict in _SURE or is_strong)
