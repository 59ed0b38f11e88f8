"""Open Graph: what messengers and networks show of a link to a mission or an idea, and the pictures for it.

Who fetches them is nobody: no scan, no cookie, no figure. Hidden words are in none of them.
"""

from typing import Annotated

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response

from api.dependencies import Core
from api.etags import Tagged
from api.pages import views
from api.pages.phone import MissionName, Tongue, language_for, mission_named
from api.pages.preview_card import Card, draw
from api.policies import PUBLIC
from campaigns import community, ids, sponsorship
from campaigns.missions.models import text_in
from campaigns.planning import Campaign
from campaigns.scans.service import phase_of

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
KEPT = "public, max-age=600"


@router.get("/m/{mission}/preview.png")
def mission_picture(request: Request, core: Core, tags: Tagged, mission: MissionName, lang: Tongue = None) -> Response:
    """The picture of a shared mission: its title, how far it is, the brand. PNG, 1200 by 630."""
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        phase = phase_of(session.get_one(Campaign, found.campaign_id).state)
        percent = sponsorship.progress(session, found, phase=phase).percent
        brand = views.brand(session, found.organisation_id)
    language = language_for(request, lang)
    kicker = core.renderer.word(language, "Mission")
    card = Card(kicker, text_in(found.title, language), brand, percent)
    return tags.file(draw(card), "image/png", KEPT)


@router.get("/m/{mission}/ideas/{idea}/preview.png")
def idea_picture(
    request: Request,
    core: Core,
    tags: Tagged,
    mission: MissionName,
    idea: Annotated[str, Path(max_length=60)],
    lang: Tongue = None,
) -> Response:
    """The picture of a shared idea: its words, the mission, the brand. Of one that is hidden the mission alone."""
    language = language_for(request, lang)
    with core.database.snapshot() as session:
        found = mission_named(session, mission)
        phase = phase_of(session.get_one(Campaign, found.campaign_id).state)
        row, _ = community.idea_shown(session, found, ids.parse("ide", idea), phase=phase)
        brand = views.brand(session, found.organisation_id)
    title = text_in(found.title, language)
    words = "" if row.hidden_rule else row.text
    card = Card(title, f"« {words} »", brand) if words else Card(core.renderer.word(language, "Mission"), title, brand)
    return tags.file(draw(card), "image/png", KEPT)
