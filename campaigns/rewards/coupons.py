"""What a person holds: their coupons, what they chose to do with them, and how staff hand one out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import or_, update
from sqlmodel import Session, col, select

from campaigns import identity, missions, places, tokens
from campaigns.errors import Conflict, NotFound
from campaigns.missions import Mission, Step
from campaigns.missions.models import ActCode, PublicCode
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign, Phase, State
from campaigns.rewards.issuing import Want, hold_people, issue
from campaigns.rewards.models import (
    GOOD,
    Choice,
    Coupon,
    CouponState,
    Offer,
    OfferState,
    OncePer,
    Unlock,
)
from campaigns.sponsorship.models import Beneficiary, CauseChoice, Pledge, PledgeBeneficiary, PledgeState
from campaigns.storage import changed, find_own
from campaigns.tokens import codes

_PROMISING = (PledgeState.ACTIVE, PledgeState.EXHAUSTED, PledgeState.ENDED, PledgeState.SETTLED)


@dataclass(frozen=True)
class Held:
    """A coupon as its person sees it: the offer, who issues it, where and until when it is good.

    `place_names` is empty where every place of the organisation takes it. `cause`: the name of who gets the value of a
    given one; None where it cannot be given.
    """

    coupon: Coupon
    offer: Offer
    issuer: str
    place_names: Sequence[str]
    cause: str | None


def coupons_of(session: Session, participant_ids: Sequence[UUID], *, now: datetime) -> list[Held]:
    """What these people hold, newest first: those that are good before those that are not."""
    query = select(Coupon).where(col(Coupon.participant_id).in_(participant_ids)).order_by(col(Coupon.id).desc())
    found = sorted(session.exec(query).all(), key=lambda one: one.state_at(now) not in GOOD)
    return [_held(session, one) for one in found]


def held_by(session: Session, participant_ids: Sequence[UUID], coupon_id: UUID) -> Held:
    """One coupon of theirs; NotFound for anybody else's."""
    found = session.get(Coupon, coupon_id)
    if found is None or found.participant_id not in participant_ids:
        raise NotFound("There is no such coupon.")
    return _held(session, found)


def choose(session: Session, coupon_id: UUID, choice: Choice, *, now: datetime) -> Coupon:
    """Keep the value or give it to the cause, whole. The same choice again is fine.

    Conflict (`coupon_shown`) while it is locked, (`coupon_over`) once it is used or over, (`not_givable`) without a
    face value or a cause.
    """
    coupon = session.get_one(Coupon, coupon_id, populate_existing=True)
    offer = session.get_one(Offer, coupon.offer_id)
    if choice is Choice.GIVE and (
        offer.face_value_minor is None or cause_of(session, offer, coupon.participant_id) is None
    ):
        raise Conflict("The value of this coupon cannot be given: use it in the shop.", code="not_givable")
    if coupon.state == CouponState.LOCKED and choice != coupon.choice:
        raise Conflict("This coupon is on show. Put it back first, then choose.", code="coupon_shown")
    return _turn(session, coupon, [CouponState(coupon.state)], now=now, choice=choice.value)


def show_coupon(session: Session, coupon_id: UUID, *, now: datetime) -> Coupon:
    """Lock it: its person shows it now, and the choice is fixed. Again is fine. Conflict (`coupon_over`)."""
    coupon = session.get_one(Coupon, coupon_id, populate_existing=True)
    return _turn(session, coupon, GOOD, now=now, state=CouponState.LOCKED.value, locked_at=now)


def put_back(session: Session, coupon_id: UUID, *, now: datetime) -> Coupon:
    """Unlock it: the choice may change again. Conflict (`coupon_over`) once a till took it."""
    coupon = session.get_one(Coupon, coupon_id, populate_existing=True)
    before = CouponState.ISSUED if coupon.rolled_back_at is None else CouponState.ROLLED_BACK
    return _turn(session, coupon, GOOD, now=now, state=before.value, locked_at=None)


def cause_of(session: Session, offer: Offer, participant_id: UUID) -> Beneficiary | None:
    """Who gets the value of a given coupon: whom the offer names, else the cause of its mission that its person chose.

    Without a choice the first cause of the mission's oldest pledge. None but those that accepted the use of their name.
    """
    if offer.beneficiary_id is not None:
        named = session.get_one(Beneficiary, offer.beneficiary_id)
        return named if named.accepted_at is not None else None
    query = (
        select(Beneficiary)
        .join(PledgeBeneficiary, col(PledgeBeneficiary.beneficiary_id) == Beneficiary.id)
        .join(Pledge, col(Pledge.id) == PledgeBeneficiary.pledge_id)
        .where(Pledge.mission_id == offer.mission_id, col(Pledge.state).in_([one.value for one in _PROMISING]))
        .where(col(Beneficiary.accepted_at).is_not(None))
        .order_by(col(Pledge.id), col(PledgeBeneficiary.position))
    )
    causes = session.exec(query).all() if offer.mission_id is not None else []
    if not causes:
        return None
    chosen = session.get(CauseChoice, (offer.mission_id, participant_id))
    return next((one for one in causes if chosen and one.id == chosen.beneficiary_id), causes[0])


def handable(session: Session, place: Place, *, now: datetime) -> list[Offer]:
    """The offers whose coupons the staff of a place may hand out now, oldest first."""
    is_on = or_(col(Offer.valid_until).is_(None), col(Offer.valid_until) > now)
    query = select(Offer, Campaign).join(Campaign, col(Campaign.id) == Offer.campaign_id)
    query = query.where(Offer.organisation_id == place.organisation_id, Offer.unlock == Unlock.STAFF.value, is_on)
    giving = query.where(Offer.state == OfferState.ACTIVE.value, col(Offer.issued) < col(Offer.max_issue))
    rows = session.exec(giving.order_by(col(Offer.id))).all()
    acting = (State.PILOT, State.LIVE)
    return [offer for offer, campaign in rows if campaign.state_at(now) in acting and offer.takes_at(place.id)]


