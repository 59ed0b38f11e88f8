"""Telling the shop something: a case with a deadline, followed by a link, without an account; and appeals."""

from datetime import datetime
from typing import Annotated, Any, NamedTuple
from urllib.parse import quote, urlencode
from uuid import UUID, uuid4

from babel.dates import format_datetime
from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import (
    Tongue,
    case_link,
    cookie_of,
    cookies_of,
    entry_of,
    is_young,
    language_for,
    mission_named,
    moved,
    objected,
    onward,
    visitor_key,
)
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import care, clock, community, ids, missions, participants
from campaigns.care import Case, CaseKind
from campaigns.care.cases import TEXT_LIMIT, UNDER_AGE
from campaigns.errors import CampaignError, Forbidden, Invalid, NotFound
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
Code = Annotated[str, Field(max_length=64, description="the code of a place, as it is printed there")]
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]


class CaseCreate(schemas.Request):
    """What a person tells the shop. `client_id` is made on the phone: a repeat gets the first answer."""

    text: schemas.Text = Field("", max_length=20_000)
    code: Code | None = None
    client_id: ClientId | None = None


class AppealCreate(schemas.Request):
    """Against what, and why: a visit's verdict (`chk_...`) or a moderator's act (`mod_...`)."""

    subject: str = Field(max_length=60)
    text: schemas.Text = Field("", max_length=20_000)


class ReopeningCreate(schemas.Request):
    """Why the answer was not enough."""

    text: schemas.Text = Field("", max_length=20_000)


class Where(NamedTuple):
    """Whom a case goes to."""

    campaign: Campaign
    mission: Mission | None
    place: Place | None


@router.get("/m/{mission}/cases/new", response_class=HTMLResponse)
def mission_form(
    request: Request,
    core: Core,
    mission: MissionName,
    code: Annotated[str, Query(max_length=64)] = "",
    lang: Tongue = None,
) -> HTMLResponse:
    """The form to tell the shop something; with the code of a place, that shop."""
    return _form_page(request, core, mission, code, lang=lang)


@router.get("/say/{code}", response_class=HTMLResponse)
def code_form(
    request: Request, core: Core, code: Annotated[str, Path(max_length=64)], lang: Tongue = None
) -> HTMLResponse:
    """The same, for where a code hangs: what the scan page leads to."""
    return _form_page(request, core, None, code, lang=lang)


