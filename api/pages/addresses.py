"""An e-mail address that a person may leave: asked for, confirmed from the mailbox, erased at any moment.

Links in letters lead to a page with one button: GET changes nothing, for mail scanners open links too. Only the button,
and a mailbox's own one-click unsubscribing (RFC 8058), do.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.ages import UNDER_15, Age, of_age
from api.pages.phone import Tongue, cookies_of, is_young, keep_young, language_for, onward, visitor_key
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import ids, letters, participants, privacy
from campaigns.errors import CampaignError, Conflict, Forbidden, NotFound
from campaigns.letters import Contact
from campaigns.participants import Participant

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
Whose = Annotated[str | None, Query(max_length=60, description="`par_...`, of this phone; else its first")]
ContactName = Annotated[str, Path(max_length=60)]
Secret = Annotated[str, Path(max_length=64)]


class AddressCreate(schemas.Request):
    """An address to write to, for a `participant` of this phone."""

    address: str = Field("", max_length=1000)
    participant: str | None = Field(None, max_length=60, description="`par_...`; else the first of this phone")
    age: Age = None


class AddressRemoval(schemas.Request):
    """Whose address to erase."""

    participant: str | None = Field(None, max_length=60, description="`par_...`; else the first of this phone")


@router.get("/me/address", response_class=HTMLResponse)
def ask_page(request: Request, core: Core, lang: Tongue = None, participant: Whose = None) -> HTMLResponse:
    """The form for an address."""
    return _ask_page(request, core, participant, lang=lang)


@router.post("/me/address", status_code=202)
async def leave_address(request: Request, core: Core, now: Now) -> Response:
    """Leave an `address`: a letter with a link goes to it, and nothing else before the link was used.

    JSON: 202 `{state}`: `asked`, or `confirmed` where it was before. 409 `no_mail` where no mail server is set, 403
    `under_age_mail`, 422 `no_address`, 429 `too_many_letters`.
    """
    require_same_site(request)
    try:
        asked = await read_fields(request, AddressCreate)
        return await run_in_threadpool(_leave, request, core, asked, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or isinstance(error, NotFound):
            if isinstance(error, RequestValidationError):
                raise
            answer: Response = problems.refuse(request, error)
        else:
            answer = await run_in_threadpool(_again, request, core, error)
        if isinstance(error, CampaignError) and error.code == "under_age_mail":
            keep_young(answer, core)
        return answer


@router.post("/me/address/removal")
async def remove_address(request: Request, core: Core) -> Response:
    """Erase the address of a person of this phone, and what was written to it. Twice is once. JSON: `{erased}`."""
    require_same_site(request)
    asked = await read_fields(request, AddressRemoval)
    return await run_in_threadpool(_remove, request, core, asked.participant)


@router.get("/letters/{contact}/confirm/{secret}", response_class=HTMLResponse)
def confirm_page(request: Request, core: Core, contact: ContactName, secret: Secret, lang: Tongue = None) -> Response:
    """The page of a confirming letter: the address, and a button. It changes nothing."""
    with core.database.snapshot() as session:
        found = _by_link(session, core, "confirm", contact, secret)
        step = "confirm" if found.confirmed_at is None else "confirmed"
        return _letter_page(request, core, session, found, step, lang)


@router.post("/letters/{contact}/confirm/{secret}")
def confirm(request: Request, core: Core, contact: ContactName, secret: Secret, now: Now) -> Response:
    """Confirm the address: letters go to it from now on. Twice is once; 404 after 24 hours."""
    require_same_site(request)
    with core.database.erasing() as session:
        found = _by_link(session, core, "confirm", contact, secret)
        letters.confirm(session, found, now=now)
        return _letter_page(request, core, session, found, "confirmed", None)


@router.get("/letters/{contact}/stop/{secret}", response_class=HTMLResponse)
def stop_page(request: Request, core: Core, contact: ContactName, secret: Secret, lang: Tongue = None) -> Response:
    """The page of a letter's last link: a button that stops them. It changes nothing."""
    with core.database.snapshot() as session:
        try:
            found = _by_link(session, core, "stop", contact, secret)
        except NotFound:
            return _letter_page(request, core, session, None, "stopped", lang)
        return _letter_page(request, core, session, found, "stop", lang)


