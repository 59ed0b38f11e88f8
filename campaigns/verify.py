"""`passerelle verify`: every counter against what it counts, in one read-only snapshot beside a running server."""

from datetime import datetime

from sqlmodel import Session, col, select

from campaigns import community, missions, planning, rewards, scans, sponsorship, stats
from campaigns.events import Event
from campaigns.reactions import REACTIONS, judge, scans_of
from campaigns.sponsorship import chain
from campaigns.storage import Database


def verify(database: Database, *, now: datetime | None = None) -> list[str]:
    """What does not add up, in words; an empty list when everything does. With `now` also what is late."""
    with database.moment() as session:
        return problems(session, now=now)


def rejudge(database: Database) -> list[str]:
    """Each scan whose standing verdict is not what the rules say of the log now, in words. Changes nothing."""
    with database.moment() as session:
        judged = [name for name, reaction in REACTIONS.items() if reaction is judge]
        waiting = session.exec(select(Event).where(col(Event.name).in_(judged))).all()
        return list(scans.rejudge(session, waiting=scans_of(waiting)))


def problems(session: Session, *, now: datetime | None = None) -> list[str]:
    """The same within a snapshot that is open already."""
    counted = [*scans.recount(session), *missions.recount(session), *community.recount(session)]
    money = [*sponsorship.recount(session), *chain.recount(session, now=now)]
    return [*planning.recount(session), *counted, *money, *rewards.recount(session), *stats.recount(session)]
