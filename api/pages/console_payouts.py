"""Payouts at the console: what is due is proposed by one member, approved by another, recorded as sent, and confirmed.

Passerelle holds no money: a payout records a transfer that somebody made at a bank.
"""

from collections.abc import Callable
from datetime import UTC, date, datetime, time
from typing import Annotated, Any
from uuid import UUID

from babel.dates import format_date
from babel.numbers import format_decimal
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_names import Names
from api.pages.console_session import Form, Posted, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import ids, sponsorship
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.identity import Member, Right
from campaigns.missions import Mission
from campaigns.sponsorship import Beneficiary, Payout, PayoutState, Pledge, payouts
from campaigns.sponsorship.ledger import AccountKind
from campaigns.sponsorship.money import IN_KIND, shown, typed

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 50
Reader = Annotated[Seat, member_may(Right.PLEDGES_READ)]
Writer = Annotated[Seat, member_may(Right.PAYOUTS_WRITE)]
Approver = Annotated[Seat, member_may(Right.PAYOUTS_APPROVE)]
Reference = Annotated[schemas.Text, Field(min_length=1, max_length=140)]
FIELDS = ("sent_at", "reference", "fee_minor", "proof", "reason")
STAGES = (PayoutState.PROPOSED, PayoutState.APPROVED, PayoutState.SENT, PayoutState.CONFIRMED)
_MOVES = ("unlocked_minor", "voided_minor", "posted_minor", "reversed_minor", "paid_minor", "fees_minor")
_HELD = ("pending_minor", "due_minor", "paid_minor", "fees_minor")


class ProposalForm(schemas.Request):
    """To whom, in what currency, the pledges whose boxes are ticked, and whether that of the gifts is."""

    beneficiary_id: schemas.Name
    currency: Annotated[str, Field(pattern="^[A-Z]{3}$")]
    pledge_ids: list[schemas.Name] = Field(max_length=200)
    gifts: Annotated[str, Field(pattern="^1?$")] = ""


class SentForm(schemas.Request):
    """The transfer that was made at a bank: on which day (UTC), and its reference."""

    sent_at: date
    reference: Reference


class ProofForm(schemas.Request):
    """What proves that the money arrived: words, a reference, or both."""

    proof: Annotated[schemas.Text, Field(max_length=2000)] | None = None
    reference: Reference | None = None


class CancelForm(schemas.Request):
    """Why it is not paid."""

    reason: Annotated[schemas.Text, Field(min_length=1, max_length=payouts.REASON_LENGTH)]


