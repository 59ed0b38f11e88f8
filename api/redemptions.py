"""Coupons at the till: look one up, use it once, take a mistake back; and what a place is owed for those it took."""

from collections.abc import Callable
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal

from babel.dates import format_date
from fastapi import APIRouter, Query, Response
from fastapi.responses import HTMLResponse, StreamingResponse
from pydantic import BaseModel, Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Acting, Core, Now, ReadSession, Services, Session
from api.exports import Dialect, csv_file
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import identity, ids, places, rewards
from campaigns.clock import civil_day
from campaigns.errors import NotFound
from campaigns.identity import Right
from campaigns.places import Place
from campaigns.rewards import Answer, Claim, Offer, Outcome, Redemption, Refusal
from campaigns.rewards.statement import Line, lines_of, totals, units
from campaigns.sponsorship import money

router = APIRouter(prefix="/v1", tags=["rewards"])
Word = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[\x21-\x7e]+$")]
Amount = Annotated[int, Field(strict=True, ge=0, le=schemas.MAX_INT)]
DAYS = 31  # of a statement that names no days
_OFFERED = ("title", "restrictions", "product")
_AS_IT_IS = ("outcome", "reason", "device", "choice", "basket_minor", "occurred_at", "recorded_at", "rolled_back_at")
COLUMNS = ("day", "offer_id", "offer", "coupons", "kept", "given", "due", "given_value", "currency")


class UseRead(BaseModel):
    """The use of a coupon that stands: when, and in which shop."""

    redeemed_at: datetime
    place: str


class OfferedRead(BaseModel):
    """What a coupon is for."""

    id: str
    title: dict[str, str]
    restrictions: dict[str, str] | None
    product: str


class CouponLook(BaseModel):
    """What a coupon is worth at a place, as a till asks before it uses it.

    `deduct_minor` comes off the basket: nothing when its person gives the value away (`choice`). `reason` is what a use
    would be told, null when it is good.
    """

    id: str
    valid: bool
    reason: Refusal | None
    offer: OfferedRead
    value: schemas.Money | None
    choice: str
    deduct_minor: int
    valid_from: datetime | None
    expires_at: datetime | None
    used: UseRead | None


class RedemptionCreate(schemas.Request):
    """A use. `device` and `nonce` name the purchase: sent again it gets the same answer, and takes one coupon.

    `occurred_at` is of a till that was without network: when it took the coupon, at most seven days back.
    """

    code: schemas.Name
    place_id: schemas.Name
    device: Word
    nonce: Word
    occurred_at: schemas.Instant | None = None
    basket_minor: Amount | None = None


class RedemptionRead(BaseModel):
    """What a till was told. `used`, of one refused as `already_redeemed`: the use that stands.

    `conflict`: a till without network took the coupon, and another had it already.
    """

    id: str
    outcome: Outcome
    reason: Refusal | None
    place_id: str
    device: str
    offer: OfferedRead | None
    choice: str | None
    value: schemas.Money | None
    deduct_minor: int
    basket_minor: int | None
    occurred_at: datetime
    recorded_at: datetime
    conflict: bool
    used: UseRead | None = None
    rolled_back_at: datetime | None


class LineRead(BaseModel):
    """An offer's coupons of a day. Kept ones are owed to the shop, given ones to the cause."""

    day: date
    offer_id: str
    title: dict[str, str]
    coupons: int
    kept: int
    given: int
    due_minor: int | None
    given_minor: int | None
    currency: str | None


class OwedRead(BaseModel):
    """What is owed in a currency: to the shop, and to causes."""

    currency: str
    due_minor: int
    given_minor: int


class StatementRead(BaseModel):
    """What a place took from a day to another, both included, and what it is owed. `conflicts`: told, not owed."""

    place_id: str
    place: str
    since: date
    until: date
    lines: list[LineRead]
    totals: list[OwedRead]
    conflicts: list[RedemptionRead]


def show(one: Redemption, offer: Offer | None, answer: Answer | None = None) -> RedemptionRead:
    keeps = one.outcome == Outcome.ACCEPTED and one.choice == rewards.Choice.KEEP
    used = None
    if answer is not None and answer.other is not None:
        used = UseRead(redeemed_at=answer.other.occurred_at, place=answer.other_place or "")
    return RedemptionRead(
        id=ids.show("rdm", one.id),
        place_id=ids.show("plc", one.place_id),
        offer=_offered(offer),
        value=_money(one.value_minor, one.currency),
        deduct_minor=(one.value_minor or 0) if keeps else 0,
        conflict=one.is_offline and one.reason == Refusal.ALREADY_REDEEMED,
        used=used,
        **{name: getattr(one, name) for name in _AS_IT_IS},
    )


