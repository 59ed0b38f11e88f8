"""Jobs: work too large for one request, done a chunk a transaction, so that no scan waits behind it.

A chunk and the progress it made are committed together: after a restart or a kill the work goes on from what is
stored. The lease keeps two workers from taking turns at one job; what keeps them from doing one chunk twice is that
the progress only moves from where it was read.
"""

import json
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import Index, delete, func, or_, text, update
from sqlmodel import Field, Session, col, select

from campaigns import prepared
from campaigns.audit import note
from campaigns.errors import CampaignError, NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.storage import Row, changed, find_own, newest

CHUNK = 200  # rows a transaction, some 8 ms: every scan on SQLite waits for it (500 took 18 ms, 20,000 took 150)
LEASE = timedelta(seconds=5)  # after the last chunk of a worker that vanished, another one goes on
ATTEMPTS = 6  # of a chunk that fails, each after twice the pause: 2 s to a minute

_AT_WORK = text("state IN ('queued', 'running')")


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


UNFINISHED = (JobState.QUEUED, JobState.RUNNING)


class LeaseLost(Exception):
    """Another worker moved the job on meanwhile: roll this chunk back, nothing is wrong."""


class Job(Row, table=True):
    """A large piece of work of an organisation. `kind` names the function that does a chunk of it."""

    __tablename__ = "jobs"
    __table_args__ = (
        Index("ix_jobs_organisation_id_id", "organisation_id", "id"),
        Index("ix_jobs_at_work", "lease_until", sqlite_where=_AT_WORK, postgresql_where=_AT_WORK),
    )

    organisation_id: UUID = Field(foreign_key="organisations.id")
    kind: str
    payload: str = Field(description="JSON: ids and plain words, nothing of a person")
    state: str = JobState.QUEUED
    total: int
    done: int = 0
    failed: int = 0
    result_path: str | None = None
    attempts: int = Field(default=0, description="of the chunk that fails")
    error: str | None = None
    leased_by: UUID | None = None
    lease_until: datetime | None = None
    created_at: datetime
    started_at: datetime | None = None
    ended_at: datetime | None = None
    cancel_asked_at: datetime | None = None

    @property
    def facts(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads(self.payload)
        return facts

    @property
    def is_unfinished(self) -> bool:
        return self.state in UNFINISHED

    @property
    def left(self) -> int:
        """Items that are still to do."""
        return self.total - self.done - self.failed


def enqueue(
    session: Session,
    organisation_id: UUID,
    kind: str,
    *,
    total: int,
    result_path: str | None = None,
    now: datetime,
    **facts: UUID | Sequence[UUID] | Sequence[str],
) -> Job:
    """Ask for a job of so many items, to be begun by a worker after the commit. `facts` are ids and plain words."""
    job = Job(
        id=uuid7_at(now),
        organisation_id=organisation_id,
        kind=kind,
        payload=json.dumps(facts, default=_plain),
        total=total,
        result_path=result_path,
        created_at=now,
    )
    session.add(job)
    session.flush()
    return job


def _plain(id: UUID) -> str:
    return id.hex


_UNFINISHED = select(col(Job.id)).where(_AT_WORK).limit(1)


def is_any_unfinished(session: Session) -> bool:
    """Whether there is a job to lease, now or later: read without the write lock, which mostly need not be taken."""
    return prepared.row(session, _UNFINISHED) is not None


def lease(session: Session, kinds: Collection[str], *, by: UUID, now: datetime) -> Job | None:
    """The job that has waited longest for its next chunk, taken for this worker until the lease ends; None for none.

    One conditional UPDATE; on PostgreSQL the row stays locked until the chunk is committed, and others skip it.
    """
    free = or_(
        col(Job.lease_until).is_(None),
        col(Job.lease_until) <= now,
        col(Job.leased_by) == by,
        col(Job.cancel_asked_at).is_not(None),  # whoever comes by may end it
    )
    due = (
        select(Job.id)
        .where(col(Job.state).in_(UNFINISHED), col(Job.kind).in_(kinds), free)
        .order_by(col(Job.lease_until).nulls_first(), col(Job.id))
        .limit(1)
        .with_for_update(skip_locked=True)
    )
    taken = (
        update(Job)
        .where(col(Job.id) == due.scalar_subquery(), col(Job.state).in_(UNFINISHED))
        .values(
            state=JobState.RUNNING,
            leased_by=by,
            lease_until=now + LEASE,
            started_at=func.coalesce(col(Job.started_at), now),
        )
        .returning(Job)
    )
    return session.scalars(taken, execution_options={"populate_existing": True}).first()


def advance(session: Session, job: Job, *, done: int, failed: int = 0, now: datetime) -> None:
    """Move the progress by a chunk, in the chunk's transaction; the last one finishes the job.

    LeaseLost when the job is not where this worker read it any more.
    """
    fields: dict[str, Any] = {"done": job.done + done, "failed": job.failed + failed, "attempts": 0, "error": None}
    is_last = done + failed >= job.left
    moved = changed(
        session,
        update(Job)
        .where(
            col(Job.id) == job.id,
            col(Job.state) == JobState.RUNNING,
            col(Job.leased_by) == job.leased_by,
            col(Job.done) == job.done,
            col(Job.failed) == job.failed,
        )
        .values(**fields),
    )
    if not moved:
        raise LeaseLost
    if is_last:
        _end(session, job.id, JobState.DONE, now=now)


def put_off(session: Session, job_id: UUID, error: Exception, *, by: UUID, now: datetime) -> None:
    """Note that a chunk failed: again after a pause, until it is given up. What the domain refuses is final."""
    job = session.get_one(Job, job_id, with_for_update=True, populate_existing=True)
    is_others = job.leased_by != by and job.lease_until is not None and job.lease_until > now
    if not job.is_unfinished or is_others:  # the lease was rolled back with the chunk
        return
    job.attempts += 1
    job.state, job.started_at = JobState.RUNNING, job.started_at or now
    job.leased_by, job.lease_until = None, now + timedelta(seconds=2**job.attempts)
    job.error = error.detail if isinstance(error, CampaignError) else "Something failed on our side."
    session.add(job)
    session.flush()
    is_refusal = isinstance(error, CampaignError) and error.code != "busy"
    if is_refusal or job.attempts >= ATTEMPTS:
        _end(session, job.id, JobState.FAILED, now=now)


def ask_to_cancel(session: Session, job: Job, *, now: datetime) -> Job:
    """Cancel a job: a queued one at once, a running one after its chunk. What is done stays; an ended one stays too."""
    asked = update(Job).where(col(Job.id) == job.id, col(Job.state).in_(UNFINISHED), col(Job.cancel_asked_at).is_(None))
    if changed(session, asked.values(cancel_asked_at=now)):
        was = {"cancel_asked_at": [None, now]}
        note(session, "job.changed", job.id, organisation_id=job.organisation_id, changes=was, now=now)
    _end(session, job.id, JobState.CANCELLED, of=(JobState.QUEUED,), now=now)
    return session.get_one(Job, job.id, populate_existing=True)


def cancel(session: Session, job: Job, *, now: datetime) -> None:
    """End a running job of which that was asked."""
    _end(session, job.id, JobState.CANCELLED, now=now)


def job_by_id(session: Session, organisation_id: UUID, job_id: UUID) -> Job:
    """The organisation's job; NotFound for another's."""
    job = find_own(session, Job, organisation_id, job_id)
    if job is None:
        raise NotFound("There is no such job.")
    return job


def list_jobs(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Job]:
    """Newest first, older than `before`."""
    query = select(Job).where(Job.organisation_id == organisation_id)
    return newest(session, query, Job, before=before, limit=limit)


def purge_ended(session: Session, *, before: datetime) -> None:
    """Drop the jobs that ended before then. Whoever points at one has let it go."""
    session.execute(delete(Job).where(col(Job.ended_at) < before))


def _end(
    session: Session, job_id: UUID, state: JobState, *, of: Sequence[JobState] = (JobState.RUNNING,), now: datetime
) -> None:
    ended = changed(
        session,
        update(Job)
        .where(col(Job.id) == job_id, col(Job.state).in_(of))
        .values(state=state, ended_at=now, lease_until=None, leased_by=None),
    )
    if ended:
        record_event(session, "job.ended", now=now, job_id=job_id)
