"""Shares of a whole campaign, which take all of its people: counted at once of few, once a minute of many.

What is kept of a campaign with 5,000 people or more is counted anew when an act came or went since, and once an hour;
nobody waits for it. It is never shown when it is older than five minutes: then the worker stands, and is not believed.
"""

from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns import missions, scans
from campaigns.planning import Campaign
from campaigns.stats.kept import WholeFigures
from campaigns.stats.people import bridge_rate

MANY: Final = 5_000  # people, from whom on it takes longer than an answer should
_BELIEVED: Final = timedelta(minutes=5)
_ANEW: Final = timedelta(hours=1)


class Whole(NamedTuple):
    """Shares of a campaign since its launch. `as_of` is when they were counted, None for now."""

    bridge_rate: float | None
    insider_share: float | None
    as_of: datetime | None


def whole_of(session: Session, campaign_id: UUID, *, now: datetime) -> Whole:
    """The shares of a whole campaign."""
    kept = session.get(WholeFigures, campaign_id)
    if kept is not None and now - kept.as_of < _BELIEVED:
        return Whole(kept.bridge_rate, kept.insider_share, kept.as_of)
    return _count(session, campaign_id, None)


def count_whole(session: Session, *, now: datetime) -> list[WholeFigures]:
    """What is to be kept now. Reads only."""
    found = []
    for campaign_id in session.scalars(columns(col(Campaign.id)).order_by(col(Campaign.id))).all():
        visits = scans.visits_between(session, campaign_id)
        if visits.firsts < MANY:
            continue
        stands_at, kept = _stands_at(session, campaign_id, visits), session.get(WholeFigures, campaign_id)
        if kept is None or kept.stands_at != stands_at or now - kept.counted_at >= _ANEW:
            shares = _count(session, campaign_id, now)
            kept = WholeFigures(campaign_id=campaign_id, stands_at=stands_at, counted_at=now, **shares._asdict())
        found.append(WholeFigures(**kept.model_dump() | {"as_of": now}))
    return found


def keep_whole(session: Session, counted: list[WholeFigures]) -> None:
    """Keep what was counted in place of what was kept."""
    for one in counted:
        session.merge(one)


def _count(session: Session, campaign_id: UUID, as_of: datetime | None) -> Whole:
    return Whole(bridge_rate(session, campaign_id), missions.insider_share(session, campaign_id), as_of)


def _stands_at(session: Session, campaign_id: UUID, visits: scans.Visits) -> str:
    """What every act moves: the same text, the same shares."""
    totals = [
        f"{metric} {number}"
        for mission in missions.list_missions(session, campaign_id)
        for metric, number in sorted(missions.counters(session, mission.id).items())
    ]
    return ", ".join([*map(str, visits), *totals])
