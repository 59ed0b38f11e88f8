"""The demo's money beside its shops' scans: a pledge that visits draw on, payouts, voids, coupons, points and a badge.

Nothing here writes a row of its own: all goes through what the API calls, with a past `now`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns import audit, identity, participants, reversals, rewards, sponsorship
from campaigns.audit import Author, AuthorKind
from campaigns.identity import RIGHTS, Organisation, Role
from campaigns.missions import Mission
from campaigns.missions.models import StepCompletion
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.rewards import BadgeKind, BadgePlan, Choice, Claim, Coupon
from campaigns.scans import CheckIn, Scan
from campaigns.sponsorship import Payout, payouts
from campaigns.sponsorship.chain import Chainer
from campaigns.sponsorship.models import Accrual, AccrualState, PayoutItem
from campaigns.storage import Database
from campaigns.worker import post_accruals

PAID_ON = 19  # the day of the history on whose evening what is due is paid out
GUESTS = 3  # whose coupons the demo shows: one keeps it for later, one uses it, one gives it
COME_ON = (28, 29)  # the days on which they visit; at the second visit they give an idea, which earns the coupon
OFFERS_ON = 27  # since when there are offers
_FRAUD = "Un même téléphone, photographié deux fois à la caisse."
_FEE_MINOR = 40  # what the bank took


@dataclass(frozen=True)
class Purse:
    """What stands behind the demo's money: the pledge, who proposes its payouts, and who approves them."""

    organisation_id: UUID
    pledge_id: UUID
    beneficiary_id: UUID
    proposer_id: UUID
    approver_id: UUID


def sign_pledge(session: Session, mission: Mission, now: datetime) -> Purse:
    """The cause accepts and the sponsor signs, each by its one-time link; and two members who will see to payouts."""
    owner = session.get_one(Organisation, mission.organisation_id)
    (pledge,) = sponsorship.list_pledges(session, mission.id, before=None, limit=1)
    (cause,) = sponsorship.causes_of(session, pledge.id)
    _, secret = sponsorship.issue_acceptance_link(session, cause, now=now)
    shown = sponsorship.acceptance_hash(cause, organisation_name=owner.name)
    sponsorship.accept(session, secret, name="Nadia Exemple, trésorière", terms_hash=shown, now=now)
    _, secret = sponsorship.issue_signature_link(session, pledge, now=now)
    shown = sponsorship.terms_hash_of(session, pledge, organisation_name=owner.name)
    sponsorship.sign(session, secret, name="Paul Exemple, directeur", terms_hash=shown, now=now)
    proposer = _member(session, owner.id, "Inès", Role.MARKETER, now)
    return Purse(owner.id, pledge.id, cause.id, proposer, _member(session, owner.id, "Samir", Role.APPROVER, now))


def make_badge(session: Session, campaign: Campaign, mission: Mission, now: datetime) -> None:
    """A badge for who was in two shops."""
    name = {"fr": "Voisine, voisin du verger", "en": "Neighbour of the orchard"}
    rewards.make_badge(session, campaign, BadgePlan(name, BadgeKind.PLACES, 2, mission_id=mission.id), now=now)


def close_day(database: Database, chainer: Chainer, now: datetime) -> None:
    """What the worker does beside its rounds: post what was reviewed, then number the public lines."""
    post_accruals(database, now=now)
    while chainer.turn(now):
        pass


def pay_out(database: Database, purse: Purse, evening: datetime) -> None:
    """Everything due goes to the cause: proposed, approved by somebody else, sent, and confirmed the next day."""
    payout = propose(database, purse, evening)
    approver = Author(AuthorKind.MEMBER, purse.approver_id)
    with database.transaction(author=approver) as session:
        found = session.get_one(Payout, payout.id)
        payouts.approve(session, found, member_id=purse.approver_id, now=evening + timedelta(hours=1))
        at = evening + timedelta(hours=2)
        payouts.send(session, found, reference="VIR 2026-1", sent_at=at, fee_minor=_FEE_MINOR, now=at)
        proof = {"text": "Reçu de l’association, signé par la trésorière"}
        payouts.confirm(session, found, proof=proof, now=evening + timedelta(hours=3))


def propose(database: Database, purse: Purse, now: datetime) -> Payout:
    """Gather what is due into a payout, which waits for another member in the console."""
    with database.transaction(author=Author(AuthorKind.MEMBER, purse.proposer_id)) as session:
        cause = session.get_one(sponsorship.Beneficiary, purse.beneficiary_id)
        return payouts.propose(session, cause, currency="EUR", by=purse.proposer_id, now=now)


def void_fraud(database: Database, purse: Purse, ballot_secret: Callable[[UUID], bytes], now: datetime) -> None:
    """Two visits were none: what one accrued is under review yet and voided, what the other did is reversed."""
    for state in (AccrualState.PENDING, AccrualState.POSTED):
        with database.between_rounds(author=audit.OPERATOR) as session:
            scan = _scan_under(session, purse.pledge_id, state)
            reversals.void_scan(
                session, purse.organisation_id, scan, reason=_FRAUD, ballot_secret=ballot_secret, now=now
            )


def use_coupons(session: Session, guests: Sequence[str], place: Place, now: datetime) -> Coupon:
    """The second guest uses their coupon at the till, the third gives its value; the first one's, returned, waits."""
    waiting, used, given = (_coupon_of(session, one, now) for one in guests)
    rewards.choose(session, given.id, Choice.GIVE, now=now)
    for number, one in enumerate((used, given), 1):
        shown = rewards.show_coupon(session, one.id, now=now)
        claim = Claim(shown.code, "till-1", f"purchase-{number}", basket_minor=1_240)
        rewards.redeem(session, place, claim, now=now)
    return waiting


def keep_place(session: Session, guest: str, key: bytes, now: datetime) -> str:
    """A recovery code of a guest: it opens their phone's pages in any browser, once."""
    person = participants.recognise(session, guest, to_act=True)
    assert person is not None  # noqa: S101  # who checked in has a cookie
    return participants.issue_code(session, person, key=key, now=now)


def _coupon_of(session: Session, guest: str, now: datetime) -> Coupon:
    person = participants.recognise(session, guest, to_act=False)
    assert person is not None  # noqa: S101  # who checked in has a cookie
    return rewards.coupons_of(session, [person.id], now=now)[0].coupon


def _member(session: Session, organisation_id: UUID, name: str, role: Role, now: datetime) -> UUID:
    email = f"{name.lower().replace('è', 'e')}@maison-tilleul.example"
    rights = RIGHTS[Role.OWNER]
    member, *_ = identity.invite_member(
        session, organisation_id, email=email, name=name, role=role, most=rights, now=now
    )
    return member.id


def _scan_under(session: Session, pledge_id: UUID, state: AccrualState) -> Scan:
    """The scan of a visit whose money is in no payout: the first under review, the last that is due."""
    rows = select(CheckIn.scan_id).join(StepCompletion, col(StepCompletion.source_id) == CheckIn.id)
    rows = rows.join(Accrual, col(Accrual.completion_id) == StepCompletion.id)
    mine = (Accrual.pledge_id == pledge_id, Accrual.state == state.value)
    unpaid = col(Accrual.id).not_in(select(PayoutItem.accrual_id))
    order = col(Accrual.id) if state is AccrualState.PENDING else col(Accrual.id).desc()
    return session.get_one(Scan, session.exec(rows.where(*mine, unpaid).order_by(order).limit(1)).one())
