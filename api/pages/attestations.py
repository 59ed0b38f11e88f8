"""Attestations: what a person's act or gift brought, and its line of the public ledger. Theirs to show to others."""

import base64
from datetime import UTC
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import HTMLResponse, JSONResponse, Response
from sqlmodel import Session as DbSession

from api.dependencies import Core, ReadSession, Services
from api.forms import wants_json
from api.pages import views
from api.pages.attested_views import attested_view
from api.pages.phone import Tongue, cookies_of, language_for
from api.policies import PUBLIC
from campaigns import ids, privacy, rewards
from campaigns.errors import NotFound
from campaigns.sponsorship.attestation import Attested, attested

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
Attestable = Annotated[str, Path(max_length=40, description="`acr_...` or, of a gift, `gft_...`, as `/me` has it")]


@router.get("/me/attestations/{name}", response_class=HTMLResponse)
def attestation(request: Request, core: Core, session: ReadSession, name: Attestable, lang: Tongue = None) -> Response:
    """The line of the public ledger that is of this phone's person: its number, hash, amount and cause; how to check.

    JSON when asked for. Once there is a line the statement is signed (Ed25519): whoever is shown it can check that it
    comes from here. 404 for everybody but the person; the statement itself does not name them.
    """
    people = [person.id for person in privacy.people_of(session, cookies_of(request).values())]
    if name.startswith("gft_"):
        found = rewards.attested_gifts(session, people, gift_id=ids.parse("gft", name))
    else:
        found = attested(session, people, accrual_id=ids.parse("acr", name))
    if not found:
        raise NotFound("There is no such attestation on this phone.")
    if wants_json(request):
        return JSONResponse(_body(core, found[0]), headers={"Cache-Control": "private, no-store"})
    return _page(request, core, session, found[0], lang)


def _page(request: Request, core: Services, session: DbSession, found: Attested, lang: str | None) -> HTMLResponse:
    language = language_for(request, lang)
    signed = _signed(core, found)
    page = core.renderer.page(
        "attestation.html",
        language,
        **views.house(session, found.mission.organisation_id),
        title=found.mission.title,
        mission_url=f"/m/{found.mission.slug}?lang={language}",
        ledger_url=f"/m/{found.mission.slug}/ledger",
        json_url=f"/me/attestations/{found.name}",
        one=attested_view(found, language),
        statement=signed.get("statement", ""),
        signature=signed.get("signature", ""),
        public_key=signed.get("public_key", ""),
        other_lang_url=f"{request.url.path}?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "private, no-store"})


def _body(core: Services, found: Attested) -> dict[str, Any]:
    return {
        "id": found.name,
        "mission": ids.show("mis", found.mission.id),
        "sponsor": found.sponsor,
        "cause": found.cause,
        "amount_minor": found.amount_minor,
        "currency": found.currency,
        "state": found.state,
        "review_until": found.review_until.astimezone(UTC).isoformat() if found.review_until else None,
        "line": {"number": found.number, "hash": found.hash} if found.number else None,
        "taken_back_by_line": found.taken_back,
        "ledger_url": f"{core.settings.base_url}/m/{found.mission.slug}/ledger.csv",
        **_signed(core, found),
    }


def _signed(core: Services, found: Attested) -> dict[str, str]:
    """The statement with its signature; nothing before there is a line."""
    if found.number is None:
        return {}
    signature = core.keyring.sign_attestation(found.statement.encode())
    return {
        "statement": found.statement,
        "signature": base64.b64encode(signature).decode(),
        "public_key": base64.b64encode(core.keyring.attestation_key()).decode(),
    }