@router.get("/coupons/{code}", dependencies=[may(Right.COUPONS_REDEEM, placed=True)])
def look_up(
    code: Annotated[str, schemas.AfterValidator(schemas.clean)],
    place_id: str,
    actor: Actor,
    session: ReadSession,
    now: Now,
) -> CouponLook:
    """What is behind a code at a place: product, value and validity. Consumes nothing.

    404 `unknown_coupon` for what is no coupon of the organisation, 422 `unreadable_code` for what cannot be a code.
    """
    place = _place(session, actor, place_id)
    found = rewards.look_up(session, place, code, now=now)
    coupon, offer = found.coupon, found.offer
    if coupon is None or offer is None:
        raise NotFound("There is no such coupon. Read its code again.", code="unknown_coupon")
    used = None
    if found.used is not None:
        used = UseRead(redeemed_at=found.used.occurred_at, place=found.used_at_place or "")
    return CouponLook(
        id=ids.show("cpn", coupon.id),
        valid=found.refusal is None,
        reason=found.refusal,
        offer=OfferedRead(**_of(offer)),
        value=_money(offer.face_value_minor, offer.currency),
        choice=coupon.choice,
        deduct_minor=found.deduct_minor,
        valid_from=offer.valid_from,
        expires_at=coupon.expires_at,
        used=used,
    )


@router.post(
    "/redemptions",
    dependencies=[may(Right.COUPONS_REDEEM, placed=True)],
    status_code=201,
    responses={200: {"model": RedemptionRead, "description": "Refused, with the reason"}},
)
def redeem(body: RedemptionCreate, actor: Actor, session: Session, now: Now, response: Response) -> RedemptionRead:
    """Use a coupon, once. 201 accepted; 200 refused, with the reason and, where it was used, when and where.

    Sent again with the same device and nonce it gets the same answer. 409 `one_coupon_a_purchase` for another coupon
    under them. A till that was without network sends `occurred_at`: dates are judged by it, and who was here first
    keeps the coupon.
    """
    answer = _use(session, actor, body, now)
    response.status_code = _status_of(answer)
    return show(answer.redemption, answer.offer, answer)


def redeem_at_once(core: Services, body: RedemptionCreate, ask: Callable[[DbSession], Acting]) -> Response:
    """The same past the framework (`crowds`): `ask` is who acts, or Forbidden."""
    now = core.clock()
    with core.database.transaction() as session:
        actor = ask(session)
        session.info["author"] = actor.author
        answer = _use(session, actor, body, now)
    shown = show(answer.redemption, answer.offer, answer)
    return Response(shown.model_dump_json(), _status_of(answer), media_type="application/json")


@router.get("/redemptions", dependencies=[may(Right.REWARDS_READ, placed=True)])
def list_redemptions(
    place_id: str, actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None
) -> Page:
    """What tills of a place sent and were told, newest first."""
    place = _place(session, actor, place_id)
    rows = rewards.list_redemptions(session, place, before=before(cursor), limit=limit + 1)
    offers = rewards.offers_of(session, [one.offer_id for one in rows if one.offer_id])
    return page(rows, limit, lambda one: show(one, offers.get(one.offer_id)), lambda one: one.id)  # type: ignore[arg-type]  # None finds none


@router.post("/redemptions/{redemption_id}/rollback", dependencies=[may(Right.COUPONS_ROLL_BACK, placed=True)])
def roll_back(redemption_id: str, actor: Actor, session: Session, now: Now) -> RedemptionRead:
    """Take a mistaken use back: the coupon is good again. Once a coupon, the same civil day of the place.

    409 `not_today`, `rolled_back_before`, or `not_accepted` for what was refused.
    """
    found = rewards.redemption_by_id(session, actor.organisation_id, ids.parse("rdm", redemption_id))
    actor.require_place(found.place_id, "redemption")
    place = places.place_by_id(session, actor.organisation_id, found.place_id)
    done = rewards.roll_back(session, place, found.id, by=ids.show("key", actor.key_id), now=now)
    return show(done, rewards.offers_of(session, [done.offer_id]).get(done.offer_id))  # type: ignore[list-item, arg-type]  # an accepted one has it


_DAYS: Any = {"ge": date(2000, 1, 1), "lt": date(2100, 1, 1)}
Since = Annotated[date | None, Query(**_DAYS, description="the first day, of the place")]
Until = Annotated[date | None, Query(**_DAYS, description="the last day, included")]


