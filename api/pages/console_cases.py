"""The cases of all places at the console: open ones by their deadline, then all; answered and closed here."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response
from sqlmodel import Session as DbSession

from api import schemas
from api.pages.console_names import Names
from api.pages.console_session import Form, Seat, member_may
from api.pagination import before
from api.policies import MEMBER
from campaigns import care, ids
from campaigns.care import Case, Speaker
from campaigns.care.cases import TEXT_LIMIT
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.identity import Right
from campaigns.places import Place
from campaigns.planning import Campaign

router = APIRouter(prefix="/console", include_in_schema=False, dependencies=[MEMBER])
OPEN_SHOWN = 100
SHOWN = 50
Reader = Annotated[Seat, member_may(Right.CARE_READ)]
Handler = Annotated[Seat, member_may(Right.CARE_WRITE)]


@dataclass(frozen=True)
class CaseView:
    """A case in a list."""

    id: str
    reference: str
    kind: str
    state: str
    place: str
    zone: str
    opened_at: datetime
    due_at: datetime
    is_late: bool


@router.get("/cases", response_class=HTMLResponse)
def show_cases(seat: Reader, cursor: str | None = None) -> HTMLResponse:
    """Open cases, the most urgent first; then the others, newest first."""
    with seat.reading() as session:
        names, owner = Names(session, seat.language), seat.organisation.id
        waiting = care.open_cases(session, owner, limit=OPEN_SHOWN)
        rows = care.list_cases(session, owner, before=before(cursor), limit=SHOWN + 1)
        context: dict[str, Any] = {
            "waiting": [_view(session, names, one, seat.now) for one in waiting],
            "others": [_view(session, names, one, seat.now) for one in rows[:SHOWN] if not one.is_open],
        }
    more = ids.show("cur", rows[SHOWN - 1].id) if len(rows) > SHOWN else ""
    return seat.page("console_cases.html", more=more, **context)


@router.get("/cases/{case_id}", response_class=HTMLResponse)
def show_case(seat: Reader, case_id: str) -> HTMLResponse:
    """A case: what was said, by whom, and a form to answer."""
    return _page(seat, case_id)


@router.post("/cases/{case_id}/answer")
def answer(seat: Handler, form: Form, case_id: str) -> Response:
    """Answer a case, in the brand's name."""

    def act(session: DbSession, case: Case) -> None:
        care.answer(session, case, text=_clean(form["text"]), speaker=Speaker.BRAND, now=seat.now)

    return _act(seat, case_id, act, "case_answered", text=form["text"])


@router.post("/cases/{case_id}/acknowledgment")
def acknowledge(seat: Handler, form: Form, case_id: str) -> Response:
    """Tell the person that somebody read it."""
    return _act(seat, case_id, lambda session, case: care.acknowledge(session, case, now=seat.now), "case_acknowledged")


@router.post("/cases/{case_id}/closing")
def close(seat: Handler, form: Form, case_id: str) -> Response:
    """Close an answered case; its person may open it again."""
    return _act(seat, case_id, lambda session, case: care.close(session, case, now=seat.now), "case_closed")


def _act(seat: Seat, case_id: str, act: Callable[[DbSession, Case], object], done: str, *, text: str = "") -> Response:
    try:
        with seat.writing() as session:
            act(session, care.case_by_id(session, seat.organisation.id, ids.parse("cas", case_id)))
    except NotFound:
        raise
    except CampaignError as error:
        return _page(seat, case_id, error=error, text=text)
    return seat.see(f"/console/cases/{case_id}", done=done)


def _clean(text: str) -> str:
    try:
        return schemas.clean(text)
    except ValueError as error:
        raise Invalid(str(error), pointer="/text") from error


def _page(seat: Seat, case_id: str, *, error: CampaignError | None = None, text: str = "") -> HTMLResponse:
    with seat.reading() as session:
        case = care.case_by_id(session, seat.organisation.id, ids.parse("cas", case_id))
        view = _view(session, Names(session, seat.language), case, seat.now)
        said = care.messages_of(session, case.id)
    return seat.page("console_case.html", error=error, one=view, said=said, text=text, text_limit=TEXT_LIMIT)


def _view(session: DbSession, names: Names, case: Case, now: datetime) -> CaseView:
    place = session.get(Place, case.place_id) if case.place_id else None
    return CaseView(
        id=ids.show("cas", case.id),
        reference=case.reference,
        kind=case.kind,
        state=case.state,
        place=names.place(case.place_id),
        zone=place.time_zone if place else session.get_one(Campaign, case.campaign_id).time_zone,
        opened_at=case.opened_at,
        due_at=case.due_at,
        is_late=case.is_open and case.due_at < now,
    )
