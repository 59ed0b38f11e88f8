"""Every side effect on one page: what happens after something was committed. Each runs once an event.

And what each kind of job does: a chunk of it, in the transaction of its progress.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns import scans, tokens
from campaigns.events import Event
from campaigns.jobs import Job
from campaigns.missions import referrals

Effect = Callable[[Session], None]  # writes
Reaction = Callable[[Session, Sequence[Event], datetime], Effect]  # reads, and returns what to write
Chunk = Callable[[Session, Job, datetime], int]  # does at most `jobs.CHUNK` items of a job; how many it did


def judge(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Look again at scans that were confirmed, located or checked in on; then at referrals that wait for these acts."""
    write = scans.judge(session, scans_of(events), now=now).write
    qualify = _referrals(session, [event.facts.get("check_in_id") for event in events], now)

    def carry_out(session: Session) -> None:
        write(session)
        qualify(session)

    return carry_out


def witness(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Look at referrals that wait for an act that a shop witnessed."""
    return _referrals(session, [event.facts["validation_id"] for event in events], now)


def _referrals(session: Session, act_ids: Sequence[str | None], now: datetime) -> Effect:
    waiting = referrals.due(session, [UUID(id) for id in act_ids if id])

    def qualify(session: Session) -> None:
        for id in waiting:
            referrals.qualify(session, id, now=now)

    return qualify


def scans_of(events: Sequence[Event]) -> list[UUID]:
    """The scans that events of the judge name."""
    return [UUID(id) for event in events for id in event.facts.get("scan_ids", [event.facts.get("scan_id")])]


# Events of one reaction that wait together are given to it together.
REACTIONS: dict[str, Reaction] = {
    "scans.confirmed": judge,
    "scans.located": judge,
    "scan.checked_in": judge,
    "scan.voided": judge,
    "act.witnessed": witness,
}

JOBS: dict[str, Chunk] = {
    tokens.batches.JOB: tokens.fill_batch,
}