@router.get("/places/{place_id}/coupon-statement", dependencies=[may(Right.REWARDS_READ, placed=True)])
def read_statement(
    place_id: str, actor: Actor, session: ReadSession, now: Now, since: Since = None, until: Until = None
) -> StatementRead:
    """Coupons a place took, and what it is owed, by day and offer, oldest first; the last 31 days unless told."""
    place = _place(session, actor, place_id)
    first, last = _days(place, since, until, now)
    lines = lines_of(session, place, since=first, until=last)
    return StatementRead(
        place_id=ids.show("plc", place.id),
        place=place.name,
        since=first,
        until=last,
        lines=[LineRead(offer_id=ids.show("off", one.offer_id), **_line(one)) for one in lines],
        totals=[OwedRead(currency=name, due_minor=a, given_minor=b) for name, (a, b) in sorted(totals(lines).items())],
        conflicts=[show(one, None) for one in rewards.conflicts(session, place)],
    )


@router.get(
    "/places/{place_id}/coupon-statement.csv",
    dependencies=[may(Right.REWARDS_READ, placed=True)],
    response_class=StreamingResponse,
)
def export_statement(
    place_id: str,
    actor: Actor,
    session: ReadSession,
    now: Now,
    since: Since = None,
    until: Until = None,
    dialect: Dialect = Dialect.PLAIN,
) -> StreamingResponse:
    """The same as CSV: `due` and `given_value` in units of the currency. `excel-fr`: semicolons and decimal commas."""
    place = _place(session, actor, place_id)
    first, last = _days(place, since, until, now)
    comma = "," if dialect is Dialect.EXCEL_FR else "."
    rows = [_row(one, comma) for one in lines_of(session, place, since=first, until=last)]
    return csv_file(f"coupons-{ids.show('plc', place.id)}-{first}-{last}", COLUMNS, [rows], dialect=dialect)


@router.get(
    "/places/{place_id}/coupon-statement.html",
    dependencies=[may(Right.REWARDS_READ, placed=True)],
    response_class=HTMLResponse,
)
def print_statement(
    place_id: str,
    actor: Actor,
    session: ReadSession,
    core: Core,
    now: Now,
    since: Since = None,
    until: Until = None,
    lang: Literal["fr", "en"] = "fr",
) -> HTMLResponse:
    """The same as a page to print, in French or English."""
    place = _place(session, actor, place_id)
    first, last = _days(place, since, until, now)
    lines = lines_of(session, place, since=first, until=last)
    issuer = identity.organisation_by_id(session, actor.organisation_id)
    html = core.renderer.page(
        "coupon_statement.html",
        lang,
        brand=issuer.name,
        place=place,
        issuer=issuer,
        since=first,
        until=last,
        lines=lines,
        totals=sorted(totals(lines).items()),
        shown=lambda amount, currency: money.shown(amount, currency, lang),
        day=lambda one: format_date(one, "long", locale=lang),
    )
    return HTMLResponse(html)


def _use(session: DbSession, actor: Acting, body: RedemptionCreate, now: datetime) -> Answer:
    place = _place(session, actor, body.place_id)
    claim = Claim(body.code, body.device, body.nonce, body.occurred_at, body.basket_minor)
    return rewards.redeem(session, place, claim, now=now)


def _status_of(answer: Answer) -> int:
    return 200 if answer.redemption.outcome == Outcome.REFUSED else 201


def _place(session: DbSession, actor: Acting, name: str) -> Place:
    place = places.place_as_it_stands(session, actor.organisation_id, name)
    actor.require_place(place.id)
    return place


def _days(place: Place, since: date | None, until: date | None, now: datetime) -> tuple[date, date]:
    last = until or civil_day(now, place.time_zone)
    return since or last - timedelta(days=DAYS - 1), last


def _line(line: Line) -> dict[str, Any]:
    return {name: getattr(line, name) for name in LineRead.model_fields if name != "offer_id"}


def _row(line: Line, comma: str) -> dict[str, str]:
    def worth(amount: int | None) -> str:
        return "" if amount is None or line.currency is None else units(amount, line.currency, comma)

    return {
        "day": line.day.isoformat(),
        "offer_id": ids.show("off", line.offer_id),
        "offer": next(iter(line.title.values())),
        "coupons": str(line.coupons),
        "kept": str(line.kept),
        "given": str(line.given),
        "due": worth(line.due_minor),
        "given_value": worth(line.given_minor),
        "currency": line.currency or "",
    }


def _of(offer: Offer) -> dict[str, Any]:
    return {"id": ids.show("off", offer.id)} | {name: getattr(offer, name) for name in _OFFERED}


def _offered(offer: Offer | None) -> OfferedRead | None:
    return OfferedRead(**_of(offer)) if offer is not None else None


def _money(amount_minor: int | None, currency: str | None) -> schemas.Money | None:
    return (
        schemas.Money(amount_minor=amount_minor, currency=currency) if amount_minor is not None and currency else None
    )
