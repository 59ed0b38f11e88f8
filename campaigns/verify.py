"""`passerelle verify`: every counter against what it counts, in one read-only snapshot beside a running server."""

from sqlmodel import Session

from campaigns import community, missions, scans
from campaigns.storage import Database


def verify(database: Database) -> list[str]:
    """What does not add up, in words; an empty list when everything does."""
    with database.snapshot() as session:
        if not database.is_sqlite:
            session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        return problems(session)


def problems(session: Session) -> list[str]:
    """The same within a snapshot that is open already."""
    return [*scans.recount(session), *missions.recount(session), *community.recount(session)]
