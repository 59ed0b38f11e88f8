"""The legal pages: who publishes, what is kept about people, and the rules of a mission. They set no cookie."""

from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from babel.dates import format_datetime
from fastapi import APIRouter, Path, Query, Request
from fastapi.responses import HTMLResponse
from sqlmodel import Session as DbSession

from api.dependencies import Core, Now, Services
from api.pages import views
from api.pages.phone import Tongue, language_for, mission_named
from api.policies import PUBLIC
from api.rules_in_force import in_force
from campaigns import identity, ids, legal
from campaigns.clock import zone
from campaigns.errors import NotFound
from campaigns.legal import Document, LegalVersion
from campaigns.missions import Mission
from campaigns.planning import Campaign

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])

MOST_BRANDS = 200  # to choose among on one page
Owner = Annotated[
    str | None, Query(max_length=60, description="`org_...`; not needed where the installation has one organisation")
]
VersionNumber = Annotated[int | None, Query(ge=1, le=1_000_000, description="an older version; else the one in force")]


@dataclass(frozen=True)
class Asked:
    """The document a page shows, and how its own links name it."""

    document: Document
    organisation_id: UUID
    mission: Mission | None
    path: str
    time_zone: ZoneInfo


@router.get("/legal", response_class=HTMLResponse)
def legal_notice(
    request: Request,
    core: Core,
    now: Now,
    organisation: Owner = None,
    version: VersionNumber = None,
    lang: Tongue = None,
) -> HTMLResponse:
    """Who publishes these pages and who hosts them, as the French law on the digital economy asks."""
    return _of_organisation(request, core, Document.LEGAL, organisation, version, lang, now)


@router.get("/privacy", response_class=HTMLResponse)
def privacy(
    request: Request,
    core: Core,
    now: Now,
    organisation: Owner = None,
    version: VersionNumber = None,
    lang: Tongue = None,
) -> HTMLResponse:
    """What is kept about whom, why, how long, and which rights people have (GDPR, article 13)."""
    return _of_organisation(request, core, Document.PRIVACY, organisation, version, lang, now)


@router.get("/m/{mission}/rules", response_class=HTMLResponse)
def rules(
    request: Request,
    core: Core,
    now: Now,
    mission: Annotated[str, Path(max_length=80, description="The mission's id (`mis_...`) or slug.")],
    version: VersionNumber = None,
    lang: Tongue = None,
) -> HTMLResponse:
    """The rules of a mission: promise, dates, steps, limits, how acts are judged and how to appeal."""
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        time_zone = zone(session.get_one(Campaign, found.campaign_id).time_zone)
    asked = Asked(Document.RULES, found.organisation_id, found, f"/m/{found.slug}/rules", time_zone)
    return _page(request, core, asked, version, lang, now)


def _of_organisation(
    request: Request,
    core: Services,
    document: Document,
    name: str | None,
    version: int | None,
    lang: str | None,
    now: datetime,
) -> HTMLResponse:
    with core.database.snapshot() as session:
        if name is not None:
            owner = identity.organisation_by_id(session, ids.parse("org", name))
        else:
            found = identity.list_organisations(session, limit=MOST_BRANDS)
            if len(found) != 1:
                return _choice(request, core, document, [(one.name, ids.show("org", one.id)) for one in found], lang)
            owner = found[0]
    path = f"/{document.value}?organisation={ids.show('org', owner.id)}"
    return _page(request, core, Asked(document, owner.id, None, path, zone("Europe/Paris")), version, lang, now)


def _choice(
    request: Request, core: Services, document: Document, brands: list[tuple[str, str]], lang: str | None
) -> HTMLResponse:
    if not brands:
        raise NotFound("There is no organisation here yet.")
    language = language_for(request, lang)
    page = core.renderer.page("legal_choice.html", language, document=document.value, brands=brands)
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _page(
    request: Request, core: Services, asked: Asked, number: int | None, lang: str | None, now: datetime
) -> HTMLResponse:
    current = in_force(core.database, asked.document, asked.organisation_id, asked.mission, now=now)
    language = language_for(request, lang)
    with core.database.snapshot() as session:
        of = (asked.document, asked.organisation_id, asked.mission)
        shown = current if number is None else legal.version_by_number(session, *of, number=number)
        versions = legal.history(session, *of)
        context = _context(session, asked, shown, current, versions, language)
    page = core.renderer.page("legal.html", language, **context)
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


def _context(
    session: DbSession,
    asked: Asked,
    shown: LegalVersion,
    current: LegalVersion,
    versions: Any,
    language: str,
) -> dict[str, Any]:
    def moment(instant: datetime) -> str:
        form = {"fr": "d MMMM y 'à' HH:mm", "en": "d MMMM y, HH:mm"}[language]
        return format_datetime(instant.astimezone(asked.time_zone), form, locale=language)

    join = "&" if "?" in asked.path else "?"
    other = "en" if language == "fr" else "fr"
    kept = f"&version={shown.number}" if shown.number != current.number else ""
    return {
        **views.house(session, asked.organisation_id),
        "document": asked.document.value,
        "text": shown.text[language],
        "number": shown.number,
        "since": moment(shown.in_force_from),
        "is_current": shown.number == current.number,
        "current_url": f"{asked.path}{join}lang={language}",
        "versions": [
            (one.number, moment(one.in_force_from), f"{asked.path}{join}version={one.number}&lang={language}")
            for one in versions
            if one.number != shown.number
        ],
        "mission_url": f"/m/{asked.mission.slug}" if asked.mission else "",
        "rules_url": f"/m/{asked.mission.slug}/rules" if asked.mission else "",
        "other_lang_url": f"{asked.path}{join}lang={other}{kept}",
    }