@router.post("/m/{mission}/cases", status_code=201)
async def tell_mission(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Open a case. Form or JSON `text` (1 to 2,000 characters), optional `code` of a place, optional `client_id`.

    JSON answer `{id, reference, state, due_at, url}`: whoever has the url follows the case. It is due at the closing
    of the place's second opening day. 429 beyond five cases of a phone and day.
    """
    return await _tell(request, core, mission, "", now)


@router.post("/say/{code}", status_code=201)
async def tell_place(request: Request, core: Core, code: Annotated[str, Path(max_length=64)], now: Now) -> Response:
    """The same, where a code hangs."""
    return await _tell(request, core, None, code, now)


@router.get("/cases/{reference}/{secret}", response_class=HTMLResponse)
def follow(
    request: Request,
    core: Core,
    reference: Annotated[str, Path(max_length=20)],
    secret: Annotated[str, Path(max_length=64)],
    lang: Tongue = None,
) -> HTMLResponse:
    """Where a case stands: what was said, until when an answer is due. The secret in the link is the key to it."""
    return _case_page(request, core, reference, secret, lang=lang)


@router.post("/cases/{reference}/{secret}/reopening")
async def reopen(
    request: Request,
    core: Core,
    reference: Annotated[str, Path(max_length=20)],
    secret: Annotated[str, Path(max_length=64)],
    now: Now,
) -> Response:
    """Say that an answer was not enough: the case opens again, with a new deadline. Form or JSON `text`."""
    require_same_site(request)
    try:
        asked = await read_fields(request, ReopeningCreate)
        return await run_in_threadpool(_reopen, request, core, reference, secret, asked, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or isinstance(error, NotFound):
            raise
        return await run_in_threadpool(_case_page, request, core, reference, secret, error=error)


@router.post("/me/appeals", status_code=201)
async def appeal(request: Request, core: Core, now: Now) -> Response:
    """Appeal against a verdict (`chk_...`) or a moderator's act (`mod_...`) on what this phone's person did: a case.

    Form or JSON `subject`, `text`. Once an act: a repeat gets the first answer.
    """
    require_same_site(request)
    try:
        asked = await read_fields(request, AppealCreate)
        return await run_in_threadpool(_appeal, request, core, asked, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or isinstance(error, NotFound):
            raise
        return await run_in_threadpool(_appeal_again, request, core, error)


async def _tell(request: Request, core: Services, mission: str | None, code: str, now: datetime) -> Response:
    require_same_site(request)
    try:
        asked = await read_fields(request, CaseCreate)
        return await run_in_threadpool(_open, request, core, mission, asked.code or code, asked, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or isinstance(error, NotFound):
            raise
        return await run_in_threadpool(_again, request, core, mission, code, error)


def _open(
    request: Request, core: Services, mission: str | None, code: str, asked: CaseCreate, now: datetime
) -> Response:
    if is_young(request):
        raise Forbidden(UNDER_AGE, code="under_age_text")
    key = visitor_key(request, now, "case")
    with core.database.snapshot() as session:
        where = _where(core, session, mission, code)
    with core.database.transaction() as session:
        person = missions.recognise(
            session, where.campaign, cookie_of(request, where.campaign), objected=objected(request), to_act=True
        )
        done = care.open_case(
            session,
            where.campaign,
            mission_id=where.mission.id if where.mission else None,
            place=where.place,
            text=asked.text,
            person=person,
            sender_key=key,
            client_id=asked.client_id or str(uuid4()),
            language=language_for(request, None),
            now=now,
        )
    return _opened(request, core, done.case)


def _opened(request: Request, core: Services, case: Case) -> Response:
    path = case_link(core, case)
    body = {
        "id": ids.show("cas", case.id),
        "reference": case.reference,
        "state": case.state,
        "due_at": case.due_at.isoformat(),
        "url": f"{core.settings.base_url}{path}",
    }
    return moved(request, path, body, status=201)


def _where(core: Services, session: DbSession, mission: str | None, code: str) -> Where:
    """The mission of the address, and the place of the code; a code of another campaign is not found."""
    entry = entry_of(core, code) if code else None
    if mission is None:
        if entry is None:
            raise NotFound("We do not know this code.", code="unknown_code")
        return Where(entry.campaign, missions.mission_of(session, entry.campaign.id), entry.place)
    found = mission_named(session, mission)
    campaign = session.get_one(Campaign, found.campaign_id)
    if entry is not None and entry.campaign.organisation_id != campaign.organisation_id:
        raise NotFound("We do not know this code.", code="unknown_code")
    return Where(campaign, found, entry.place if entry else None)


def _reopen(
    request: Request, core: Services, reference: str, secret: str, asked: ReopeningCreate, now: datetime
) -> Response:
    with core.database.transaction() as session:
        case = _case(core, session, reference, secret)
        case = care.reopen(session, case, text=asked.text, now=now)
    body = {"reference": case.reference, "state": case.state, "due_at": case.due_at.isoformat()}
    return moved(request, f"/cases/{reference}/{secret}", body)


def _case(core: Services, session: DbSession, reference: str, secret: str) -> Case:
    return care.case_by_link(session, reference, secret, key=core.keyring.derive("case-link"))


def _appeal(request: Request, core: Services, asked: AppealCreate, now: datetime) -> Response:
    key = visitor_key(request, now, "case")
    with core.database.transaction() as session:
        person, kind, subject_id, mission, place = _contested(session, request, asked.subject)
        done = care.open_case(
            session,
            session.get_one(Campaign, mission.campaign_id) if isinstance(mission, Mission) else mission,
            mission_id=mission.id if isinstance(mission, Mission) else None,
            place=place,
            kind=kind,
            subject_id=subject_id,
            text=asked.text,
            person=person,
            sender_key=key,
            client_id=f"appeal-{subject_id.hex}",
            language=language_for(request, None),
            now=now,
        )
    return _opened(request, core, done.case)


def _appeal_again(request: Request, core: Services, error: Exception) -> HTMLResponse:
    """The appeal once more, with what was typed and why it was not taken."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    page = core.renderer.page(
        "appeal.html",
        language_for(request, None),
        subject=str(typed.get("subject", ""))[:60],
        text=str(typed.get("text", "")),
        text_limit=TEXT_LIMIT,
        action=onward(request, "/me/appeals"),
        problem=_message(request, core, error),
        other_lang_url="",
    )
    status = status_of(error) if isinstance(error, CampaignError) else 422
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})


