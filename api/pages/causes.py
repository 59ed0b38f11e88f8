"""The cause that a person's acts fund, where a pledge names several: chosen on the mission's page or on `/me`."""

from datetime import datetime
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.responses import Response
from starlette.concurrency import run_in_threadpool

from api import schemas
from api.dependencies import Core, Now, Services
from api.forms import read_fields, require_same_site
from api.pages.phone import (
    ClientId,
    MissionName,
    cookie_of,
    is_young,
    keep_cookie,
    language_for,
    mission_named,
    moved,
    objected,
    participant_shown,
)
from api.policies import PUBLIC
from campaigns import ids, missions, sponsorship
from campaigns.errors import NotFound
from campaigns.planning import Campaign

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])


class CauseCreate(schemas.Request):
    """One of the causes that the mission shows. A choice may be changed; the last one stands."""

    beneficiary_id: schemas.Name | None = None
    client_id: ClientId | None = None
    back: Literal["me"] | None = None


@router.post("/m/{mission}/causes")
async def choose_cause(request: Request, core: Core, mission: MissionName, now: Now) -> Response:
    """Choose the cause that one's acts fund from now on: form or JSON `beneficiary_id`. Twice is once.

    409 `no_cause` where no pledge leaves a choice, 422 `cause_missing` for what is not one of the causes.
    """
    require_same_site(request)
    asked = await read_fields(request, CauseCreate)
    return await run_in_threadpool(_choose, request, core, mission, asked, now)


def _choose(request: Request, core: Services, mission: str, asked: CauseCreate, now: datetime) -> Response:
    with core.database.snapshot() as session:
        rules = core.rules.version_id(core.database, mission_named(session, mission), now=now)
    with core.database.transaction() as session:
        found = mission_named(session, mission)
        campaign = session.get_one(Campaign, found.campaign_id)
        phase = missions.require_open(campaign, now=now)
        person, secret = missions.recognise_or_join(
            session,
            campaign,
            cookie_of(request, campaign),
            language=language_for(request, None),
            objected=objected(request),
            is_young=is_young(request),
            now=now,
        )
        cause = sponsorship.choose(session, found, person, _named(asked.beneficiary_id), now=now)
        missions.take_part(session, found, person, phase=phase, rules_version_id=rules, now=now)
    body = {
        "participant": participant_shown(person),
        "cause": {"id": ids.show("ben", cause.id), "name": cause.name},
    }
    answer = moved(request, "/me?just=cause" if asked.back else f"/m/{found.slug}?just=cause", body)
    if secret:
        keep_cookie(answer, core, person, secret)
    return answer


def _named(name: str | None) -> UUID | None:
    """The id of a cause; None for what cannot be one, which is then none of the mission's."""
    try:
        return ids.parse("ben", name or "")
    except NotFound:
        return None