@router.get("/payouts", response_class=HTMLResponse)
def list_payouts(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """What is due, and the payouts of the organisation, newest first."""
    return _page(seat, cursor=cursor)


@router.post("/payouts")
def propose(seat: Writer, form: Form) -> Response:
    """Propose to pay what is due to a cause, from the pledges whose boxes are ticked."""
    pledge_ids = form.all("pledge_ids")
    try:
        asked = form.read(ProposalForm, without=("pledge_ids",), pledge_ids=pledge_ids)
        with seat.writing() as session:
            owner = seat.organisation.id
            cause = sponsorship.party_by_name(session, Beneficiary, owner, asked.beneficiary_id)
            named = [ids.parse("pld", one) for one in asked.pledge_ids]
            if not named and not asked.gifts:
                raise Invalid("Tick at least one of them.", pointer="/pledge_ids")
            about = {"currency": asked.currency, "pledge_ids": named, "with_gifts": bool(asked.gifts)}
            payouts.propose(session, cause, **about, by=seat.member.id, now=seat.now)
    except NotFound:
        raise
    except CampaignError as error:
        was = {"cause": form["beneficiary_id"], "currency": form["currency"], "pledge_ids": pledge_ids}
        was["gifts"] = form["gifts"]
        return _page(seat, error=error, proposed=was)
    return seat.see("/console/payouts", done="payout_proposed")


@router.post("/payouts/{payout_id}/approval")
def approve(seat: Approver, form: Form, payout_id: str, cursor: str | None = None) -> Response:
    """Approve what somebody else proposed."""

    def act(session: DbSession, payout: Payout) -> None:
        payouts.approve(session, payout, member_id=seat.member.id, now=seat.now)

    return _move(seat, form, payout_id, act, cursor, done="payout_approved")


@router.post("/payouts/{payout_id}/sent")
def record_sent(seat: Writer, form: Form, payout_id: str, cursor: str | None = None) -> Response:
    """Record that the money was sent: the day, the bank's reference, and the fee that the bank kept."""

    def act(session: DbSession, payout: Payout) -> None:
        asked = form.read(SentForm, without=("fee_minor",))
        fee = typed(form["fee_minor"], payout.currency, pointer="/fee_minor")
        at = _instant(asked.sent_at, seat.now)
        payouts.send(session, payout, reference=asked.reference, sent_at=at, fee_minor=fee, now=seat.now)

    return _move(seat, form, payout_id, act, cursor, done="payout_sent")


@router.post("/payouts/{payout_id}/confirmation")
def confirm(seat: Writer, form: Form, payout_id: str, cursor: str | None = None) -> Response:
    """Record the proof that the money arrived."""

    def act(session: DbSession, payout: Payout) -> None:
        asked = form.read(ProofForm)
        proof = {"text": asked.proof, "reference": asked.reference}
        given = {name: value for name, value in proof.items() if value}
        payouts.confirm(session, payout, proof=given, now=seat.now)

    return _move(seat, form, payout_id, act, cursor, done="payout_confirmed")


@router.post("/payouts/{payout_id}/cancellation")
def cancel(seat: Writer, form: Form, payout_id: str, cursor: str | None = None) -> Response:
    """Cancel what was not sent: what it held is due again."""

    def act(session: DbSession, payout: Payout) -> None:
        payouts.cancel(session, payout, reason=form.read(CancelForm).reason, now=seat.now)

    return _move(seat, form, payout_id, act, cursor, done="payout_cancelled")


@router.get("/pledges/{pledge_id}/statement", response_class=HTMLResponse)
def show_statement(
    seat: Reader, pledge_id: str, since: schemas.Instant | None = None, until: schemas.Instant | None = None
) -> HTMLResponse:
    """The statement of a pledge, to print for its sponsor: what its book held, what moved day by day, what it holds."""
    with seat.reading() as session:
        pledge = sponsorship.pledge_by_id(session, seat.organisation.id, ids.parse("pld", pledge_id))
        found = sponsorship.statement_of(session, pledge, since=since, until=until)
        (facts,) = sponsorship.facts_of(session, [pledge])
        disclosure = sponsorship.disclose(facts, seat.language).text

    def amounts(of: object, names: tuple[str, ...]) -> list[str]:
        return [facts.amount(getattr(of, name), seat.language) for name in names]

    return seat.page(
        "console_statement.html",
        sponsor=facts.sponsor.name,
        causes=[one.name for one in facts.causes],
        disclosure=disclosure,
        time_zone=found.time_zone,
        since=since,
        until=until or seat.now,
        opening=amounts(found.opening, _HELD),
        moved=amounts(found.moved, _MOVES),
        closing=amounts(found.closing, _HELD),
        days=[
            (
                format_date(one.day, "short", locale=seat.language),
                amounts(one.moved, _MOVES),
                " / ".join(one.references),
            )
            for one in found.days
        ],
    )


def _move(
    seat: Seat,
    form: Posted,
    payout_id: str,
    act: Callable[[DbSession, Payout], None],
    cursor: str | None,
    *,
    done: str,
) -> Response:
    """Move a payout on; one that is not taken is shown once more with what was typed."""
    id = ids.parse("pay", payout_id)
    try:
        with seat.writing() as session:
            act(session, payouts.payout_by_id(session, seat.organisation.id, id))
    except NotFound:
        raise
    except CampaignError as error:
        was = {name: form[name] for name in FIELDS}
        return _page(seat, cursor=cursor, error=error, was={id: was})
    return seat.see("/console/payouts", done=done, cursor=cursor)


def _instant(day: date, now: datetime) -> datetime:
    """An instant of a day: now, of today; noon (UTC) of another."""
    return now if day == now.date() else datetime.combine(day, time(12), UTC)


def _page(
    seat: Seat,
    *,
    cursor: str | None = None,
    error: CampaignError | None = None,
    proposed: dict[str, Any] | None = None,
    was: dict[UUID, dict[str, str]] | None = None,
) -> HTMLResponse:
    """`proposed` and `was` (by payout) are what was typed into a form that was not taken."""
    owner = seat.organisation.id
    with seat.reading() as session:
        rows = payouts.list_payouts(session, owner, before=before(cursor), limit=SHOWN + 1)
        names = Names(session, seat.language)
        listed = [_view(session, names, one, seat) | _typed(one, was or {}, seat) for one in rows[:SHOWN]]
        due = [_due(session, one, seat.language) for one in payouts.list_due(session, owner)]
    more = ids.show("cur", rows[SHOWN - 1].id) if len(rows) > SHOWN else ""
    nothing: dict[str, Any] = {"cause": "", "currency": "", "pledge_ids": [], "gifts": ""}
    about = {"due": due, "proposed": proposed or nothing, "cursor": cursor, "more": more}
    return seat.page("console_payouts.html", error=error, payouts=listed, **about)


def _typed(payout: Payout, was: dict[UUID, dict[str, str]], seat: Seat) -> dict[str, Any]:
    """What a payout's form starts with: what was typed into it, or today."""
    blank = dict.fromkeys(FIELDS, "") | {"sent_at": seat.now.date().isoformat()}
    return {"typed": was.get(payout.id, blank), "is_back": payout.id in was}


def _due(session: DbSession, due: payouts.Due, language: str) -> dict[str, Any]:
    return {
        "cause_id": ids.show("ben", due.beneficiary.id),
        "cause": due.beneficiary.name,
        "currency": due.currency,
        "amount": _amount(due.amount_minor, due.currency, language),
        "acts": due.acts,
        "shares": [_share(session, one, language) for one in due.shares if one.account is AccountKind.DUE],
        "gifts": _gifts(due, language),
    }


def _gifts(due: payouts.Due, language: str) -> dict[str, Any] | None:
    """The coupons that people gave to the cause, of all offers together."""
    given = [one for one in due.shares if one.account is AccountKind.GIVEN]
    if not given:
        return None
    amount = sum(one.amount_minor for one in given)
    return {"amount": _amount(amount, due.currency, language), "coupons": sum(one.acts for one in given)}


def _share(session: DbSession, share: payouts.Share, language: str) -> dict[str, Any]:
    pledge = session.get_one(Pledge, share.book_id)
    (facts,) = sponsorship.facts_of(session, [pledge])
    return {
        "id": ids.show("pld", pledge.id),
        "sponsor": facts.sponsor.name,
        "mission": session.get_one(Mission, pledge.mission_id).title,
        "amount": facts.amount(share.amount_minor, language),
        "acts": share.acts,
    }


def _view(session: DbSession, names: Names, payout: Payout, seat: Seat) -> dict[str, Any]:
    reached = STAGES.index(payout.state) if payout.state in STAGES else (1 if payout.approved_at else 0)
    shares = payouts.shares_of(session, payout.id)
    return {
        "id": ids.show("pay", payout.id),
        "cause": session.get_one(Beneficiary, payout.beneficiary_id).name,
        "amount": _amount(payout.amount_minor, payout.currency, seat.language),
        "fee": _amount(payout.fee_minor, payout.currency, seat.language) if payout.fee_minor else "",
        "currency": payout.currency,
        "is_in_kind": payout.currency == IN_KIND,
        "state": payout.state,
        "reason": payout.state_reason or "",
        "reference": payout.reference or "",
        "proof": [one for one in (payout.proof or {}).values() if one],
        "proposer": names.member(payout.proposed_by) or names.key(payout.proposed_by),
        "approver": names.member(payout.approved_by),
        "reached": reached,
        "instants": [payout.proposed_at, payout.approved_at, payout.sent_at, payout.confirmed_at],
        "cancelled_at": payout.cancelled_at,
        "is_mine": payout.proposed_by == seat.member.id,
        "is_unknown": session.get(Member, payout.proposed_by) is None,
        "acts": sum(one.acts for one in shares if one.account is AccountKind.DUE),
        "gifts": sum(one.acts for one in shares if one.account is AccountKind.GIVEN),
    }


def _amount(minor: int, currency: str, language: str) -> str:
    return format_decimal(minor, locale=language) if currency == IN_KIND else shown(minor, currency, language)
