"""Flagging what somebody wrote: a reader needs no account, and their phone stores nothing."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import views
from api.pages.phone import Tongue, cookie_of, language_for, mission_named, moved, objected, onward, visitor_key
from api.policies import PUBLIC
from api.problems import status_of
from campaigns import clock, community, ids, missions
from campaigns.community import FlagKind, Subject
from campaigns.community.moderation import TEXT_LIMIT
from campaigns.errors import CampaignError, Invalid, NotFound
from campaigns.missions import Mission
from campaigns.planning import Campaign

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
MissionName = Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")]
PREFIXES = {prefix: kind for kind, prefix in community.PREFIXES.items()}


class FlagCreate(schemas.Request):
    """What is wrong with a contribution, and, for who likes, more in words of their own."""

    subject: str = Field(max_length=60, description="`ide_...`, `cmt_...` or `rpl_...`")
    kind: FlagKind
    text: schemas.Text = Field("", max_length=20_000)


@router.get("/{mission}/flags/new", response_class=HTMLResponse)
def flag_page(
    request: Request,
    core: Core,
    mission: MissionName,
    subject: Annotated[str, Query(max_length=60)],
    lang: Tongue = None,
) -> HTMLResponse:
    """The form to flag a contribution with: what is wrong with it, from a short list."""
    return _page(request, core, mission, subject, lang=lang)


@router.post("/{mission}/flags", status_code=201)
async def flag(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Flag a contribution for the moderators. Form or JSON `subject`, `kind`, optional `text` (500 characters).

    One flag a person and contribution, without a participant one a phone and day: a repeat gets the first answer.
    """
    require_same_site(request)
    try:
        asked = await read_fields(request, FlagCreate)
        return await run_in_threadpool(_flag, request, core, mission, asked, now)
    except (RequestValidationError, CampaignError) as error:
        if wants_json(request) or isinstance(error, NotFound):
            raise
        return await run_in_threadpool(_again, request, core, mission, error)


def _flag(request: Request, core: Services, name: str, asked: FlagCreate, now: datetime) -> Response:
    key = visitor_key(request, now, "flag")
    with core.database.transaction() as session:
        mission = mission_named(session, name)
        campaign = session.get_one(Campaign, mission.campaign_id)
        person = missions.recognise(
            session, campaign, cookie_of(request, campaign), objected=objected(request), to_act=True
        )
        subject = named(session, mission, asked.subject)
        done = community.flag(
            session,
            mission,
            subject,
            kind=asked.kind,
            text=asked.text,
            person=person,
            day=clock.day_of(now),
            reporter_key=key,
            now=now,
        )
    made = done.flag
    body = {"id": ids.show("flg", made.id), "kind": made.kind, "flagged_at": made.flagged_at.isoformat()}
    return moved(request, f"/m/{mission.slug}?just=flagged", body, status=201)


def named(session: DbSession, mission: Mission, name: str) -> Subject:
    """The contribution that an id names; NotFound for none of this mission."""
    kind = PREFIXES.get(name.partition("_")[0])
    if kind is None:
        raise NotFound("There is no such contribution.")
    id: UUID = ids.parse(name.partition("_")[0], name)
    return community.subject_in(session, mission, kind, id)


def _again(request: Request, core: Services, mission: str, error: Exception) -> HTMLResponse:
    """The form once more, with what was typed and why it was not taken."""
    typed: dict[str, Any] = getattr(request.state, "typed", {})
    language = language_for(request, None)
    if isinstance(error, CampaignError) and not (isinstance(error, Invalid) and error.code == "invalid"):
        message = core.renderer.sentence(language, error.code, error.detail)
    elif typed.get("kind") not in set(FlagKind):
        message = core.renderer.word(language, "Say what is wrong: choose one of the list.")
    else:
        message = core.renderer.word(language, "The text has characters that cannot be taken. Write it anew, please.")
    page = _page(
        request,
        core,
        mission,
        str(typed.get("subject", ""))[:60],
        problem=message,
        kind=str(typed.get("kind", "")),
        text=str(typed.get("text", "")),
    )
    page.status_code = status_of(error) if isinstance(error, CampaignError) else 422
    return page


def _page(
    request: Request,
    core: Services,
    mission_name: str,
    subject_name: str,
    *,
    lang: str | None = None,
    problem: str = "",
    kind: str = "",
    text: str = "",
) -> HTMLResponse:
    language = language_for(request, lang)
    with core.database.snapshot() as session:
        mission = mission_named(session, mission_name)
        subject = named(session, mission, subject_name)
        house = views.house(session, mission.organisation_id)
    page = core.renderer.page(
        "flag.html",
        language,
        **house,
        words="" if subject.row.hidden_rule else subject.row.text,
        subject=subject_name,
        action=onward(request, f"/m/{mission.slug}/flags"),
        back_url=onward(request, f"/m/{mission.slug}"),
        problem=problem,
        kind=kind,
        text=text,
        text_limit=TEXT_LIMIT,
        kinds=[one.value for one in FlagKind],
        other_lang_url=f"{request.url.path}?subject={subject_name}&lang={'en' if language == 'fr' else 'fr'}"
        if request.method == "GET"
        else "",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})
