"""Payouts to beneficiaries: proposed, approved by somebody else, sent, confirmed. Passerelle holds no money."""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Query
from pydantic import BaseModel, Field, StrictInt, model_validator
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Acting, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, sponsorship
from campaigns.identity import Member, Right
from campaigns.sponsorship import Beneficiary, Payout, PayoutState, payouts
from campaigns.sponsorship.ledger import AccountKind

router = APIRouter(prefix="/v1/payouts", tags=["sponsorship"])
Currency = Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217; XXX of what is given in kind")]
Fee = Annotated[StrictInt, Field(ge=0, le=schemas.MAX_INT, description="kept by the bank, of the amount")]
Reference = Annotated[schemas.Text, Field(min_length=1, max_length=140)]
Reason = Annotated[schemas.Text, Field(min_length=1, max_length=payouts.REASON_LENGTH)]
MOST_PLEDGES = 200


class PayoutCreate(schemas.Request):
    """To whom, in what currency; all that is due, gifts of coupons too, or what these pledges owe alone.

    Things (XXX) are paid out pledge by pledge.
    """

    beneficiary_id: schemas.Name
    currency: Currency
    pledge_ids: list[schemas.Name] | None = Field(None, min_length=1, max_length=MOST_PLEDGES)


class PayoutSent(schemas.Request):
    """The transfer that was made elsewhere."""

    reference: Reference = Field(description="the bank's, or yours; the sponsor's statement shows it")
    sent_at: schemas.Instant | None = Field(None, description="now, unless you say")
    fee_minor: Fee = 0


class Proof(schemas.Request):
    """What proves that the money arrived: words, or the reference of a receipt."""

    text: Annotated[schemas.Text, Field(min_length=1, max_length=2000)] | None = None
    reference: Reference | None = None

    @model_validator(mode="after")
    def _something(self) -> "Proof":
        if self.text is None and self.reference is None:
            raise ValueError("give a text or a reference")
        return self


class PayoutConfirmed(schemas.Request):
    """That the beneficiary has the money."""

    proof: Proof


class PayoutCancelled(schemas.Request):
    """Why it is not paid."""

    reason: Reason


class GiftsRead(BaseModel):
    """What a payout takes from the coupons of one offer that people gave to the cause."""

    offer_id: str
    amount_minor: int
    coupons: int


class ShareRead(BaseModel):
    """What a payout takes from one pledge."""

    pledge_id: str
    amount_minor: int
    acts: int


class PayoutRead(BaseModel):
    """A payout. `pledges` and `gifts` are empty once it is cancelled: what it held is due again.

    `proposed_by` is a member (`mbr_`); of old ones it may be a key (`key_`) behind which no member is known.
    """

    id: str
    beneficiary_id: str
    currency: str
    amount_minor: int
    fee_minor: int
    state: PayoutState
    state_reason: str | None
    proposed_by: str
    proposed_at: datetime
    approved_by: str | None
    approved_at: datetime | None
    sent_at: datetime | None
    reference: str | None
    confirmed_at: datetime | None
    proof: dict[str, str] | None
    cancelled_at: datetime | None
    pledges: list[ShareRead]
    gifts: list[GiftsRead]


def show(session: DbSession, payout: Payout) -> PayoutRead:
    named = {"id", "beneficiary_id", "proposed_by", "approved_by", "pledges", "gifts"}
    shares = payouts.shares_of(session, payout.id)
    is_member = session.get(Member, payout.proposed_by) is not None
    return PayoutRead(
        **payout.model_dump(include=set(PayoutRead.model_fields) - named),
        id=ids.show("pay", payout.id),
        beneficiary_id=ids.show("ben", payout.beneficiary_id),
        proposed_by=ids.show("mbr" if is_member else "key", payout.proposed_by),
        approved_by=ids.show("mbr", payout.approved_by) if payout.approved_by else None,
        pledges=[
            ShareRead(pledge_id=ids.show("pld", one.book_id), amount_minor=one.amount_minor, acts=one.acts)
            for one in shares
            if one.account is AccountKind.DUE
        ],
        gifts=_gifts(shares),
    )


