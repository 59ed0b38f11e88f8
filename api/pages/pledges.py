"""The pages behind one-time links: the sponsor reads and signs the terms, a beneficiary accepts the use of its name.

Opening a link signs nothing: previews and mail scanners open links too. The page of a link that was used is the copy
of who used it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse, Response
from pydantic import Field
from sqlmodel import Session as DbSession
from sqlmodel import col, select
from starlette.concurrency import run_in_threadpool

from api import problems, schemas
from api.dependencies import Core, Now, ReadSession, Services
from api.forms import read_fields, require_same_site, wants_json
from api.pages import pledge_views, views
from api.pages.phone import Tongue, language_for, onward
from api.pledge_links import ACCEPTANCES, SIGNATURES
from api.policies import PUBLIC
from campaigns import identity, ids, sponsorship
from campaigns.errors import CampaignError, Gone, NotFound
from campaigns.missions import Mission
from campaigns.sponsorship import Beneficiary, Pledge, PledgeLink
from campaigns.sponsorship.models import PledgeBeneficiary
from campaigns.sponsorship.signing import NAME_LENGTH

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
Secret = Annotated[str, Path(max_length=100)]
PLEDGES_SHOWN = 20  # that name a beneficiary
_HEADERS = {"Cache-Control": "no-store", "Referrer-Policy": "same-origin"}


@dataclass(frozen=True)
class Visit:
    """Who opened a link, with which secret; and what they typed there that was not taken, and why."""

    request: Request
    core: Services
    secret: str
    now: datetime
    error: CampaignError | None = None
    name: str = ""

    @property
    def language(self) -> str:
        return language_for(self.request, None)


PageOf = Callable[[Visit, DbSession], HTMLResponse]


class NameTyped(schemas.Request):
    """The name of who signs or accepts, typed; and the hash of what was shown to them."""

    name: schemas.Text = Field("", max_length=1_000)
    terms_hash: str = Field("", max_length=64)
    agreed: Literal["yes"] | None = Field(None, description="of a form: that the box was ticked")


@router.get("/signatures/{secret}", response_class=HTMLResponse)
def read_terms(
    request: Request, core: Core, session: ReadSession, now: Now, secret: Secret, lang: Tongue = None
) -> HTMLResponse:
    """The terms of a pledge in plain words, and the form to sign them. Opening it signs nothing."""
    return _terms_page(Visit(request, core, secret, now), session)


@router.post("/signatures/{secret}")
async def sign(request: Request, core: Core, now: Now, secret: Secret) -> Response:
    """Sign a pledge by its one-time link: form or JSON `name` and `terms_hash`, that of what was shown.

    410 `pledge_link_used` and `pledge_link_over`, 409 `terms_changed` and `match_unsigned`.
    """
    require_same_site(request)
    asked = await read_fields(request, NameTyped)

    def act(session: DbSession) -> dict[str, Any]:
        pledge = sponsorship.sign(session, secret, name=asked.name, terms_hash=asked.terms_hash, now=now)
        return {"pledge": ids.show("pld", pledge.id), "state": pledge.state, "terms_hash": pledge.terms_hash}

    visit = Visit(request, core, secret, now, name=asked.name)
    return await run_in_threadpool(_act, visit, SIGNATURES, act, _terms_page)


@router.get("/acceptances/{secret}", response_class=HTMLResponse)
def read_offer(
    request: Request, core: Core, session: ReadSession, now: Now, secret: Secret, lang: Tongue = None
) -> HTMLResponse:
    """What the use of a beneficiary's name means, and the form to accept it. Opening it accepts nothing."""
    return _offer_page(Visit(request, core, secret, now), session)


@router.post("/acceptances/{secret}")
async def accept(request: Request, core: Core, now: Now, secret: Secret) -> Response:
    """Accept the use of a name by its one-time link: form or JSON `name` and `terms_hash`, that of what was shown.

    410 `pledge_link_used` and `pledge_link_over`, 409 `terms_changed`.
    """
    require_same_site(request)
    asked = await read_fields(request, NameTyped)

    def act(session: DbSession) -> dict[str, Any]:
        found = sponsorship.accept(session, secret, name=asked.name, terms_hash=asked.terms_hash, now=now)
        return {"beneficiary": ids.show("ben", found.id), "accepted": True}

    visit = Visit(request, core, secret, now, name=asked.name)
    return await run_in_threadpool(_act, visit, ACCEPTANCES, act, _offer_page)


