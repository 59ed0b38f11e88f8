"""What the shopper's pages know of a phone: its language, its participant's cookie, the code or mission it asks for."""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar
from uuid import UUID

from fastapi import Query, Request
from fastapi.responses import JSONResponse, RedirectResponse, Response
from sqlmodel import Session as DbSession

from api.dependencies import Services
from api.forms import wants_json
from api.pages.render import kept_language, language_of
from campaigns import ids, missions
from campaigns.errors import Conflict, NotFound
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.tokens import codes
from campaigns.tokens.directory import Entry

Answer = TypeVar("Answer")
COOKIE_LIFE_S = 400 * 86_400  # what browsers allow at most
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


def _cookie_name(organisation_id: UUID) -> str:
    return f"passerelle_p_{organisation_id.hex[-12:]}"


def cookie_of(request: Request, organisation_id: UUID) -> str | None:
    return request.cookies.get(_cookie_name(organisation_id))


def keep_cookie(answer: Response, core: Services, organisation_id: UUID, secret: str) -> None:
    answer.set_cookie(
        _cookie_name(organisation_id),
        secret,
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
