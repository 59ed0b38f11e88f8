"""What the shopper's pages know of a phone: its language, its participant's cookie, the code or mission it asks for."""

import re
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
from campaigns import care, clock, ids, missions, participants
from campaigns.care import Case
from campaigns.errors import Conflict, NotFound
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans.agents import LONGEST_AGENT
from campaigns.tokens import codes
from campaigns.tokens.directory import Entry

Answer = TypeVar("Answer")
PERSON_COOKIES = "passerelle_p_"
COOKIE_LIFE_S = 400 * 86_400  # what browsers allow at most
_PUBLIC_CODE = re.compile(r"[0-9A-Z]{1,20}")
ClientId = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_-]+$")]
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
mission_named = missions.mission_named
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


def place_to_keep(request: Request, session: DbSession, person: Participant | None) -> dict[str, str] | None:
    """Where a person who has just acted can keep their place, as long as they hold no code that is good."""
    if person is None or participants.has_code(session, person.id):
        return None
    return {"url": onward(request, "/me/recovery-codes"), "participant": ids.show("par", person.id)}


def cookie_named_for(request: Request, person: Participant) -> str | None:
    """The cookie that this phone keeps where that of this person would stand: theirs, or another name of the brand."""
    return request.cookies.get(_cookie_name(person.campaign_id or person.organisation_id))


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
    return _sender_key(request, request.headers.get("user-agent", "")[:LONGEST_AGENT], now, purpose)


def address_key(request: Request, now: datetime, purpose: str) -> int:
    """The same of the address alone: whoever guesses calls their browser what they like."""
    return _sender_key(request, "", now, purpose)


def _sender_key(request: Request, agent: str, now: datetime, purpose: str) -> int:
    visitors = request.app.state.visitors
    visitors.prepare(clock.day_of(now))
    key: int = visitors.key(request.client.host if request.client else "", agent, purpose)
    return key


def link_of(request: Request, now: datetime) -> missions.Link | None:
    """The link this act's person came by: the form or the address carried its code (`s`); None without one.

    To be asked before the transaction of the act: the visitor key may need one of its own.
    """
    code = came_by(request)
    return missions.Link(code, phone_of(request, now), objected(request)) if code else None


def phone_of(request: Request, now: datetime) -> missions.Phone:
    """This phone, today, for whoever comes by its person's link: not to be joined to a visit."""
    return missions.Phone(clock.day_of(now), visitor_key(request, now, "referral"))


def came_by(request: Request) -> str:
    """The code of the link a page was opened by; empty for none and for what cannot be one."""
    code = request.query_params.get("s", "").upper()
    return code if _PUBLIC_CODE.fullmatch(code) else ""


def acting(request: Request, url: str) -> str:
    """A form's action: in the language of the page, and with the code of the link it was opened by."""
    code, action = came_by(request), onward(request, url)
    return f"{action}{'&' if '?' in action else '?'}s={code}" if code else action


def case_link(core: Services, case: Case) -> str:
    """The path of the page on which a case is followed: whoever has it has the case."""
    return f"/cases/{case.reference}/{care.secret_of(core.keyring.derive('case-link'), case.id)}"