@router.post("/letters/{contact}/stop/{secret}")
def stop(request: Request, core: Core, contact: ContactName, secret: Secret) -> Response:
    """Erase the address: by the button, or by the mailbox itself with `List-Unsubscribe=One-Click` (RFC 8058).

    From wherever it is sent: whoever has the link has the letter. Twice is once.
    """
    with core.database.erasing() as session:
        try:
            found = _by_link(session, core, "stop", contact, secret)
        except NotFound:
            return _letter_page(request, core, session, None, "stopped", None)
        answer = _letter_page(request, core, session, found, "stopped", None)
        letters.stop(session, found)
    core.database.forget_overwritten()
    return answer


def _leave(request: Request, core: Services, asked: AddressCreate, now: datetime) -> Response:
    if core.mailer is None:
        raise Conflict("No mail leaves this installation.", code="no_mail")
    key = visitor_key(request, now, "letters")
    if asked.age == UNDER_15 or is_young(request):
        with core.database.erasing() as session:
            person = _person(request, session, asked.participant)
            if not person.is_under_15:
                privacy.declare_young(session, person, now=now)
        raise Forbidden(letters.UNDER_AGE, code="under_age_mail")
    with core.database.erasing() as session:
        person = _person(request, session, asked.participant, to_act=True)
        person = of_age(request, session, person, asked.age, now)
        contact = letters.ask(session, person, address=asked.address, phone_key=key, keyring=core.keyring, now=now)
        state = "confirmed" if contact.confirmed_at is not None else "asked"
    if wants_json(request):
        return JSONResponse({"state": state}, 202, headers={"Cache-Control": "no-store"})
    return RedirectResponse(onward(request, "/me?just=mail_asked" if state == "asked" else "/me"), 303)


def _remove(request: Request, core: Services, name: str | None) -> Response:
    with core.database.erasing() as session:
        erased = letters.remove(session, _person(request, session, name).id)
    core.database.forget_overwritten()
    if wants_json(request):
        return JSONResponse({"erased": erased}, headers={"Cache-Control": "no-store"})
    return RedirectResponse(onward(request, "/me?just=mail_gone"), 303)


def _again(request: Request, core: Services, error: Exception) -> HTMLResponse:
    """The form once more, with what was typed and why it was not taken."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    language = language_for(request, None)
    code, detail = (error.code, error.detail) if isinstance(error, CampaignError) else ("no_address", "")
    text = core.renderer.sentence(language, code, detail)
    page = _ask_page(request, core, str(typed.get("participant", "")) or None, problem=text, typed=typed, code=code)
    page.status_code = status_of(error) if isinstance(error, CampaignError) else 422
    if isinstance(error, CampaignError):
        page.headers.update(problems.headers_of(error))
    return page


def _ask_page(
    request: Request,
    core: Services,
    name: str | None,
    *,
    lang: str | None = None,
    problem: str = "",
    code: str = "",
    typed: dict[str, Any] | None = None,
) -> HTMLResponse:
    language, typed = language_for(request, lang), typed or {}
    with core.database.snapshot() as session:
        person = _person(request, session, name)
        house, whose = views.house(session, person.organisation_id), ids.show("par", person.id)
    page = core.renderer.page(
        "address.html",
        language,
        **house,
        step="ask",
        action=onward(request, "/me/address"),
        participant=whose,
        address=str(typed.get("address", "")),
        asks_age=person.age_declared_at is None,
        age=str(typed.get("age", "")),
        age_error=code == "age_missing",
        problem=problem,
        other_lang_url=f"/me/address?participant={whose}&lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _letter_page(
    request: Request, core: Services, session: DbSession, contact: Contact | None, step: str, lang: str | None
) -> HTMLResponse:
    language = language_for(request, lang)
    house = views.house(session, contact.organisation_id) if contact is not None else {}
    address = core.keyring.open_address(contact.sealed).decode() if contact is not None and step == "confirm" else ""
    page = core.renderer.page(
        "address.html", language, **house, step=step, problem="", address=address, other_lang_url=""
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _person(request: Request, session: DbSession, name: str | None, *, to_act: bool = False) -> Participant:
    """A participant of this phone; NotFound for another's, and where nobody has taken part."""
    found: Sequence[Participant] = privacy.people_of(session, cookies_of(request).values())
    wanted: UUID | None = ids.parse("par", name) if name else None
    person = next((one for one in found if wanted in (None, one.id)), None)
    if person is None:
        raise NotFound("This phone has not taken part in a mission yet.")
    held = participants.take_hold(session, person.id) if to_act else person
    if held is None:
        raise NotFound("This phone has not taken part in a mission yet.")
    return held


def _by_link(session: DbSession, core: Services, purpose: str, name: str, secret: str) -> Contact:
    return letters.contact_by_link(session, core.keyring, purpose, ids.parse("ctc", name), secret)
