"""What a shopper's phone sees beyond the scan itself: typing a code, checking in, the mission, ideas, and `/me`."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID, uuid4

from babel.dates import format_date, format_datetime
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from sqlmodel import col, select
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.render import act_form, kept_language, language_of, local
from api.problems import PROBLEMS, status_of, status_of_code
from api.scan import seal_position
from api.scan_fields import position_of
from campaigns import community, ids, missions, participants, scans, tokens
from campaigns.clock import zone
from campaigns.errors import CampaignError, Conflict, Invalid, NotFound
from campaigns.missions import CheckedIn, Ground, Mission, StepOutcome
from campaigns.participants import Participant
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.scans import CheckIn, Position, Receipt
from campaigns.scans.service import phase_of
from campaigns.tokens import codes, qr
from campaigns.tokens.directory import Entry
from campaigns.tokens.models import Medium, Token

router = APIRouter(tags=["phones"])
Answer = TypeVar("Answer")
COOKIE_LIFE_S = 400 * 86_400  # what browsers allow at most
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
Tongue = Annotated[str | None, Query(description="fr or en")]


class CheckInCreate(schemas.Request):
    """The offline act: the receipt of the scan, and what proves presence, if anything."""

    receipt: str = Field(max_length=200)
    lat: schemas.FormNumber | None = None
    lon: schemas.FormNumber | None = None
    accuracy_m: schemas.FormNumber | None = None
    age_s: schemas.FormNumber | None = None
    till_code: schemas.Text | None = Field(None, max_length=20)
    occurred_at: schemas.Instant | None = None


class JoinCreate(schemas.Request):
    """Joining needs nothing but the wish to."""

    client_id: ClientId | None = None


class IdeaCreate(schemas.Request):
    """An idea. `client_id` is made on the phone: a repeat gets the first answer."""

    text: schemas.Text = Field("", max_length=20_000)
    client_id: ClientId | None = None


@router.get("/", response_class=HTMLResponse, include_in_schema=False)
def home(request: Request, core: Core, lang: Tongue = None) -> HTMLResponse:
    """A field for the code printed beneath the QR."""
    page = core.renderer.page("home.html", _language(request, lang), code="", error="")
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/find", response_class=HTMLResponse, include_in_schema=False)
def find(request: Request, core: Core, code: Annotated[str, Query(max_length=200)] = "") -> Response:
    """The typed code, on to its page; unreadable ones come back with what was typed."""
    found = codes.normalise(code)
    if found is None:
        language = _language(request, None)
        page = core.renderer.page(
            "home.html",
            language,
            code=code[:40],
            error=_unreadable(core, language),
            other_lang_url=f"/?lang={'en' if language == 'fr' else 'fr'}",
        )
        return HTMLResponse(page, 422, headers={"Cache-Control": "no-store"})
    return RedirectResponse(_onward(request, f"/t/{found}"), 303)


@router.post("/t/{code}/check-in", status_code=200)
@router.post("/T/{code}/check-in", include_in_schema=False)
async def check_in(request: Request, core: Core, code: str, now: Now) -> Response:
    """The offline act, once per scan: a replay returns the first answer.

    Form or JSON `receipt`, optional `lat, lon, accuracy_m, age_s`, optional `till_code` (five tries a receipt),
    optional `occurred_at`. Sets the participant cookie. Form: 303 to the mission page.
    """
    require_same_site(request)
    asked = await read_fields(request, CheckInCreate)
    return await run_in_threadpool(_check_in, request, core, code, asked, now)


def _check_in(request: Request, core: Services, code: str, asked: CheckInCreate, now: datetime) -> Response:
    entry = _entry(core, code)
    receipt = core.receipts.read(asked.receipt, token_id=entry.token_id)
    position = _position(asked)
    language = _language(request, None)
    ground = _ground(core, receipt, entry)
    right = False
    if asked.till_code and ground.first is None:
        with core.database.transaction() as session:
            right = scans.try_till_code(session, receipt, entry.place, asked.till_code, key=core.till_key, now=now)
        if not right:
            return _wrong_till_code(request, core, entry, asked, language, now)

    def act() -> CheckedIn:
        with core.database.transaction() as session:
            return missions.check_in(
                session,
                receipt,
                entry,
                ground,
                cookie=_cookie(request, entry.campaign.organisation_id),
                language=language,
                position=position,
                seal=lambda fix: seal_position(core, fix),
                till_code_was_right=right,
                occurred_at=asked.occurred_at,
                now=now,
            )

    try:
        done = act()
    except Conflict as error:
        if error.code != "already_checked_in":
            raise
        ground = _ground(core, receipt, entry)  # its twin was first: the same answer
        done = act()
    answer = _checked_in(request, done)
    if done.secret:
        _set_cookie(answer, core, entry.campaign.organisation_id, done.secret)
    return answer


@router.get("/m/{mission}", response_class=HTMLResponse)
def mission_page(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    mission: MissionName,
    lang: Tongue = None,
    just: Annotated[str, Query(pattern="^(checked_in|joined|idea|already|waiting|noted|)$")] = "",
) -> HTMLResponse:
    """The public mission page: promise, progress, ideas, ways to act."""
    found = _mission(session, mission)
    return _mission_page(request, core, session, found, now, lang=lang, just=just)


@router.post("/m/{mission}/join")
async def join(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Take part: makes a pseudonymous participant and sets the cookie. Twice is once."""
    require_same_site(request)
    await read_fields(request, JoinCreate)
    return await run_in_threadpool(_join, request, core, mission, now)