def _contested(
    session: DbSession, request: Request, name: str
) -> tuple[Participant, CaseKind, UUID, Mission | Campaign, Place | None]:
    """What a person of this phone appeals against, if it is theirs; NotFound for everything else."""
    people = [participants.recognise(session, one, to_act=True) for one in cookies_of(request).values()]
    mine = {one.id: one for one in people if one is not None}
    prefix = name.partition("_")[0]
    if prefix == "chk":
        visit = session.get(CheckIn, ids.parse("chk", name))
        if visit is not None and visit.participant_id in mine:
            place = session.get(Place, visit.place_id) if visit.place_id else None
            campaign = session.get_one(Campaign, visit.campaign_id)
            return mine[visit.participant_id], CaseKind.VERDICT, visit.id, campaign, place
    if prefix == "mod":
        found = community.author_of_act(session, ids.parse("mod", name))
        if found is not None and found[1] in mine:
            act, author = found
            return mine[author], CaseKind.MODERATION, act.id, session.get_one(Mission, act.mission_id), None
    raise NotFound("There is nothing of yours to appeal against.")


def _message(request: Request, core: Services, error: Exception) -> str:
    language = language_for(request, None)
    if isinstance(error, CampaignError) and not (isinstance(error, Invalid) and error.code == "invalid"):
        return core.renderer.sentence(language, error.code, error.detail)
    return core.renderer.word(language, "The text has characters that cannot be taken. Write it anew, please.")


def _again(request: Request, core: Services, mission: str | None, code: str, error: Exception) -> HTMLResponse:
    """The form once more, with what was typed and why it was not taken."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    code = code or str(typed.get("code", ""))[:64]
    page = _form_page(
        request,
        core,
        mission,
        code,
        problem=_message(request, core, error),
        text=str(typed.get("text", "")),
        client_id=str(typed.get("client_id", "")),
    )
    page.status_code = status_of(error) if isinstance(error, CampaignError) else 422
    if isinstance(error, CampaignError):
        page.headers.update(problems.headers_of(error))
    return page


def _form_page(
    request: Request,
    core: Services,
    mission: str | None,
    code: str,
    *,
    lang: str | None = None,
    problem: str = "",
    text: str = "",
    client_id: str = "",
) -> HTMLResponse:
    language = language_for(request, lang)
    with core.database.snapshot() as session:
        where = _where(core, session, mission, code)
        house = views.house(session, where.campaign.organisation_id)
    action = (
        f"/say/{quote(code, safe='')}" if mission is None else f"/m/{where.mission.slug if where.mission else ''}/cases"
    )
    page = core.renderer.page(
        "case_new.html",
        language,
        **house,
        place=where.place,
        mission=where.mission,
        code=code if mission is not None else "",
        action=onward(request, action),
        problem=problem,
        text=text,
        client_id=client_id or str(uuid4()),
        text_limit=TEXT_LIMIT,
        is_young=is_young(request),
        other_lang_url=_other_language(request, language, code if mission else ""),
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _other_language(request: Request, language: str, code: str) -> str:
    if request.method != "GET":
        return ""
    kept = {"code": code} if code else {}
    return f"{request.url.path}?{urlencode(kept | {'lang': 'en' if language == 'fr' else 'fr'})}"


def _case_page(
    request: Request,
    core: Services,
    reference: str,
    secret: str,
    *,
    lang: str | None = None,
    error: Exception | None = None,
) -> HTMLResponse:
    language = language_for(request, lang)
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    with core.database.snapshot() as session:
        case = _case(core, session, reference, secret)
        place = session.get(Place, case.place_id) if case.place_id else None
        zone = place.time_zone if place else session.get_one(Campaign, case.campaign_id).time_zone
        house = views.house(session, case.organisation_id)
        said = care.messages_of(session, case.id)

    def at(instant: datetime, pattern: str) -> str:
        return format_datetime(instant, pattern, tzinfo=clock.zone(zone), locale=language)

    path = f"/cases/{reference}/{secret}"
    page = core.renderer.page(
        "case.html",
        language,
        **house,
        case=case,
        place=place,
        lines=[(one.speaker, one.text, at(one.written_at, "d MMMM, HH:mm")) for one in said],
        due=at(case.due_at, "EEEE d MMMM, HH:mm"),
        action=onward(request, f"{path}/reopening"),
        problem=_message(request, core, error) if error else "",
        text=str(typed.get("text", "")) if error else "",
        text_limit=TEXT_LIMIT,
        other_lang_url=f"{path}?lang={'en' if language == 'fr' else 'fr'}",
    )
    status = status_of(error) if isinstance(error, CampaignError) else 422 if error else 200
    return HTMLResponse(page, status, headers={"Cache-Control": "no-store"})
