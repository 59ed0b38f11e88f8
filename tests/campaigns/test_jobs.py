"""Jobs: done chunk by chunk, each chunk once, whoever works and whatever breaks, on both databases."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlmodel import Session, select

from campaigns import jobs, worker
from campaigns.errors import Conflict, NotFound
from campaigns.ids import uuid7
from campaigns.jobs import Job, JobState
from campaigns.places import Place
from campaigns.reactions import Chunk
from campaigns.storage import Database
from tests.factories import NOON, make_organisation, make_place
from tests.racing import race

ME, OTHER = uuid7(), uuid7()
SECOND = timedelta(seconds=1)


def open_places(session: Session, job: Job, now: datetime) -> int:
    """A job whose items can be counted: it opens places, at most four a chunk."""
    number = min(4, job.left)
    for index in range(number):
        session.add(
            Place(
                organisation_id=job.organisation_id,
                name=f"{job.done + index}",
                time_zone="Europe/Paris",
                created_at=now,
                changed_at=now,
            )
        )
    return number


def fail(session: Session, job: Job, now: datetime) -> int:
    open_places(session, job, now)
    session.flush()
    raise ValueError("broken")


def refuse(session: Session, job: Job, now: datetime) -> int:
    raise Conflict("This campaign has ended.")


KINDS: Mapping[str, Chunk] = {"open": open_places, "fail": fail, "refuse": refuse}


def ask(database: Database, kind: str = "open", *, total: int = 10) -> UUID:
    with database.transaction() as session:
        organisation = make_organisation(session)
        return jobs.enqueue(session, organisation.id, kind, total=total, result_path="/r", now=NOON).id


def work(database: Database, by: UUID = ME, *, now: datetime = NOON) -> bool:
    return worker.work(database, by=by, now=now, kinds=KINDS)


def read(database: Database, job_id: UUID) -> Job:
    with database.snapshot() as session:
        return session.get_one(Job, job_id)


def names(database: Database) -> list[str]:
    with database.snapshot() as session:
        return sorted(session.exec(select(Place.name)).all())


def cancel(database: Database, job_id: UUID) -> None:
    with database.transaction() as session:
        jobs.ask_to_cancel(session, session.get_one(Job, job_id), now=NOON)


def test_a_job_goes_chunk_by_chunk_to_its_end(database: Database) -> None:
    job_id = ask(database)
    assert read(database, job_id).state == JobState.QUEUED
    seen = []
    while work(database):
        job = read(database, job_id)
        seen.append((job.state, job.done, len(names(database))))
    assert seen == [("running", 4, 4), ("running", 8, 8), ("done", 10, 10)]
    job = read(database, job_id)
    assert (job.started_at, job.ended_at, job.lease_until) == (NOON, NOON, None)


def test_another_worker_waits_for_the_lease_and_goes_on_where_the_first_one_vanished(database: Database) -> None:
    job_id = ask(database)
    assert work(database)
    assert not work(database, OTHER)
    assert work(database, OTHER, now=NOON + jobs.LEASE)
    assert not work(database, now=NOON + jobs.LEASE + SECOND)
    assert read(database, job_id).done == 8
    assert len(names(database)) == 8


def test_racing_workers_do_every_item_once(database: Database) -> None:
    job_ids = {ask(database, total=42) for _ in range(2)}

    def run(index: int) -> None:
        by = uuid7()
        for turn in range(60):  # each turn a second later: leases end all the time
            try:
                work(database, by, now=NOON + SECOND * (turn * 3 + index))
            except jobs.LeaseLost:
                continue

    outcomes = race(6, run)
    assert outcomes == [None] * 6
    assert {read(database, id).state for id in job_ids} == {JobState.DONE}
    assert names(database) == sorted([f"{number}" for number in range(42)] * 2)


def test_a_chunk_that_another_worker_overtook_is_rolled_back(database: Database) -> None:
    job_id = ask(database)

    def overtaken(session: Session, job: Job, now: datetime) -> int:
        open_places(session, job, now)
        job.done += 1  # as if it had been read before another worker's chunk
        session.expunge(job)
        return 4

    with pytest.raises(jobs.LeaseLost):
        worker.work(database, by=ME, now=NOON, kinds={"open": overtaken})
    assert (names(database), read(database, job_id).done) == ([], 0)


def test_a_failing_chunk_leaves_nothing_and_is_tried_again_until_it_is_given_up(database: Database) -> None:
    job_id = ask(database, "fail")
    now = NOON
    for attempt in range(1, jobs.ATTEMPTS + 1):
        assert work(database, now=now)
        job = read(database, job_id)
        assert (job.attempts, job.done, names(database)) == (attempt, 0, [])
        now += timedelta(seconds=2**attempt)
        assert not work(database, now=now - SECOND)  # not before the pause is over
    assert (job.state, job.error) == ("failed", "Something failed on our side.")
    assert not work(database, now=now)


def test_a_failing_job_holds_up_no_other(database: Database) -> None:
    failing, other = ask(database, "fail"), ask(database, total=4)
    assert work(database)
    assert work(database)
    assert (read(database, failing).state, read(database, other).state) == ("running", "done")


def test_what_the_domain_refuses_ends_the_job_with_the_reason(database: Database) -> None:
    job_id = ask(database, "refuse")
    assert work(database)
    job = read(database, job_id)
    assert (job.state, job.error, job.ended_at) == ("failed", "This campaign has ended.", NOON)


def test_two_jobs_take_turns(database: Database) -> None:
    first, second = ask(database), ask(database)
    turns = []
    for turn in range(4):
        assert work(database, now=NOON + SECOND * turn)
        turns.append(sorted((read(database, first).done, read(database, second).done)))
    assert turns == [[0, 4], [4, 4], [4, 8], [8, 8]]


def test_a_queued_job_is_cancelled_at_once_and_a_running_one_after_its_chunk(database: Database) -> None:
    queued = ask(database)
    cancel(database, queued)
    assert read(database, queued).state == JobState.CANCELLED
    running = ask(database)
    assert work(database)
    cancel(database, running)
    assert read(database, running).state == JobState.RUNNING
    assert work(database, OTHER)  # whoever comes by: the lease protects chunks, not the end
    assert not work(database)
    job = read(database, running)
    assert (job.state, job.done, job.ended_at) == ("cancelled", 4, NOON)
    assert len(names(database)) == 4


def test_an_ended_job_stays_as_it_is(database: Database) -> None:
    job_id = ask(database, total=4)
    assert work(database)
    cancel(database, job_id)
    job = read(database, job_id)
    assert (job.state, job.cancel_asked_at) == ("done", None)


def test_a_job_of_an_unknown_kind_is_left_to_those_who_know_it(database: Database) -> None:
    ask(database, "later")
    assert not work(database)


def test_a_job_belongs_to_its_organisation(session: Session) -> None:
    organisation, other = make_organisation(session), make_organisation(session)
    make_place(session, organisation)
    job = jobs.enqueue(session, organisation.id, "open", total=1, now=NOON, place_id=uuid7())
    assert jobs.job_by_id(session, organisation.id, job.id) == job
    assert jobs.list_jobs(session, organisation.id, before=None, limit=5) == [job]
    assert jobs.list_jobs(session, organisation.id, before=job.id, limit=5) == []
    assert jobs.list_jobs(session, other.id, before=None, limit=5) == []
    with pytest.raises(NotFound):
        jobs.job_by_id(session, other.id, job.id)


def test_who_finds_nothing_to_do_waits_for_no_writer(database: Database) -> None:
    with ThreadPoolExecutor(1) as worker_thread, database.transaction() as session:
        session.connection()  # on SQLite nobody else writes now
        assert worker_thread.submit(work, database).result(timeout=5) is False
        assert worker_thread.submit(worker.drain, database, now=NOON).result(timeout=5).done == 0