def hand_out(session: Session, place: Place, offer_id: UUID, typed: str, *, handing_id: UUID, now: datetime) -> Held:
    """Hand a coupon to the person whose act code, card or public code was typed; `handing_id` again gives the first.

    NotFound for a code of nobody, Conflict (`no_coupon_left`, `has_coupon`, `offer_closed`). A code is not spent: it
    only says who its person is, and what is handed out is theirs whoever typed it.
    """
    offer = find_own(session, Offer, place.organisation_id, offer_id)
    if offer is None or offer.unlock != Unlock.STAFF or not offer.takes_at(place.id):
        raise NotFound("There is no such offer to hand out here.")
    before = session.exec(select(Coupon).where(Coupon.offer_id == offer.id, Coupon.source_id == handing_id)).first()
    if before is not None:
        return _held(session, before)
    campaign = session.get_one(Campaign, offer.campaign_id)
    phase = missions.require_open(campaign, now=now)
    if phase == Phase.DRAFT or offer.state != OfferState.ACTIVE:
        raise Conflict("This offer gives nothing just now.", code="offer_closed")
    person = _presented(session, place, campaign, typed, now=now)
    mission = session.get(Mission, offer.mission_id) if offer.mission_id else None
    if mission is not None:
        missions.take_part(session, mission, person, phase=phase, now=now)
    issued = issue(session, [Want(offer.id, person.id, handing_id, phase)], now=now)
    if issued:
        return _held(session, issued[0])
    raise why_none(session, offer, person)


def has_theirs(session: Session, offer: Offer, person: Participant) -> bool:
    """Whether a person has the one coupon that an offer gives each; False of an offer that gives one for each act."""
    theirs = (Coupon.offer_id == offer.id, Coupon.participant_id == person.id)
    stands = select(Coupon.id).where(*theirs, Coupon.state != CouponState.REVOKED.value)
    return offer.once_per == OncePer.PERSON and session.exec(stands).first() is not None


def why_none(session: Session, offer: Offer, person: Participant) -> Conflict:
    """Why an offer gave a person nothing: they have theirs, or none is left."""
    if has_theirs(session, offer, person):
        return Conflict("This person has their coupon of this offer already.", code="has_coupon")
    return Conflict("No coupon of this offer is left.", code="no_coupon_left")


def _presented(session: Session, place: Place, campaign: Campaign, typed: str, *, now: datetime) -> Participant:
    """Whom a typed code stands for in a campaign, held: that of an act on a phone, of a card, or a public one."""
    text = typed.strip()
    digits = "".join(one for one in text if one.isascii() and one.isdigit())
    code = codes.normalise(text.split("?")[0].rstrip("/").rpartition("/")[2])
    if code and tokens.find_card(session, place.organisation_id, code) is not None:
        shown = missions.present(session, place, text, now=now)
        if shown.campaign.id == campaign.id:
            owner = missions.hold_card(session, shown, language=shown.campaign.languages[0], now=now)
            return _present(session, owner.id)
    is_act_code = len(digits) == 6 and len(digits) == len(text.replace(" ", ""))
    query: Any = _by_act_code(digits, now) if is_act_code else _by_public_code(text.upper())
    return _present(session, session.exec(query.where(Mission.campaign_id == campaign.id)).first())


def _present(session: Session, participant_id: UUID | None) -> Participant:
    """The person, held as an act of theirs holds them; NotFound for nobody, and for who was erased meanwhile."""
    people = hold_people(session, [participant_id]) if participant_id is not None else {}
    if participant_id not in people:
        raise NotFound("This code is not known here, or is older than ten minutes.", code="unknown_act_code")
    return people[participant_id]


def _by_act_code(digits: str, now: datetime) -> Any:
    rows = select(ActCode.participant_id).join(Step, col(Step.id) == ActCode.step_id)
    return rows.join(Mission, col(Mission.id) == Step.mission_id).where(
        ActCode.code == digits, col(ActCode.expires_at) > now
    )


def _by_public_code(code: str) -> Any:
    rows = select(PublicCode.participant_id).join(Mission, col(Mission.id) == PublicCode.mission_id)
    return rows.where(PublicCode.code == code)


def _held(session: Session, coupon: Coupon) -> Held:
    offer = session.get_one(Offer, coupon.offer_id)
    issuer = identity.organisation_by_id(session, offer.organisation_id)
    names = [places.place_by_id(session, offer.organisation_id, id).name for id in offer.places or []]
    cause = None
    if offer.face_value_minor is not None:
        found = cause_of(session, offer, coupon.participant_id)
        cause = found.name if found else None
    return Held(coupon, offer, issuer.legal_name or issuer.name, names, cause)


def _turn(session: Session, coupon: Coupon, of: Sequence[CouponState], *, now: datetime, **values: Any) -> Coupon:
    """Change a coupon that is good and in one of these states; Conflict (`coupon_over`) else."""
    states = [one.value for one in of if one in GOOD]
    lasts = or_(col(Coupon.expires_at).is_(None), col(Coupon.expires_at) > now)
    mine = update(Coupon).where(col(Coupon.id) == coupon.id, col(Coupon.state).in_(states), lasts)
    if not changed(session, mine.values(**values).execution_options(synchronize_session=False)):
        raise Conflict("This coupon was used, or its time is over.", code="coupon_over")
    return session.get_one(Coupon, coupon.id, populate_existing=True)
