"""Two names of one person in word of mouth: nobody is brought by themselves, by two people, or in a ring of two.

For who merges two people: `touching` says whose memberships to hold before any counter, `merge` is called once these
are held and before completions are merged, `settle` after.
"""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import or_
from sqlmodel import Session, col, select

from campaigns.missions.models import CompletionState, Referral, ReferralState, StepCompletion
from campaigns.missions.referrals import pair_of
from campaigns.missions.reversal import unqualify
from campaigns.participants.merging import REASON
from campaigns.storage import hand_over


def touching(session: Session, participant_ids: Sequence[UUID]) -> set[tuple[UUID, UUID, str]]:
    """Mission, person and phase of the memberships that merging these people's referrals touches."""
    rows = _rows(session, participant_ids)
    return {(row.mission_id, id, row.phase) for row in rows for id in (row.referrer_id, row.newcomer_id)}


def merge(session: Session, *, older: UUID, newer: UUID) -> int:
    """Give the older name the referrals of the newer one; how many one person could not have, which go.

    Of two that do not go together the one claimed first stays. One that goes is undone as by a voided visit.
    """
    gone = 0
    newcomers: set[tuple[UUID, str]] = set()
    pairs: set[tuple[str, str]] = set()
    for row in _rows(session, (older, newer)):
        referrer = older if row.referrer_id == newer else row.referrer_id
        newcomer = older if row.newcomer_id == newer else row.newcomer_id
        pair = pair_of(referrer, newcomer)
        if referrer == newcomer or (newcomer, row.phase) in newcomers or (pair, row.phase) in pairs:
            unqualify(session, row, REASON)
            session.delete(row)
            session.flush()
            gone += 1
            continue
        newcomers.add((newcomer, row.phase))
        pairs.add((pair, row.phase))
    hand_over(session, [col(Referral.referrer_id), col(Referral.newcomer_id)], newer, older)
    session.expire_all()
    for row in _rows(session, (older,)):
        if not row.pair.startswith("erased-"):
            row.pair = pair_of(row.referrer_id, row.newcomer_id)
            session.add(row)
    session.flush()
    return gone


def settle(session: Session, participant_id: UUID) -> None:
    """Let a person's referrals say which of them did a step, once their completions are merged."""
    counting = select(StepCompletion.source_id).where(StepCompletion.state == CompletionState.VERIFIED.value)
    doing = set(session.exec(counting.where(StepCompletion.participant_id == participant_id)).all())
    rows = session.exec(select(Referral).where(Referral.referrer_id == participant_id)).all()
    for row in rows:
        if row.act_id is not None:
            row.state = (ReferralState.REWARDED if row.id in doing else ReferralState.QUALIFIED).value
            session.add(row)
    session.flush()


def _rows(session: Session, participant_ids: Sequence[UUID]) -> Sequence[Referral]:
    """Their referrals, on either side, in the order in which they were claimed."""
    theirs = or_(col(Referral.referrer_id).in_(participant_ids), col(Referral.newcomer_id).in_(participant_ids))
    query = select(Referral).where(theirs).order_by(col(Referral.claimed_at), col(Referral.id))
    return session.exec(query.execution_options(populate_existing=True)).all()
