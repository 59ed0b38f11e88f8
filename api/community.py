"""The public record of a mission's community, to download whole."""

from fastapi import APIRouter
from fastapi.responses import StreamingResponse
from sqlmodel import Session as DbSession

from api.community_record import COLUMNS, record_pages
from api.dependencies import Core, Now, ReadSession
from api.exports import csv_file, ndjson_file
from api.policies import Actor, may
from campaigns import ids, missions
from campaigns.identity import Right
from campaigns.missions import Mission

router = APIRouter(prefix="/v1", tags=["missions"])


@router.get(
    "/missions/{mission_id}/community.csv",
    dependencies=[may(Right.MISSIONS_READ)],
    response_class=StreamingResponse,
)
def export_csv(mission_id: str, actor: Actor, session: ReadSession, core: Core, now: Now) -> StreamingResponse:
    """Ideas, decisions, comments, votes, completions of steps and moderation as CSV, streamed. It names nobody.

    A line a record: `record, id, about, at, state, kind, text, reason, number`. Hidden words are withheld, and votes
    of a round whose totals are hidden.
    """
    found = _mission(session, actor, mission_id)
    return csv_file(f"community-{found.slug}", COLUMNS, record_pages(core, found, now, as_text=True))


@router.get(
    "/missions/{mission_id}/community.ndjson",
    dependencies=[may(Right.MISSIONS_READ)],
    response_class=StreamingResponse,
)
def export_ndjson(mission_id: str, actor: Actor, session: ReadSession, core: Core, now: Now) -> StreamingResponse:
    """The same with a JSON object a line; what is not said is null."""
    found = _mission(session, actor, mission_id)
    return ndjson_file(f"community-{found.slug}", record_pages(core, found, now, as_text=False))


def _mission(session: DbSession, actor: Actor, mission_id: str) -> Mission:
    return missions.mission_by_id(session, actor.organisation_id, ids.parse("mis", mission_id))
