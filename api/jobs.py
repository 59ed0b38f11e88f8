"""Jobs: how far bulk work has come, and how to stop it."""

from typing import Any

from fastapi import APIRouter

from api.bulk import JobRead, show_job
from api.dependencies import Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.policies import Actor, may
from campaigns import ids, jobs
from campaigns.identity import Right

router = APIRouter(prefix="/v1", tags=["jobs"])


@router.get("/jobs", dependencies=[may(Right.CAMPAIGNS_READ)])
def list_jobs(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Jobs of the organisation, newest first."""
    rows = jobs.list_jobs(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, show_job, lambda one: one.id)


@router.get("/jobs/{job_id}", dependencies=[may(Right.CAMPAIGNS_READ)], response_model=JobRead)
def read_job(job_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One job: its state, how many items are done of how many, and where its result will be."""
    return tags.read(show_job(jobs.job_by_id(session, actor.organisation_id, ids.parse("job", job_id))))


@router.post("/jobs/{job_id}/cancellation", dependencies=[may(Right.CAMPAIGNS_WRITE)])
def cancel_job(job_id: str, actor: Actor, session: Session, now: Now) -> JobRead:
    """Stop a job: a queued one at once, a running one after at most 500 items more. What is done stays.

    A job that has ended stays as it ended; asking twice is asking once.
    """
    job = jobs.job_by_id(session, actor.organisation_id, ids.parse("job", job_id))
    return show_job(jobs.ask_to_cancel(session, job, now=now))
