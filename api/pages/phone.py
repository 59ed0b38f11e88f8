"""What the shopper's pages know of a phone: its language, its participant's cookie, the code or mission it asks for."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Path, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession

from api.dependencies import Services
from api.forms import wants_json
from api.pages.render import kept_language, language_of
from api.scan_headers import YOUNG_COOKIE, objects
from campaigns import care, clock, ids, missions
from campaigns.care import Case
from campaigns.errors import Conflict, NotFound
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans.agents import LONGEST_AGENT
from campaigns.tokens import codes
from campaigns.tokens.directory import Entry

Answer = TypeVar("Answer")
PERSON_COOKIES = "passerelle_p_"
COOKIE_LIFE_S = 400 * 86_400  # what browsers allow at most
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
Tongue = Annotated[str | None, Query(description="fr or en")]


def entry_of(core: Services, code: str) -> Entry:
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


def mission_named(session: DbSession, name: str) -> Mission:
    if name.startswith("mis_"):
        found = session.get(Mission, ids.parse("mis", name))
        if found is None:
            raise NotFound("There is no such mission.")
        return found
    return missions.mission_by_name(session, name)


def moved(request: Request, url: str, body: dict[str, Any], *, status: int = 200) -> Response:
    if wants_json(request):
        return JSONResponse(body, status)
    return RedirectResponse(onward(request, url), 303)


def onward(request: Request, url: str) -> str:
    """A page's URL, in the language the person chose."""
    lang = kept_language(language_for(request, None), request.headers.get("accept-language", ""))
    return f"{url}{'&' if '?' in url else '?'}lang={lang}" if lang else url


def participant_shown(person: Participant) -> dict[str, str]:
    return {"id": ids.show("par", person.id), "pseudonym": person.pseudonym}


def _cookie_name(owner_id: UUID) -> str:
    return f"{PERSON_COOKIES}{owner_id.hex[-12:]}"


def cookie_of(request: Request, campaign: Campaign) -> str | None:
    """The cookie of the campaign's participant: of it alone, as who objects has, else of its organisation."""
    alone = request.cookies.get(_cookie_name(campaign.id))
    return alone or request.cookies.get(_cookie_name(campaign.organisation_id))


def house_cookie(request: Request, organisation_id: UUID) -> str | None:
    """The cookie of the organisation's participant, known in all of its campaigns."""
    return request.cookies.get(_cookie_name(organisation_id))


def cookies_of(request: Request) -> dict[str, str]:
    """Every participant's cookie of this phone, by name."""
    return {name: value for name, value in request.cookies.items() if name.startswith(PERSON_COOKIES)}


def keep_cookie(answer: Response, core: Services, person: Participant, secret: str) -> None:
    """Hand over a new participant's cookie: of the organisation, or of the one campaign where they are known."""
    _set_cookie(answer, core, _cookie_name(person.campaign_id or person.organisation_id), secret)


def keep_young(answer: Response, core: Services) -> None:
    """Note on the phone that its person is under 15: no position of theirs is taken from now on."""
    _set_cookie(answer, core, YOUNG_COOKIE, "1")


def is_young(request: Request) -> bool:
    """Whether this phone's person said that they are under 15."""
    return YOUNG_COOKIE in request.cookies


def objected(request: Request) -> bool:
    """Whether the browser objects (Sec-GPC, DNT): its person is another one in each campaign."""
    return objects(dict(request.scope["headers"]))


def drop_cookie(answer: Response, core: Services, name: str) -> None:
    answer.delete_cookie(name, httponly=True, samesite="lax", secure=core.settings.is_https)


def _set_cookie(answer: Response, core: Services, name: str, value: str) -> None:
    answer.set_cookie(
        name,
        value,
        max_age=COOKIE_LIFE_S,
        httponly=True,
        samesite="lax",
        secure=core.settings.is_https,
    )


def language_for(request: Request, asked: str | None) -> str:
    return language_of(asked or request.query_params.get("lang"), request.headers.get("accept-language", ""))


def after_its_twin(code: str, act: Callable[[], Answer]) -> Answer:
    """Act; when the same act arrived twice at once and the other was first, again, for the answer it got."""
    try:
        return act()
    except Conflict as error:
        if error.code != code:
            raise
    return act()


def visitor_key(request: Request, now: datetime, purpose: str) -> int:
    """The visitor key of today for a purpose, kept apart from the one of scans: it is not to be joined to a visit."""
    visitors = request.app.state.visitors
    visitors.prepare(clock.day_of(now))
    address = request.client.host if request.client else ""
    key: int = visitors.key(address, request.headers.get("user-agent", "")[:LONGEST_AGENT], purpose)
    return key


def case_link(core: Services, case: Case) -> str:
    """The path of the page on which a case is followed: whoever has it has the case."""
    return f"/cases/{case.reference}/{care.secret_of(core.keyring.derive('case-link'), case.id)}"
