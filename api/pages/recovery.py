"""Keeping one's place: a recovery code, what it looks like, and using it on another phone or browser.

The code is in no address that a server sees: it is typed, or stands behind the # of the link in the QR code.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import (
    Tongue,
    address_key,
    cookie_named_for,
    cookies_of,
    keep_cookie,
    keep_young,
    language_for,
    onward,
    participant_shown,
)
from api.policies import PUBLIC
from campaigns import ids, merging, participants, privacy
from campaigns.errors import CampaignError, Conflict, NotFound
from campaigns.participants import Merge, Participant
from campaigns.tokens import qr

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
_NO_STORE = {"Cache-Control": "no-store"}
_ASKED_AGAIN = ("unknown_recovery_code", "recovery_code_used", "recovery_code_replaced", "recovery_tries", "busy")


class CodeCreate(schemas.Request):
    """Whose place to keep: one of the people of this phone; without it the only one."""

    participant: str | None = Field(None, max_length=60, description="`par_...`")


class RecoveryCreate(schemas.Request):
    """A recovery code. `confirm`: that two names may become one, where this browser has one already."""

    code: schemas.Text = Field("", max_length=80)
    confirm: Literal["yes"] | None = None


@router.post("/me/recovery-codes", status_code=201)
async def make_code(request: Request, core: Core, now: Now) -> Response:
    """Make a recovery code for the person of this phone, shown once; the one before ends.

    JSON: `{code, participant}`. Typed on another phone or browser at `/me/recovery`, it is good once. 404 without a
    person.
    """
    require_same_site(request)
    asked = await read_fields(request, CodeCreate)
    return await run_in_threadpool(_make_code, request, core, asked, now)


def _make_code(request: Request, core: Services, asked: CodeCreate, now: datetime) -> Response:
    with core.database.transaction() as session:
        person = _own(request, session, asked.participant)
        code = participants.issue_code(session, person, key=_key(core), now=now)
    if wants_json(request):
        return JSONResponse({"code": code, "participant": participant_shown(person)}, 201, _NO_STORE)
    language = language_for(request, None)
    url = f"{core.settings.base_url}/me/recovery"
    drawn = qr.svg(f"{url}#{code}", error_correction=qr.ErrorCorrection.M, module_px=5).decode()
    with core.database.snapshot() as session:
        house = views.house(session, person.organisation_id)
    page = core.renderer.page(
        "recovery_code.html",
        language,
        **house,
        js=core.renderer.script("keep.js"),
        code=code,
        svg=drawn[drawn.index("<svg") :],
        pseudonym=person.pseudonym,
        page_url=url,
        link=f"{url}#{code}",
        back_url=onward(request, "/me"),
        other_lang_url="",
    )
    return HTMLResponse(page, 201, headers=_NO_STORE)


def _own(request: Request, session: DbSession, name: str | None) -> Participant:
    """One of this phone's people, held as an act of theirs holds them."""
    wanted = ids.parse("par", name) if name else None
    for secret in cookies_of(request).values():
        person = participants.recognise(session, secret, to_act=True)
        if person is not None and wanted in (None, person.id):
            return person
    raise NotFound("Nobody is known on this phone yet. Take part first, then keep your place.", code="nobody_here")


@router.get("/me/recovery", response_class=HTMLResponse)
def recovery_page(request: Request, core: Core, lang: Tongue = None) -> HTMLResponse:
    """Where a recovery code is typed. Opening it does nothing: a code behind the # only fills the field."""
    return _form(request, core, language_for(request, lang))


@router.post("/me/recovery")
async def recover(request: Request, core: Core, now: Now) -> Response:
    """Use a recovery code: this browser becomes the person's, too. JSON: `{participant, merged, undone}`.

    Where the browser has another name of the same brand, the two become one, the one who joined first: asked before, by
    a page or 409 `merge_needed`; `confirm: "yes"` does it. 404 `unknown_recovery_code`, 409 `recovery_code_used` or
    `recovery_code_replaced`, 429 `recovery_tries` after ten wrong ones an hour.
    """
    require_same_site(request)
    asked = await read_fields(request, RecoveryCreate)
    return await run_in_threadpool(_recover, request, core, asked, now)


@dataclass(frozen=True)
class _Recovered:
    """Who this browser is now. `secret` is for its cookie, where it has none that leads there."""

    person: Participant
    secret: str | None = None
    merge: Merge | None = None


class _OnlyLooked(Exception):
    """Ends a merge that was only tried, and takes it back; what it would do."""

    def __init__(self, undone: dict[str, int]) -> None:
        self.undone = undone


