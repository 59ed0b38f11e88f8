"""Payouts at the console, where another member approves them, and the statement of a pledge to print."""

from typing import Annotated, Any

from babel.dates import format_date
from babel.numbers import format_decimal
from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_names import Names
from api.pages.console_session import Form, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import ids, sponsorship
from campaigns.errors import CampaignError, NotFound
from campaigns.identity import Member, Right
from campaigns.sponsorship import Beneficiary, Payout, PayoutState, payouts
from campaigns.sponsorship.ledger import AccountKind
from campaigns.sponsorship.money import IN_KIND, shown

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
SHOWN = 50
Reader = Annotated[Seat, member_may(Right.PLEDGES_READ)]
Approver = Annotated[Seat, member_may(Right.PAYOUTS_APPROVE)]
_MOVES = ("unlocked_minor", "voided_minor", "posted_minor", "reversed_minor", "paid_minor", "fees_minor")
_HELD = ("pending_minor", "due_minor", "paid_minor", "fees_minor")


@router.get("/payouts", response_class=HTMLResponse)
def list_payouts(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """The payouts of the organisation, newest first."""
    return _page(seat, cursor=cursor)


@router.post("/payouts/{payout_id}/approval")
def approve(seat: Approver, form: Form, payout_id: str) -> Response:
    """Approve what somebody else proposed."""
    try:
        with seat.writing() as session:
            found = payouts.payout_by_id(session, seat.organisation.id, ids.parse("pay", payout_id))
            payouts.approve(session, found, member_id=seat.member.id, now=seat.now)
    except NotFound:
        raise
    except CampaignError as error:
        return _page(seat, error=error)
    return seat.see("/console/payouts", done="payout_approved")


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


def _page(seat: Seat, *, cursor: str | None = None, error: CampaignError | None = None) -> HTMLResponse:
    owner = seat.organisation.id
    with seat.reading() as session:
        rows = payouts.list_payouts(session, owner, before=before(cursor), limit=SHOWN + 1)
        names = Names(session, seat.language)
        listed = [_view(session, names, one, seat) for one in rows[:SHOWN]]
    more = ids.show("cur", rows[SHOWN - 1].id) if len(rows) > SHOWN else ""
    return seat.page("console_payouts.html", error=error, payouts=listed, more=more)


def _view(session: DbSession, names: Names, payout: Payout, seat: Seat) -> dict[str, Any]:
    shares = payouts.shares_of(session, payout.id)
    return {
        "id": ids.show("pay", payout.id),
        "cause": session.get_one(Beneficiary, payout.beneficiary_id).name,
        "amount": _amount(payout.amount_minor, payout.currency, seat.language),
        "fee": _amount(payout.fee_minor, payout.currency, seat.language) if payout.fee_minor else "",
        "state": payout.state,
        "reason": payout.state_reason or "",
        "reference": payout.reference or "",
        "proposer": names.member(payout.proposed_by) or names.key(payout.proposed_by),
        "proposed_at": payout.proposed_at,
        "approver": names.member(payout.approved_by),
        "is_mine": payout.proposed_by == seat.member.id,
        "is_unknown": session.get(Member, payout.proposed_by) is None,
        "waits": payout.state == PayoutState.PROPOSED,
        "acts": sum(one.acts for one in shares if one.account is AccountKind.DUE),
        "gifts": sum(one.acts for one in shares if one.account is AccountKind.GIVEN),
    }


def _amount(minor: int, currency: str, language: str) -> str:
    return format_decimal(minor, locale=language) if currency == IN_KIND else shown(minor, currency, language)