def _gifts(shares: Sequence[payouts.Share]) -> list[GiftsRead]:
    """By offer: those of its pilot, which are in no public ledger, with those of its mission."""
    found: dict[UUID, GiftsRead] = {}
    for one in shares:
        if one.account is AccountKind.GIVEN:
            read = found.setdefault(
                one.book_id, GiftsRead(offer_id=ids.show("off", one.book_id), amount_minor=0, coupons=0)
            )
            read.amount_minor, read.coupons = read.amount_minor + one.amount_minor, read.coupons + one.acts
    return list(found.values())


@router.post("", dependencies=[may(Right.PAYOUTS_WRITE)], status_code=201)
def propose(body: PayoutCreate, actor: Actor, session: Session, now: Now) -> PayoutRead:
    """Propose to pay a beneficiary everything that is due to it and in no payout yet. Another person approves.

    409 `nothing_due` when nothing is. 403 `maker_unknown` for a key of which nobody can tell whose it is, such as that
    of `passerelle init` without `--owner`: members issue keys at the console.
    """
    owner = actor.organisation_id
    beneficiary = sponsorship.party_by_name(session, Beneficiary, owner, body.beneficiary_id)
    named = [ids.parse("pld", one) for one in body.pledge_ids or ()]
    by = actor.key.issued_by_member_id
    made = payouts.propose(session, beneficiary, currency=body.currency, pledge_ids=named or None, by=by, now=now)
    return show(session, made)


@router.get("", dependencies=[may(Right.PLEDGES_READ)])
def list_payouts(
    actor: Actor,
    session: ReadSession,
    beneficiary_id: str | None = Query(None, description="only those to this beneficiary"),
    state: PayoutState | None = Query(None, description="only those in this state"),
    limit: Limit = 25,
    cursor: Cursor = None,
) -> Page:
    """Payouts, newest first."""
    owner = actor.organisation_id
    to = sponsorship.party_by_name(session, Beneficiary, owner, beneficiary_id).id if beneficiary_id else None
    rows = payouts.list_payouts(session, owner, beneficiary_id=to, state=state, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show(session, one), lambda one: one.id)


@router.get("/{payout_id}", dependencies=[may(Right.PLEDGES_READ)], response_model=PayoutRead)
def read_payout(payout_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One payout, with what it takes from each pledge and offer."""
    return tags.read(show(session, _payout(session, actor, payout_id)))


@router.post("/{payout_id}/approval", dependencies=[may(Right.PAYOUTS_APPROVE)])
def approve(payout_id: str, actor: Actor, session: Session, now: Now) -> PayoutRead:
    """Approve what somebody else proposed.

    403 `own_proposal` for a key of who proposed it, `maker_unknown` for a key of which nobody can tell whose it is
    (members issue keys at the console), and for what such a key proposed. 409 when it is not proposed any more.
    """
    payout, member = _payout(session, actor, payout_id), actor.key.issued_by_member_id
    return show(session, payouts.approve(session, payout, member_id=member, now=now))


@router.post("/{payout_id}/sent", dependencies=[may(Right.PAYOUTS_WRITE)])
def record_sent(payout_id: str, body: PayoutSent, actor: Actor, session: Session, now: Now) -> PayoutRead:
    """Record that the money was sent: what was due is paid, less the fee. 409 before it is approved, and once sent."""
    payout = _payout(session, actor, payout_id)
    sent = payouts.send(
        session, payout, reference=body.reference, sent_at=body.sent_at, fee_minor=body.fee_minor, now=now
    )
    return show(session, sent)


@router.post("/{payout_id}/confirmation", dependencies=[may(Right.PAYOUTS_WRITE)])
def confirm(payout_id: str, body: PayoutConfirmed, actor: Actor, session: Session, now: Now) -> PayoutRead:
    """Record the proof that the money arrived. 409 before it was sent, and once confirmed."""
    proof = body.proof.model_dump(exclude_none=True)
    return show(session, payouts.confirm(session, _payout(session, actor, payout_id), proof=proof, now=now))


@router.post("/{payout_id}/cancellation", dependencies=[may(Right.PAYOUTS_WRITE)])
def cancel(payout_id: str, body: PayoutCancelled, actor: Actor, session: Session, now: Now) -> PayoutRead:
    """Cancel a payout that was not sent: what it held is due again. 409 once it was sent."""
    return show(session, payouts.cancel(session, _payout(session, actor, payout_id), reason=body.reason, now=now))


def _payout(session: DbSession, actor: Acting, payout_id: str) -> Payout:
    return payouts.payout_by_id(session, actor.organisation_id, ids.parse("pay", payout_id))
