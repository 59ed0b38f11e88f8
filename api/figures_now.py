"""The headline figures as a snapshot: what streams send, pages begin with and the polling of a page asks for."""

from typing import Any

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import Response

from api import problems
from api.streams import Reading, Streams, Watched, Watcher
from campaigns import care, clock, stats
from campaigns.stats import Count, Headline, Scope

BUSY = "Too many pages are watching these figures just now. Try again in a moment."


class CountRead(BaseModel):
    """Scans: every opening of a code, those by people, those confirmed; null where nothing could confirm them."""

    raw: int
    human: int
    verified: int | None


class SnapshotRead(BaseModel):
    """What happens now. `minutes` has raw scans of each of the last 15 minutes, the running one last; fewer in a rush.

    `hour` is the running hour, `last_week` the same weekday a week ago up to the same time of day: of its running hour
    the share that is over now (formula same_time_last_week/1). `change` is today / last week - 1, null for a week ago
    without a scan. `visitors` of today are null below five, and of several campaigns or places together. `cases` are
    the shoppers' requests that wait for an answer. Scans after `complete_up_to` may be missing.
    """

    as_of: str
    complete_up_to: str
    time_zone: str
    minutes: list[int]
    hour: CountRead
    today: CountRead
    last_week: CountRead
    change: dict[str, float | None]
    visitors: int | None
    cases: int


def snapshot(reading: Reading, scope: Scope) -> dict[str, Any]:
    """The figures of a scope at the moment of a reading."""
    return shown(reading, scope, stats.read_headline(reading.session, scope, reading.fresh, now=reading.now))


def shown(reading: Reading, scope: Scope, headline: Headline) -> dict[str, Any]:
    """The same of figures that were read."""
    waiting = care.waiting_cases(reading.session, scope.organisation_id, scope.campaign_ids, places=scope.place_ids)
    zone = clock.zone(scope.time_zone)
    return {
        "as_of": reading.now.astimezone(zone).isoformat(timespec="seconds"),
        "complete_up_to": reading.complete_up_to.astimezone(zone).isoformat(timespec="seconds"),
        "time_zone": scope.time_zone,
        "minutes": list(headline.minutes),
        "hour": _count(scope, headline.hour),
        "today": _count(scope, headline.today),
        "last_week": _count(scope, headline.last_week),
        "change": {
            "raw": _change(headline.today.raw, headline.last_week.raw),
            "verified": _change(headline.today.verified, headline.last_week.verified),
        },
        "visitors": headline.visitors,
        "cases": waiting,
    }


def _count(scope: Scope, count: Count) -> dict[str, int | None]:
    is_measured = scope.is_measured or count.verified > 0
    return {"raw": count.raw, "human": count.human, "verified": count.verified if is_measured else None}


def _change(now: int, before: int) -> float | None:
    return round(now / before - 1, 3) if before else None


def watched(scope: Scope) -> Watched:
    """A scope's snapshot as a stream shows it."""
    return Watched(("figures", scope), lambda reading: snapshot(reading, scope))


def stream(request: Request, scope: Scope, watcher: Watcher, *, frames: int | None = None) -> Response:
    """The answer that streams a scope, or 503 when too many watch."""
    streams: Streams = request.app.state.streams
    opened = streams.open(watched(scope), watcher, last_id=request.headers.get("last-event-id"), frames=frames)
    if opened is None:
        return problems.answer(request, 503, "busy", BUSY, headers={"Retry-After": "5"})
    return opened


async def newest(request: Request, scope: Scope) -> Response:
    """The same once, for a page whose stream does not come through: 304 when its tag is known."""
    streams: Streams = request.app.state.streams
    frame = await streams.newest(watched(scope))
    headers = {"ETag": f'"{frame.tag}"', "Cache-Control": "private, no-cache"}
    if f'"{frame.tag}"' in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return Response(frame.body, media_type="application/json", headers=headers)
