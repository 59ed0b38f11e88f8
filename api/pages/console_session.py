"""Who sits at the console: a member, by the cookie of their session, with the role they have at this moment."""

import base64
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from urllib.parse import urlencode

from babel.dates import format_datetime
from fastapi import Depends, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response
from pydantic import BaseModel, ValidationError
from sqlmodel import Session as DbSession
from starlette.datastructures import FormData

from api.dependencies import Core, Services
from api.forms import require_same_site
from api.pages.render import kept_language, language_of
from api.problems import status_of
from campaigns import clock, identity
from campaigns.audit import Author, AuthorKind
from campaigns.errors import CampaignError, Forbidden, Invalid
from campaigns.identity import Member, MemberSession, Organisation, Right

SHOWN_ONCE_S = 120  # between making a secret and showing it: one redirect
_NOT_SIGNED_IN = "You are not signed in. Sign in with a link."


@dataclass(frozen=True)
class Seat:
    """A member at the console: reads and writes as them, and shows pages as their role sees them."""

    request: Request
    core: Services
    member: Member
    session: MemberSession
    organisation: Organisation
    now: datetime

    @property
    def author(self) -> Author:
        return Author(AuthorKind.MEMBER, self.member.id)

    @property
    def language(self) -> str:
        return language_for(self.request)

    @property
    def other_lang_url(self) -> str:
        """This page in the other language."""
        return _in_other_language(self.request, self.language)

    def may(self, right: Right | str) -> bool:
        return right in self.member.rights

    def reading(self) -> AbstractContextManager[DbSession]:
        """A session that reads."""
        return self.core.database.snapshot()

    def writing(self) -> AbstractContextManager[DbSession]:
        """A transaction whose changes the audit log knows as this member's."""
        return self.core.database.transaction(author=self.author)

    def to(self, path: str, **query: str | None) -> str:
        """An address of the console, in the language the member chose."""
        return address(self.request, path, **query)

    def see(self, path: str, **query: str | None) -> Response:
        """After a form: the page that shows what became of it."""
        return RedirectResponse(self.to(path, **query), 303)

    def problem(self, error: CampaignError) -> str:
        """A refusal as one line of a page."""
        return self.core.renderer.sentence(self.language, error.code, error.detail)

    def page(self, name: str, *, error: CampaignError | None = None, **context: Any) -> HTMLResponse:
        """A page of the console; with `error`, as the answer to a form that was not taken."""
        frame = {
            "brand": self.organisation.name,
            "console_css": self.core.renderer.console_css,
            "me": self.member,
            "may": self.may,
            "to": self.to,
            "when": lambda instant, zone="UTC": show_instant(instant, self.language, zone),
            "done": self.request.query_params.get("done", ""),
            "problem": self.problem(error) if error else "",
            "pointer": error.context.get("pointer", "") if error else "",
            "is_invalid": error is not None and error.code == Invalid.code,
            "here": self.request.url.path,
            "other_lang_url": self.other_lang_url,
        }
        html = self.core.renderer.page(name, self.language, **frame | context)
        return HTMLResponse(html, status_of(error) if error else 200)


class MemberMay:
    """A dependency: the member at the console. 401 for nobody, 403 (`right_missing`) for a role without the right."""

    def __init__(self, right: Right | None, *, by_itself: bool = False) -> None:
        self.right = right
        self._by_itself = by_itself

    def __call__(self, request: Request, core: Core) -> Seat:
        seat = take_seat(request, core, by_itself=self._by_itself)
        if self.right is not None and not seat.may(self.right):
            raise Forbidden(f"Your role may not do that: it needs the right {self.right}.", code="right_missing")
        return seat


def member_may(right: Right | None = None, *, by_itself: bool = False) -> Any:
    """The member at the console, with a right if one is named. `by_itself`: a page asks, not a person."""
    return Depends(MemberMay(right, by_itself=by_itself))


def take_seat(request: Request, core: Services, *, by_itself: bool = False) -> Seat:
    """Who the cookie says it is, read anew at every request. Forbidden (401) without a session that stands."""
    secret = request.cookies.get(cookie_name(core))
    if not secret:
        raise Forbidden(_NOT_SIGNED_IN, code="member_not_signed_in")
    now = core.clock()
    with core.database.snapshot() as session:
        found = identity.member_by_session(session, secret, now=now)
        organisation = identity.organisation_by_id(session, found.member.organisation_id)
    if not by_itself and identity.is_sight_due(found.session, now):
        core.activity.note(lambda session: identity.note_sight(session, found.session.id, now=now))
    seat = Seat(request, core, found.member, found.session, organisation, now)
    request.state.author = seat.author
    return seat


