"""What bulk work is answered with: above 500 items 202, `Location: /v1/jobs/{id}`, and the job to watch."""

from datetime import datetime

from fastapi import Response
from pydantic import BaseModel

from campaigns import ids
from campaigns.jobs import Job, JobState


class Progress(BaseModel):
    """Items of a job."""

    done: int
    total: int
    failed: int


class JobRead(BaseModel):
    """A job. `result_url` is there once it is done; `error` says what went wrong last, if anything did."""

    id: str
    kind: str
    state: JobState
    progress: Progress
    result_url: str | None
    error: str | None
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    cancel_asked_at: datetime | None


def show_job(job: Job) -> JobRead:
    """A job as the API shows it."""
    return JobRead(
        id=ids.show("job", job.id),
        state=JobState(job.state),
        progress=Progress(done=job.done, total=job.total, failed=job.failed),
        result_url=job.result_path if job.state == JobState.DONE else None,
        **job.model_dump(include={"kind", "error", "created_at", "started_at", "ended_at", "cancel_asked_at"}),
    )


def accept(response: Response, job: JobRead) -> None:
    """Make an answer the 202 of a job that was just asked for."""
    response.status_code = 202
    response.headers["Location"] = f"/v1/jobs/{job.id}"