def _act(visit: Visit, kind: str, act: Callable[[DbSession], dict[str, Any]], page: PageOf) -> Response:
    """Sign or accept. What is not taken is the page once more, with what was typed and why; or the refusal."""
    try:
        with visit.core.database.transaction() as session:
            body = act(session)
    except CampaignError as error:
        if wants_json(visit.request) or isinstance(error, Gone | NotFound):
            return problems.refuse(visit.request, error)
        with visit.core.database.snapshot() as session:
            answer = page(replace(visit, error=error), session)
        answer.status_code = problems.status_of(error)
        return answer
    if wants_json(visit.request):
        return JSONResponse(body, headers=_HEADERS)
    return RedirectResponse(onward(visit.request, f"/{kind}/{visit.secret}"), 303)


def _terms_page(visit: Visit, session: DbSession) -> HTMLResponse:
    link = _link(visit, session, "pledge_id")
    pledge = session.get_one(Pledge, link.pledge_id)
    (facts,) = sponsorship.facts_of(session, [pledge])
    owner = identity.organisation_by_id(session, pledge.organisation_id)
    mission = session.get_one(Mission, pledge.mission_id)
    language = visit.language
    page = visit.core.renderer.page(
        "pledge_sign.html",
        language,
        **_frame(visit, session, link, SIGNATURES, facts.time_zone),
        pledge=pledge_views.view_of(facts, language),
        terms=pledge_views.terms_of(facts, language),
        time_zone=facts.time_zone,
        mission=mission,
        mission_url=f"/m/{mission.slug}?lang={language}",
        waits_for=[one.name for one in facts.causes if one.accepted_at is None],
        signed_by=pledge.signed_by or "",
        signed_at=pledge_views.moment(pledge.signed_at, facts.time_zone, language),
        is_signed=pledge.signed_at is not None,
        terms_hash=sponsorship.terms_hash_of(session, pledge, organisation_name=owner.name),
    )
    return HTMLResponse(page, headers=_HEADERS)


def _offer_page(visit: Visit, session: DbSession) -> HTMLResponse:
    link = _link(visit, session, "beneficiary_id")
    found = session.get_one(Beneficiary, link.beneficiary_id)
    owner = identity.organisation_by_id(session, found.organisation_id)
    named = (
        select(Pledge)
        .join(PledgeBeneficiary, col(PledgeBeneficiary.pledge_id) == Pledge.id)
        .where(PledgeBeneficiary.beneficiary_id == found.id)
        .order_by(col(Pledge.id).desc())
        .limit(PLEDGES_SHOWN)
    )
    page = visit.core.renderer.page(
        "pledge_accept.html",
        visit.language,
        **_frame(visit, session, link, ACCEPTANCES, "Europe/Paris"),
        beneficiary=found,
        pledges=[_named(session, one, visit.language) for one in session.exec(named).all()],
        accepted_by=found.accepted_by or "",
        accepted_at=pledge_views.moment(found.accepted_at, "Europe/Paris", visit.language),
        terms_hash=sponsorship.acceptance_hash(found, organisation_name=owner.name),
    )
    return HTMLResponse(page, headers=_HEADERS)


def _named(session: DbSession, pledge: Pledge, language: str) -> pledge_views.PledgeView:
    return pledge_views.view_of(sponsorship.facts_of(session, [pledge])[0], language)


def _link(visit: Visit, session: DbSession, subject: str) -> PledgeLink:
    link = sponsorship.link_by_secret(session, visit.secret, now=visit.now)
    if getattr(link, subject) is None:
        raise NotFound("This link is for something else.", code="unknown_pledge_link")
    return link


def _frame(visit: Visit, session: DbSession, link: PledgeLink, kind: str, time_zone: str) -> dict[str, Any]:
    """What both pages show: whose it is, until when, and why what was typed was not taken."""
    language, error, path = visit.language, visit.error, f"/{kind}/{visit.secret}"
    return {
        **views.house(session, link.organisation_id),
        "action": f"{path}?lang={language}",
        "other_lang_url": f"{path}?lang={'en' if language == 'fr' else 'fr'}",
        "good_until": pledge_views.moment(link.expires_at, time_zone, language),
        "is_used": link.used_at is not None,
        "problem": visit.core.renderer.sentence(language, error.code, error.detail) if error else "",
        "is_name_wrong": error is not None and error.context.get("pointer") == "/name",
        "typed_name": visit.name,
        "most": NAME_LENGTH,
    }