class Posted:
    """The fields of a form, as they were typed."""

    def __init__(self, form: FormData) -> None:
        self._fields = [(name, value) for name, value in form.multi_items() if isinstance(value, str)]

    def __getitem__(self, name: str) -> str:
        return next((value for found, value in self._fields if found == name), "")

    def all(self, name: str) -> list[str]:
        """The values of boxes that were ticked."""
        return [value for found, value in self._fields if found == name]

    def read(self, schema: type[BaseModel], *, without: tuple[str, ...] = (), **more: Any) -> Any:
        """The fields as `schema`; empty ones count as not given. Invalid names the first that cannot be taken.

        `more` are read already, in place of what was typed; `without` are read apart.
        """
        given = {name: value for name, value in self._fields if value.strip() and name not in without}
        try:
            return schema.model_validate(given | more)
        except ValidationError as error:
            fault = error.errors(include_url=False, include_input=False)[0]
            pointer = "/" + "/".join(str(part) for part in fault["loc"][:1])
            raise Invalid(str(fault["msg"]), pointer=pointer, code="invalid") from error


async def read_form(request: Request) -> Posted:
    """The form of this request. Forbidden when another site sent it."""
    require_same_site(request)
    return Posted(await request.form(max_fields=500, max_files=0))


Form = Annotated[Posted, Depends(read_form)]
Anyone = Annotated[Seat, member_may()]


def cookie_name(core: Services) -> str:
    """`__Host-` keeps other hosts of the domain from setting it; browsers take that over https alone."""
    return "__Host-passerelle_member" if core.settings.is_https else "passerelle_member"


def give_cookie(answer: Response, core: Services, name: str, value: str, max_age: int) -> None:
    """A cookie of the whole host that scripts cannot read; Secure where the base URL is https."""
    secure = core.settings.is_https
    answer.set_cookie(name, value, max_age=max_age, path="/", httponly=True, samesite="lax", secure=secure)


def take_cookie(answer: Response, core: Services, name: str) -> None:
    """The same, taken back."""
    answer.delete_cookie(name, path="/", httponly=True, samesite="lax", secure=core.settings.is_https)


def show_once(seat: Seat, kind: str, secret: str, note: str = "") -> Response:
    """On to the page that shows a secret, once. It travels sealed, in a cookie of this browser, for two minutes."""
    answer = seat.see("/console/shown")
    sealed = seat.core.keyring.seal_answer("\n".join((seat.member.id.hex, kind, secret, note)).encode())
    value = base64.urlsafe_b64encode(sealed).decode()
    give_cookie(answer, seat.core, _shown_name(seat.core), value, SHOWN_ONCE_S)
    return answer


def read_once(seat: Seat) -> tuple[str, str, str] | None:
    """Kind, secret and note of what was just made by this member in this browser; None for nothing."""
    try:
        sealed = base64.urlsafe_b64decode(seat.request.cookies.get(_shown_name(seat.core), ""))
        whose, kind, secret, note = seat.core.keyring.open_answer(sealed).decode().split("\n", 3)
    except (ValueError, Invalid):
        return None
    return (kind, secret, note) if whose == seat.member.id.hex else None


def forget_once(answer: Response, core: Services) -> None:
    """What was shown once is not shown again."""
    take_cookie(answer, core, _shown_name(core))


def language_for(request: Request) -> str:
    return language_of(request.query_params.get("lang"), request.headers.get("accept-language", ""))


def address(request: Request, path: str, **query: str | None) -> str:
    """A path with a query, and with the language where the browser's own would be another."""
    lang = kept_language(language_for(request), request.headers.get("accept-language", ""))
    parts = {name: value for name, value in (query | {"lang": lang}).items() if value}
    return f"{path}?{urlencode(parts)}" if parts else path


def show_instant(instant: datetime | None, language: str, zone: str = "UTC") -> str:
    """Day and minute in a time zone, which is named where it is no place's."""
    if instant is None:
        return ""
    text = format_datetime(instant, "d MMM y, HH:mm", tzinfo=clock.zone(zone), locale=language)
    return f"{text} UTC" if zone == "UTC" else text


def _shown_name(core: Services) -> str:
    return "__Host-passerelle_shown" if core.settings.is_https else "passerelle_shown"


def _in_other_language(request: Request, language: str) -> str:
    kept = {name: value for name, value in request.query_params.items() if name not in ("lang", "done")}
    return "?" + urlencode(kept | {"lang": "en" if language == "fr" else "fr"})
