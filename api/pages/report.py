"""Reporting a code: what a person says is wrong with it. No account, nothing stored on the phone, no script."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import Tongue, entry_of, language_for, moved, onward, visitor_key
from api.policies import PUBLIC
from campaigns import care, ids
from campaigns.care import Reported, ReportKind
from campaigns.care.service import TEXT_LIMIT
from campaigns.errors import Invalid, NotFound
from campaigns.tokens import codes
from campaigns.tokens.directory import Entry

router = APIRouter(prefix="/report", tags=["phones"], dependencies=[PUBLIC])

ASKED_LIMIT = 64  # characters of a code
Asked = Annotated[str, Path(max_length=ASKED_LIMIT, description="The code, as it is printed or as the link has it.")]


class CodeReportCreate(schemas.Request):
    """What is wrong with a code, and, for who likes, more in words of their own."""

    kind: ReportKind
    text: schemas.Text = Field("", max_length=20_000)


@router.get("/{code}", response_class=HTMLResponse)
def report_page(
    request: Request,
    core: Core,
    code: Asked,
    lang: Tongue = None,
    just: Annotated[str, Query(pattern="^(reported|already|)$")] = "",
) -> HTMLResponse:
    """The form to report a code with. A code nobody knows may be reported too: it may be a forger's."""
    return _page(request, core, code, lang=lang, just=just)


@router.post("/{code}", status_code=201)
async def report_code(request: Request, core: Core, code: Asked, now: Now) -> Response:
    """Report a code. Form or JSON `kind` (covered, odd, damaged or other), optional `text` (500 characters at most).

    One report a code, person and day: a repeat gets the first answer. 429 beyond fifty reports of a code on one day.
    """
    require_same_site(request)
    try:
        asked = await read_fields(request, CodeReportCreate)
        return await run_in_threadpool(_report, request, core, code, asked, now)
    except (RequestValidationError, Invalid) as error:
        if wants_json(request):
            raise
        return await run_in_threadpool(_again, request, core, code, error)


def _report(request: Request, core: Services, code: str, asked: CodeReportCreate, now: datetime) -> Response:
    entry = _find(core, code)
    reporter_key = visitor_key(request, now, "report")
    with core.database.transaction() as session:
        done = care.report_code(
            session,
            entry,
            code=_shown(code, entry),
            kind=asked.kind,
            text=asked.text,
            reporter_key=reporter_key,
            now=now,
        )
    just = "already" if done.is_replay else "reported"
    return moved(request, f"{request.url.path}?just={just}", _as_json(done), status=201)


def _as_json(done: Reported) -> dict[str, Any]:
    report = done.report
    return {"id": ids.show("rpt", report.id), "kind": report.kind, "reported_at": report.reported_at.isoformat()}


def _again(request: Request, core: Services, code: str, error: Exception) -> HTMLResponse:
    """The form once more, with what was typed and why it was not taken."""
    typed = getattr(request.state, "typed", {})
    language = language_for(request, None)
    if typed.get("kind") not in set(ReportKind):
        message = core.renderer.word(language, "Say what is wrong: choose one of the four.")
    elif isinstance(error, Invalid):
        message = core.renderer.sentence(language, error.code, error.detail)
    else:
        message = core.renderer.word(language, "The text has characters that cannot be taken. Write it anew, please.")
    page = _page(request, core, code, problem=message, kind=typed.get("kind", ""), text=str(typed.get("text", "")))
    page.status_code = 422
    return page


def _page(
    request: Request,
    core: Services,
    code: str,
    *,
    lang: str | None = None,
    just: str = "",
    problem: str = "",
    kind: str = "",
    text: str = "",
) -> HTMLResponse:
    language = language_for(request, lang)
    entry = _find(core, code)
    house: dict[str, Any] = {}
    if entry is not None and not core.database.is_away:
        with core.database.snapshot() as session:
            house = views.house(session, entry.campaign.organisation_id)
    page = core.renderer.page(
        "report.html",
        language,
        **house,
        place=entry.place if entry else None,
        is_known=entry is not None,
        code=_shown(code, entry),
        action=onward(request, request.url.path),
        just=just,
        problem=problem,
        kind=kind,
        text=text,
        text_limit=TEXT_LIMIT,
        kinds=[one.value for one in ReportKind],
        other_lang_url=f"{request.url.path}?lang={'en' if language == 'fr' else 'fr'}{f'&just={just}' if just else ''}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _find(core: Services, code: str) -> Entry | None:
    try:
        return entry_of(core, code)
    except NotFound:
        return None


def _shown(code: str, entry: Entry | None) -> str:
    """The code as people read it; of one that is not ours, what can be printed of it."""
    if entry is not None:
        return codes.grouped(entry.code)
    return "".join(one if " " <= one <= "~" else "?" for one in code)
