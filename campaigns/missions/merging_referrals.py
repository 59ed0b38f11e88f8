"""Two names of one person in word of mouth: nobody brought themselves, and one person was brought once."""

from uuid import UUID

from sqlmodel import Session, col, or_, select

from campaigns.missions.acts import count
from campaigns.missions.models import Mission, Referral, ReferralState, Step
from campaigns.missions.referrals import pair_of
from campaigns.missions.reversal import pass_step_on
from campaigns.participants.merging import REASON, Merge


def referrals_of(session: Session, merge: Merge) -> list[Referral]:
    """The referrals that name one of the two, the first claimed first."""
    named = or_(col(Referral.referrer_id).in_(merge.ids), col(Referral.newcomer_id).in_(merge.ids))
    rows = session.exec(select(Referral).where(named).execution_options(populate_existing=True)).all()
    return sorted(rows, key=lambda one: (one.claimed_at, one.id))


def merge_referrals(session: Session, merge: Merge) -> None:
    """Put the older name in the place of the newer; what one person could not have is undone, the later of two."""
    older, newer = merge.ids
    brought: set[tuple[UUID, str]] = set()
    pairs: set[tuple[str, str]] = set()
    kept: list[tuple[Referral, UUID, UUID]] = []
    for one in referrals_of(session, merge):
        referrer = older if one.referrer_id == newer else one.referrer_id
        newcomer = older if one.newcomer_id == newer else one.newcomer_id
        pair = pair_of(referrer, newcomer)
        if referrer == newcomer or (newcomer, one.phase) in brought or (pair, one.phase) in pairs:
            _undo(session, merge, one)
            continue
        brought.add((newcomer, one.phase))
        pairs.add((pair, one.phase))
        kept.append((one, referrer, newcomer))
    for one, referrer, newcomer in kept:
        one.referrer_id, one.newcomer_id = referrer, newcomer
        one.pair = pair_of(one.referrer_id, one.newcomer_id)
        session.add(one)
        session.flush()


def _undo(session: Session, merge: Merge, referral: Referral) -> None:
    """Take a referral away, with the step it did for its referrer."""
    mission, step = session.get_one(Mission, referral.mission_id), session.get_one(Step, referral.step_id)
    if referral.state in (ReferralState.QUALIFIED, ReferralState.REWARDED):
        count(session, mission, "referrals", -1, phase=referral.phase)
    referral.state, referral.act_id, referral.qualified_at, referral.reason = "claimed", None, None, None
    session.add(referral)
    session.flush()
    effects = pass_step_on(session, mission, step, referral, REASON)
    merge.undone["steps"] += sum(one.outcome == "reversed" and one.what == "completion" for one in effects)
    merge.undone["referrals"] += 1
    session.delete(referral)
    session.flush()