def _recover(request: Request, core: Services, asked: RecoveryCreate, now: datetime) -> Response:
    sender = address_key(request, now, "recovery")
    try:
        with core.database.transaction() as session:
            participants.take_try(session, sender, now=now)
        with core.database.snapshot() as session:
            owner = participants.owner_of(session, asked.code, key=_key(core))
            present = participants.recognise(session, cookie_named_for(request, owner))
        with core.database.transaction() as session:
            participants.give_back_try(session, sender, now=now)
        if present is None:
            done = _move(request, core, asked.code, now)
        elif present.id == owner.id:
            done = _Recovered(owner)
        elif asked.confirm is None:
            return _ask(request, core, asked.code, owner, present, now)
        else:
            done = _merge(request, core, asked.code, now)
    except CampaignError as error:
        if wants_json(request) or error.code not in _ASKED_AGAIN:
            raise
        return _form(request, core, language_for(request, None), typed=asked.code, error=error)
    return _answer(request, core, done)


def _move(request: Request, core: Services, code: str, now: datetime) -> _Recovered:
    with core.database.transaction() as session:
        person = participants.owner_of(session, code, key=_key(core))
        participants.use_code(session, code, key=_key(core), now=now)
        return _Recovered(person, participants.add_key(session, person, now=now))


def _merge(request: Request, core: Services, code: str, now: datetime) -> _Recovered:
    with core.database.between_rounds() as session:
        owner = participants.owner_of(session, code, key=_key(core))
        present = participants.recognise(session, cookie_named_for(request, owner), to_act=True)
        participants.use_code(session, code, key=_key(core), now=now)
        if present is None:  # erased meanwhile
            return _Recovered(owner, participants.add_key(session, owner, now=now))
        if present.id == owner.id:
            return _Recovered(owner)
        found = merging.merge(session, owner.id, present.id, ballot_secret=core.keyring.ballot_secret, now=now)
        return _Recovered(found.older, None, found)


def _ask(
    request: Request, core: Services, code: str, owner: Participant, present: Participant, now: datetime
) -> Response:
    """Say what merging would do, from a merge that is taken back."""
    if wants_json(request):
        raise Conflict(
            f"This browser is {present.pseudonym} already, and the code is {owner.pseudonym}'s. Send `confirm` to make "
            "the two one.",
            code="merge_needed",
        )
    try:
        with core.database.between_rounds() as session:
            found = merging.merge(session, owner.id, present.id, ballot_secret=core.keyring.ballot_secret, now=now)
            raise _OnlyLooked(_undone(found))
    except _OnlyLooked as looked:
        undone = looked.undone
    older, newer = participants.by_age(owner, present)
    with core.database.snapshot() as session:
        house = views.house(session, owner.organisation_id)
    page = core.renderer.page(
        "recovery_merge.html",
        language_for(request, None),
        **house,
        older=older.pseudonym,
        newer=newer.pseudonym,
        undone=undone,
        code=code,
        recovery_url=onward(request, "/me/recovery"),
        back_url=onward(request, "/me"),
        other_lang_url="",
    )
    return HTMLResponse(page, headers=_NO_STORE)


def _answer(request: Request, core: Services, done: _Recovered) -> Response:
    body: dict[str, Any] = {
        "participant": participant_shown(done.person),
        "merged": done.merge is not None,
        "undone": _undone(done.merge) if done.merge else {},
    }
    answer: Response = JSONResponse(body, headers=_NO_STORE)
    if not wants_json(request):
        answer = RedirectResponse(onward(request, f"/me?just={'merged' if done.merge else 'recovered'}"), 303)
    if done.secret:
        keep_cookie(answer, core, done.person, done.secret)
    if done.person.is_under_15:
        keep_young(answer, core)
    return answer


def _undone(merge: Merge) -> dict[str, int]:
    """How much of what one person cannot do twice."""
    return {name: number for name, number in merge.undone.items() if number}


def _form(
    request: Request, core: Services, language: str, *, typed: str = "", error: CampaignError | None = None
) -> HTMLResponse:
    with core.database.snapshot() as session:
        people = privacy.people_of(session, cookies_of(request).values())
        house = views.house(session, people[0].organisation_id) if people else views.only_house(session)
    page = core.renderer.page(
        "recovery.html",
        language,
        **house,
        js=core.renderer.script("keep.js"),
        typed=typed,
        error=core.renderer.sentence(language, error.code, error.detail) if error else "",
        recovery_url=onward(request, "/me/recovery"),
        back_url=onward(request, "/me"),
        other_lang_url="" if error else f"/me/recovery?lang={'en' if language == 'fr' else 'fr'}",
    )
    headers = _NO_STORE | (problems.headers_of(error) if error else {})
    return HTMLResponse(page, problems.status_of(error) if error else 200, headers=headers)


def _key(core: Services) -> bytes:
    return core.keyring.recovery_key()
