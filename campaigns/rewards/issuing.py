"""How a coupon comes to its person: by a completion beyond doubt, or out of the hands of the staff.

Locks, everywhere: people, memberships, then coupons by id, then offers by id, then their accounts; counters are written
last. So a coupon is stored before its offer's row is held, and taken away again when the offer has none left.
"""

import secrets
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import delete, or_, update
from sqlmodel import Session, col, select

from campaigns import ids, missions
from campaigns.events import record_event
from campaigns.missions import Mission, Mode, Step
from campaigns.missions.models import CompletionState, StepCompletion
from campaigns.missions.settled import resting_on_scans, settled
from campaigns.participants import Participant
from campaigns.planning import Campaign, State
from campaigns.rewards import books
from campaigns.rewards.models import Choice, Coupon, CouponState, Offer, OfferState, OncePer, Unlock
from campaigns.scans import CheckIn
from campaigns.storage import changed, insert_once
from campaigns.tokens import codes

REWARDING = (State.PILOT, State.LIVE, State.ENDED)  # of an ended campaign: for what was done before, judged after
_TRIES = 5  # codes drawn before we give up: each is free but for one time in millions


class Want(NamedTuple):
    """A coupon to issue: of which offer, to whom, for what."""

    offer_id: UUID
    participant_id: UUID
    source_id: UUID
    phase: str


def due(
    session: Session,
    *,
    scan_ids: Sequence[UUID] = (),
    completion_ids: Sequence[UUID] = (),
    now: datetime,
) -> list[Want]:
    """The coupons that are due for scans the judge looked at, and for completions.

    Those of completions beyond doubt, made since the offer is there, for which nothing was issued yet. Reads only.
    """
    offers = _giving(session, now=now)
    if not offers:
        return []
    by_step: dict[UUID, list[Offer]] = defaultdict(list)
    for offer in offers:
        if offer.step_id is not None:
            by_step[offer.step_id].append(offer)
    found = {one.id: one for one in resting_on_scans(session, scan_ids) if one.step_id in by_step}
    named = session.exec(select(StepCompletion).where(col(StepCompletion.id).in_(completion_ids))).all()
    found |= {one.id: one for one in named if one.step_id in by_step}
    rows = sorted(settled(session, list(found.values())), key=lambda one: (one.completed_at, one.id))
    wants = [
        Want(offer.id, row.participant_id, row.id, row.phase)
        for row in rows
        for offer in by_step[row.step_id]
        if row.completed_at >= offer.created_at
    ]
    return _without_one(session, wants)


def missed(session: Session, offer_ids: Sequence[UUID]) -> list[UUID]:
    """The completions since these offers are there that gave none of their coupons, oldest first."""
    found: set[UUID] = set()
    for offer in _offers(session, set(offer_ids)):
        of_act = (Coupon.offer_id == offer.id, Coupon.source_id == StepCompletion.id)
        given = select(Coupon.id).where(*of_act, Coupon.state != CouponState.REVOKED.value)
        query = select(StepCompletion.id).where(
            StepCompletion.step_id == offer.step_id,
            StepCompletion.state == CompletionState.VERIFIED.value,
            StepCompletion.completed_at >= offer.created_at,
            ~given.exists(),
        )
        found.update(session.exec(query).all())
    return sorted(found)


def earning_among(session: Session, scan_ids: Iterable[UUID]) -> list[UUID]:
    """Those of these scans that an act in a campaign with an offer rests on, in their order."""
    wanted = sorted(set(scan_ids))
    unlocked = select(Offer.campaign_id).where(Offer.unlock == Unlock.STEP.value)
    if not wanted or session.exec(unlocked.limit(1)).first() is None:
        return []
    query = select(CheckIn.scan_id).where(col(CheckIn.scan_id).in_(wanted), col(CheckIn.campaign_id).in_(unlocked))
    return sorted(session.exec(query).all())


def issue(session: Session, wants: Sequence[Want], *, now: datetime) -> list[Coupon]:
    """Issue these coupons, once each: as many as their offers have left, the first asked for first.

    Nothing for who was erased meanwhile, who has their one, and offers that are paused, over or used up (I15).
    """
    people = hold_people(session, {one.participant_id for one in wants})
    offers = {one.id: one for one in _offers(session, {want.offer_id for want in wants})}
    stored: dict[UUID, list[Coupon]] = defaultdict(list)
    for want in wants:
        if want.participant_id in people:
            coupon = _store(session, offers[want.offer_id], want, now=now)
            if coupon is not None:
                stored[want.offer_id].append(coupon)
    kept: list[Coupon] = []
    for offer_id in sorted(stored):
        kept += _admit(session, offer_id, stored[offer_id], now=now)
    return kept


def hold_people(session: Session, participant_ids: Iterable[UUID]) -> dict[UUID, Participant]:
    """People, held as an act of theirs holds them, in one order; without those who were erased."""
    query = select(Participant).where(col(Participant.id).in_(set(participant_ids))).order_by(col(Participant.id))
    held = query.with_for_update(read=True, key_share=True).execution_options(populate_existing=True)
    return {one.id: one for one in session.exec(held) if not one.is_erased}


def hold_offer(session: Session, offer_id: UUID) -> Offer:
    """The offer as it stands, its row held: after its coupons, before its accounts.

    Not its key: a coupon that was stored holds that through its reference, and two who stored one would wait for ever.
    """
    query = select(Offer).where(Offer.id == offer_id).with_for_update(key_share=True)
    return session.exec(query.execution_options(populate_existing=True)).one()