def _join(request: Request, core: Services, mission: str, now: datetime) -> Response:
    with core.database.transaction() as session:
        found = _mission(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        phase = missions.require_open(campaign, now=now)
        cookie = _cookie(request, found.organisation_id)
        person, secret = missions.recognise_or_join(
            session, campaign, cookie, language=_language(request, None), now=now
        )
        missions.take_part(session, found, person, phase=phase, now=now)
    body = {"participant": _participant(person)}
    answer = _moved(request, f"/m/{found.slug}?just=joined", body)
    if secret:
        _set_cookie(answer, core, found.organisation_id, secret)
    return answer


@router.post("/m/{mission}/ideas", status_code=201)
async def post_idea(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Give an idea. Form or JSON `text` (1 to 500 characters), optional `client_id`: a repeat gets the first answer."""
    require_same_site(request)
    asked = await read_fields(request, IdeaCreate)
    return await run_in_threadpool(_post_idea, request, core, mission, asked, now)


def _post_idea(request: Request, core: Services, mission: str, asked: IdeaCreate, now: datetime) -> Response:
    client_id = asked.client_id or str(uuid4())
    language = _language(request, None)

    def act() -> tuple[Mission, Participant, str | None, community.Posted]:
        with core.database.transaction() as session:
            found = _mission(session, mission)
            campaign = session.get_one(Campaign, found.campaign_id)
            cookie = _cookie(request, found.organisation_id)
            person, secret = missions.recognise_or_join(session, campaign, cookie, language=language, now=now)
            posted = community.post_idea(
                session, found, campaign, person, text=asked.text, client_id=client_id, language=language, now=now
            )
            return found, person, secret, posted

    try:
        found, person, secret, posted = _after_its_twin("already_posted", act)
    except CampaignError as error:
        if wants_json(request) or isinstance(error, NotFound):
            raise
        return _idea_again(request, core, mission, asked, error, now)
    idea = posted.idea
    body = {"id": ids.show("ide", idea.id), "text": idea.text, "state": idea.state, "participant": _participant(person)}
    answer = _moved(request, f"/m/{found.slug}?just=idea", body, status=201)
    if secret:
        _set_cookie(answer, core, found.organisation_id, secret)
    return answer


@router.get("/me", response_class=HTMLResponse)
def me(request: Request, core: Core, session: ReadSession, lang: Tongue = None) -> HTMLResponse:
    """What this phone holds: its missions, visits and ideas."""
    language = _language(request, lang)
    people = [
        person
        for name, secret in request.cookies.items()
        if name.startswith("passerelle_p_") and (person := participants.recognise(session, secret))
    ]
    context = _holdings(core, session, people, language)
    page = core.renderer.page("me.html", language, js=core.renderer.script("shopper.js"), **context)
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/posters/{code}", response_class=HTMLResponse, include_in_schema=False)
def poster(request: Request, core: Core, session: ReadSession, code: str, lang: Tongue = None) -> HTMLResponse:
    """A sheet to print: promise, QR, short address and the code in letters."""
    entry = _entry(core, code)
    token = session.get_one(Token, entry.token_id)
    mission = missions.mission_of(session, entry.campaign.id)
    base = core.settings.base_url
    svg = core.gallery.drawn(token.url(base), qr.Look(), qr.Format.SVG, qr.Size(module_px=10)).decode()
    also_nfc = any(
        one.medium == Medium.NFC
        for one in (tokens.tokens_of_place(session, entry.place.id) if entry.place else ())
        if one.campaign_id == entry.campaign.id
    )
    page = core.renderer.page(
        "poster.html",
        _language(request, lang),
        brand=views.brand(session, entry.campaign.organisation_id),
        title=mission.title if mission else entry.campaign.name,
        promise=mission.promise if mission else "",
        place=entry.place or "",
        qr_svg=svg[svg.index("<svg") :],
        short_url=base.partition("://")[2],
        code_grouped=codes.grouped(entry.code),
        nfc=also_nfc,
    )
    return HTMLResponse(page)


@router.get("/problems/{code}", response_class=HTMLResponse)
def problem_page(request: Request, core: Core, code: str, lang: Tongue = None) -> HTMLResponse:
    """What one problem code means."""
    if code not in PROBLEMS:
        raise NotFound("There is no such problem code.")
    title, explanation = PROBLEMS[code]
    page = core.renderer.page(
        "problem.html",
        _language(request, lang),
        code=code,
        title=title,
        explanation=explanation,
        status=status_of_code(code),
    )
    return HTMLResponse(page)


def _after_its_twin(code: str, act: Callable[[], Answer]) -> Answer:
    """Act; when the same act arrived twice at once and the other was first, again, for the answer it got."""
    try:
        return act()
    except Conflict as error:
        if error.code != code:
            raise
    return act()


def _ground(core: Services, receipt: Receipt, entry: Entry) -> Ground:
    with core.database.snapshot() as session:
        return missions.ground_of(session, receipt, entry)


def _checked_in(request: Request, done: CheckedIn) -> Response:
    check = done.check_in
    body = {
        "participant": _participant(done.person),
        "presence": check.presence,
        "verdict": check.verdict,
        "reasons": [reason for reason in check.reasons.split(",") if reason],
        "steps": [_outcome(one) for one in done.outcomes],
    }
    just = _just(done)
    url = f"/m/{done.mission.slug}?just={just}" if done.mission else "/me"
    return _moved(request, url, body)


def _just(done: CheckedIn) -> str:
    """What the next page says of the act: never that it counts when it does not."""
    if done.is_replay:
        return "already"
    if done.check_in.verdict == scans.Verdict.HELD:
        return "waiting"
    moved = done.check_in.counted or any(one.outcome in ("verified", "already") for one in done.outcomes)
    return "checked_in" if moved else "noted"


def _outcome(one: StepOutcome) -> dict[str, Any]:
    shown = {"id": ids.show("stp", one.step.id), "kind": one.step.kind, "state": one.outcome}
    return shown | ({"reason": one.reason} if one.reason else {})


def _wrong_till_code(
    request: Request, core: Services, entry: Entry, asked: CheckInCreate, language: str, now: datetime
) -> Response:
    if wants_json(request):
        detail = "This is not the code of the moment. It changes every 30 seconds: read it again."
        raise Invalid(detail, code="till_code_wrong", pointer="/till_code")
    page = request.app.state.pages.render(
        entry,
        entry.state_at(now),
        language,
        till_error=core.renderer.sentence(language, "till_code_wrong"),
        till_value=(asked.till_code or "")[:9],
    )
    lang = kept_language(language, request.headers.get("accept-language", ""))
    html = page.plain(act_form(entry.code, asked.receipt.encode(), lang))
    return HTMLResponse(html, 422, headers={"Cache-Control": "no-store"})


def _idea_again(
    request: Request, core: Services, mission: str, asked: IdeaCreate, error: CampaignError, now: datetime
) -> Response:
    """The mission page once more, with what was typed and why it was not taken."""
    text = core.renderer.sentence(_language(request, None), error.code, error.detail)
    with core.database.snapshot() as session:
        found = _mission(session, mission)
        page = _mission_page(
            request, core, session, found, now, idea_error=text, idea_text=asked.text, client_id=asked.client_id
        )
    page.status_code = status_of(error)
    return page


def _mission_page(
    request: Request,
    core: Services,
    session: DbSession,
    mission: Mission,
    now: datetime,
    *,
    lang: str | None = None,
    just: str = "",
    idea_error: str = "",
    idea_text: str = "",
    client_id: str | None = None,
) -> HTMLResponse:
    language = _language(request, lang)
    campaign = session.get_one(Campaign, mission.campaign_id)
    phase = phase_of(campaign.state)
    person = participants.recognise(session, _cookie(request, mission.organisation_id))
    steps = list(missions.steps_of(session, mission.id))
    view, standing = views.person_view(session, mission, person, phase=phase) if person else (None, None)
    missing, ways = views.still_missing(core.renderer, language, steps, standing) if standing else ([], [])
    presence = standing.presence if standing else None
    page = core.renderer.page(
        "mission.html",
        language,
        brand=views.brand(session, mission.organisation_id),
        js=core.renderer.script("shopper.js"),
        mission=views.mission_view(session, mission, phase=phase, ideas=views.IDEAS_SHOWN),
        campaign_state=campaign.state_at(now).value,
        person=view,
        just=just,
        presence_words=views.presence_words(core.renderer, language, presence),
        missing=missing,
        ways=ways,
        idea_text=idea_text,
        idea_error=idea_error,
        client_id=client_id or str(uuid4()),
        join_url=_onward(request, f"/m/{mission.slug}/join"),
        ideas_url=_onward(request, f"/m/{mission.slug}/ideas"),
        can_write=bool(idea_error) or _can_write(steps, presence),
        other_lang_url=f"/m/{mission.slug}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _can_write(steps: list[missions.Step], presence: int | None) -> bool:
    return any(
        step.kind == missions.StepKind.IDEA
        and (step.min_presence == 0 or (presence is not None and presence >= step.min_presence))
        for step in steps
    )


def _holdings(core: Services, session: DbSession, people: list[Participant], language: str) -> dict[str, Any]:
    if not people:
        return {"person": None, "check_ins": [], "ideas": [], "missions": []}
    wanted = [person.id for person in people]
    acts = session.exec(
        select(CheckIn).where(col(CheckIn.participant_id).in_(wanted)).order_by(col(CheckIn.id).desc()).limit(100)
    ).all()
    visits = []
    for act in acts:
        place = session.get(Place, act.place_id) if act.place_id else None
        moment = zone(place.time_zone) if place else zone("UTC")
        visits.append(
            {
                "place": place.name if place else "",
                "when": format_datetime(act.occurred_at, "d MMMM, HH:mm", tzinfo=moment, locale=language),
                "presence_words": views.presence_words(core.renderer, language, act.presence),
            }
        )
    taking_part = select(missions.Membership.mission_id).where(col(missions.Membership.participant_id).in_(wanted))
    joined = session.exec(select(Mission).where(col(Mission.id).in_(taking_part))).all()
    held = []
    for mission in joined:
        owner = next(person for person in people if person.organisation_id == mission.organisation_id)
        phase = phase_of(session.get_one(Campaign, mission.campaign_id).state)
        done = missions.standing(session, mission, owner, phase=phase).done
        total = len(missions.steps_of(session, mission.id))
        held.append(
            {
                "title": local(mission.title, language),
                "url": f"/m/{mission.slug}",
                "steps_done": len(done),
                "steps_total": total,
            }
        )
    given = [idea for person in people for idea in community.ideas_of(session, person.id)]
    first = min(person.created_at for person in people)
    return {
        "person": {"pseudonym": people[0].pseudonym, "since": format_date(first, "d MMMM", locale=language)},
        "check_ins": visits,
        "ideas": [{"text": i.text, "when": format_date(i.created_at, "d MMMM", locale=language)} for i in given],
        "missions": held,
    }


def _entry(core: Services, code: str) -> Entry:
    canonical = codes.normalise(code)
    if canonical is None:
        raise NotFound("We do not know this code.", code="unknown_code")
    found = core.directory.find(canonical)
    if found is None:
        with core.database.snapshot() as session:
            found = core.directory.load(session, canonical)
    if found is None:
        raise NotFound("We do not know this code.", code="unknown_code")
    return found


def _position(asked: CheckInCreate) -> Position | None:
    given = asked.model_dump(include={"lat", "lon", "accuracy_m", "age_s"}, exclude_none=True)
    return position_of(given) if given else None


def _mission(session: DbSession, name: str) -> Mission:
    if name.startswith("mis_"):
        found = session.get(Mission, ids.parse("mis", name))
        if found is None:
            raise NotFound("There is no such mission.")
        return found
    return missions.mission_by_name(session, name)


def _moved(request: Request, url: str, body: dict[str, Any], *, status: int = 200) -> Response:
    if wants_json(request):
        return JSONResponse(body, status)
    return RedirectResponse(_onward(request, url), 303)


def _onward(request: Request, url: str) -> str:
    """A page's URL, in the language the person chose."""
    lang = kept_language(_language(request, None), request.headers.get("accept-language", ""))
    return f"{url}{'&' if '?' in url else '?'}lang={lang}" if lang else url


def _participant(person: Participant) -> dict[str, str]:
    return {"id": ids.show("par", person.id), "pseudonym": person.pseudonym}


def _cookie_name(organisation_id: UUID) -> str:
    return f"passerelle_p_{organisation_id.hex[-12:]}"


def _cookie(request: Request, organisation_id: UUID) -> str | None:
    return request.cookies.get(_cookie_name(organisation_id))


def _set_cookie(answer: Response, core: Services, organisation_id: UUID, secret: str) -> None:
    answer.set_cookie(
        _cookie_name(organisation_id),
        secret,
        max_age=COOKIE_LIFE_S,
        httponly=True,
        samesite="lax",
        secure=core.settings.is_https,
    )


def _unreadable(core: Services, language: str) -> str:
    return core.renderer.word(
        language, "This code cannot be right: it has ten characters, like 7K3Q-9XAB-W4. Check it and try again."
    )


def _language(request: Request, asked: str | None) -> str:
    return language_of(asked or request.query_params.get("lang"), request.headers.get("accept-language", ""))
