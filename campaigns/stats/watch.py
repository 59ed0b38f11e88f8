"""The worker's part in figures: forecasts, shares of many people, and a look at the thresholds each minute."""

from datetime import datetime

from campaigns.stats import targets, thresholds, whole
from campaigns.storage import Database


def keep_forecasts(database: Database, *, now: datetime) -> int:
    """Make and keep the forecasts of campaigns that have none of their civil day yet; of how many campaigns.

    The days are counted without the write lock; a campaign's forecasts are written in a transaction of their own.
    """
    with database.snapshot() as session:
        waiting = targets.due(session, now=now)
    for campaign in waiting:
        with database.moment() as session:
            made = targets.make(session, campaign, now=now)
        with database.transaction() as session:
            targets.keep(session, campaign, made, now=now)
    return len(waiting)


def keep_shares(database: Database, *, now: datetime) -> None:
    """Count and keep the shares of campaigns with many people, where an act came or went."""
    with database.moment() as session:
        counted = whole.count_whole(session, now=now)
    if counted:
        with database.transaction() as session:
            whole.keep_whole(session, counted)


def raise_alerts(database: Database, *, now: datetime) -> int:
    """Look at every threshold, and tell what is crossed and what is back; how many alerts were raised."""
    with database.moment() as session:
        news = [one for one in thresholds.look(session, now=now) if thresholds.is_news(one)]
    if not news:
        return 0
    with database.transaction() as session:
        return thresholds.tell(session, news, now=now)