def count_coupons(session: Session, offer: Offer, coupon: Coupon, metric: str, number: int = 1) -> None:
    """So many more `issued` or `redeemed` in the totals of the offer's mission; those of people online beside it."""
    if offer.mission_id is None:
        return
    missions.count_in(session, offer.mission_id, f"coupons_{metric}", number, phase=coupon.phase)
    if coupon.was_online:
        missions.count_in(session, offer.mission_id, f"online_coupons_{metric}", number, phase=coupon.phase)


def expiry_of(offer: Offer, now: datetime) -> datetime | None:
    """Until when a coupon issued now is good: so many days, and never longer than its offer."""
    ends = [offer.valid_until] if offer.valid_until else []
    if offer.coupon_days is not None:
        ends.append(now + timedelta(days=offer.coupon_days))
    return min(ends, default=None)


def _giving(session: Session, *, now: datetime) -> Sequence[Offer]:
    """The offers that a step unlocks and that give just now, oldest first."""
    by_step = (Offer.unlock == Unlock.STEP.value, Offer.state == OfferState.ACTIVE.value)
    is_on = or_(col(Offer.valid_until).is_(None), col(Offer.valid_until) > now)
    query = select(Offer, Campaign).join(Campaign, col(Campaign.id) == Offer.campaign_id).where(*by_step, is_on)
    rows = session.exec(query.order_by(col(Offer.id))).all()
    return [offer for offer, campaign in rows if campaign.state_at(now) in REWARDING]


def _without_one(session: Session, wants: Sequence[Want]) -> list[Want]:
    """Those for whose source no coupon was issued, and whose person has none where there is one a person."""
    if not wants:
        return []
    offers = {one.offer_id for one in wants}
    theirs = or_(
        col(Coupon.source_id).in_({one.source_id for one in wants}),
        col(Coupon.participant_id).in_({one.participant_id for one in wants}),
    )
    stands = (col(Coupon.offer_id).in_(offers), Coupon.state != CouponState.REVOKED.value)
    rows = session.exec(select(Coupon).where(*stands, theirs)).all()
    sources = {(one.offer_id, one.source_id) for one in rows}
    owners = {(one.offer_id, one.participant_id) for one in rows if one.is_personal}
    return [
        one
        for one in wants
        if (one.offer_id, one.source_id) not in sources and (one.offer_id, one.participant_id) not in owners
    ]


def _offers(session: Session, offer_ids: set[UUID]) -> Sequence[Offer]:
    return session.exec(select(Offer).where(col(Offer.id).in_(offer_ids))).all()


def _store(session: Session, offer: Offer, want: Want, *, now: datetime) -> Coupon | None:
    """Store a coupon; None when a UNIQUE says that its person or source has one that stands."""
    values: dict[str, Any] = {
        "organisation_id": offer.organisation_id,
        "campaign_id": offer.campaign_id,
        **want._asdict(),
        "is_personal": offer.once_per == OncePer.PERSON.value,
        "was_online": _was_online(session, offer, want),
        "state": CouponState.ISSUED.value,
        "choice": Choice.KEEP.value,
        "issued_at": now,
        "expires_at": expiry_of(offer, now),
    }
    for _ in range(_TRIES):
        id, code = ids.uuid7_at(now), codes.new_code(secrets.token_bytes)
        if insert_once(session, Coupon, id=id, code=code, **values):
            return Coupon(id=id, code=code, **values)
        if not _without_one(session, [want]):
            return None
    return None


def _was_online(session: Session, offer: Offer, want: Want) -> bool:
    """Whether the person had acted online in the campaign (return rate)."""
    query = (
        select(StepCompletion.id)
        .join(Step, col(Step.id) == StepCompletion.step_id)
        .join(Mission, col(Mission.id) == StepCompletion.mission_id)
        .where(
            StepCompletion.participant_id == want.participant_id,
            StepCompletion.state == CompletionState.VERIFIED.value,
            StepCompletion.phase == want.phase,
            Step.mode == Mode.ONLINE.value,
            Mission.campaign_id == offer.campaign_id,
        )
    )
    return session.exec(query.limit(1)).first() is not None


def _admit(session: Session, offer_id: UUID, coupons: Sequence[Coupon], *, now: datetime) -> list[Coupon]:
    """Let an offer's coupons stand as far as it has any left, and take the others away again."""
    offer = hold_offer(session, offer_id)
    is_open = offer.state == OfferState.ACTIVE and (offer.valid_until is None or now < offer.valid_until)
    kept = list(coupons[: offer.max_issue - offer.issued]) if is_open else []
    if kept:
        more = update(Offer).where(col(Offer.id) == offer.id, col(Offer.issued) + len(kept) <= col(Offer.max_issue))
        more = more.values(issued=col(Offer.issued) + len(kept)).execution_options(synchronize_session=False)
        kept = kept if changed(session, more) else []
    surplus = [one.id for one in coupons if one not in kept]
    if surplus:
        gone = delete(Coupon).where(col(Coupon.id).in_(surplus))
        session.execute(gone.execution_options(synchronize_session=False))
    books.issue(session, offer, [one.id for one in kept], now=now)
    for one in kept:
        count_coupons(session, offer, one, "issued")
        record_event(session, "coupon.issued", now=now, coupon_id=one.id, offer_id=offer.id)
    return kept
