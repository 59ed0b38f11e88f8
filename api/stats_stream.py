"""A campaign's headline figures as server-sent events."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response
from sqlmodel import Session as DbSession

from api import figures_now
from api.dependencies import Core
from api.figures_now import SnapshotRead
from api.policies import Actor, may
from api.streams import Watcher
from campaigns import planning, stats, tokens
from campaigns.identity import ApiKey, Right

router = APIRouter(prefix="/v1", tags=["figures"])

_STREAM = {"content": {"text/event-stream": {"schema": SnapshotRead.model_json_schema()}}}


@router.get(
    "/campaigns/{campaign_id}/stats/stream",
    dependencies=[may(Right.FIGURES_READ, placed=True)],
    response_class=Response,
    responses={200: {"description": "Events `figures`, each a whole snapshot", **_STREAM}},
)
def stream_stats(
    campaign_id: str,
    request: Request,
    actor: Actor,
    core: Core,
    frames: Annotated[int | None, Query(ge=1, le=1_000_000, description="End after so many.")] = None,
) -> Response:
    """The headline figures as events `figures`, at most two a second, each a whole snapshot with an `id`.

    A key that is bound to places gets the figures of its places alone. With `Last-Event-ID` the newest snapshot comes
    at once if it is another. The stream ends within a minute of the key's revocation; 503 when too many are open.
    """
    with core.database.snapshot() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        is_measured = tokens.is_measurable(session, campaign)
    scope = stats.scope_of_campaign(campaign, places=actor.place_ids, is_measured=is_measured)
    key_id = actor.key_id

    def may_still(session: DbSession, now: datetime) -> bool:
        key = session.get(ApiKey, key_id)
        return (
            key is not None and key.is_live(now) and Right.FIGURES_READ in key.rights and key.places == actor.place_ids
        )

    return figures_now.stream(request, scope, Watcher("key", key_id, may_still), frames=frames)
