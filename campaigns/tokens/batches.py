"""Batches: many tokens made together, and the serial codes of mass print, each good once."""

import os
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select as columns
from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import jobs
from campaigns.announcements import announce
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import NIL, show, uuid7_at
from campaigns.jobs import Job
from campaigns.places import Place
from campaigns.planning import Campaign, State
from campaigns.storage import find_own, insert_many_once, insert_once, newest
from campaigns.tokens import codes
from campaigns.tokens.models import Good, Kind, Medium, Purpose, SerialUse, Token, TokenBatch, TokenState

MOST_SERIALS = 100_000  # of a batch
MOST_STATICS = 5_000  # of a batch
AT_ONCE = 500  # tokens made while the caller waits; more are a job
PAGE = 1_000  # codes read at a time, so that a list of any length takes the same memory
JOB = "token_batch"  # the kind of job that fills a batch
_DRAWS = 5  # of codes that were all taken: with 75 bits the first draw is nearly always the last

RandomBytes = Callable[[int], bytes]


class Line(NamedTuple):
    """A code of a batch, as a printer needs it. `place` is the name of its place."""

    token_id: UUID
    code: str
    medium: str
    label: str | None
    place: str | None
    state: str


def issue_serials(
    session: Session,
    campaign: Campaign,
    *,
    count: int,
    medium: Medium,
    place: Place | None,
    good: Good = Good.ONCE,
    handed_over: bool = False,
    purpose: Purpose | None = None,
    label: str | None = None,
    channel: str | None = None,
    now: datetime,
    random_bytes: RandomBytes = os.urandom,
) -> TokenBatch:
    """A batch of serial codes: made at once up to 500, above that by the job it names.

    Conflict on an ended campaign; Invalid when codes are handed over at no place.
    """
    if not 1 <= count <= MOST_SERIALS:
        raise Invalid(f"A batch has 1 to {MOST_SERIALS:,} codes.", pointer="/count")
    if purpose is Purpose.CARDS and handed_over:
        raise Invalid("A card is a person, and proves no presence: leave handed_over out.", pointer="/handed_over")
    if handed_over and place is None:
        raise Invalid("Codes are handed over at a place: give place_id.", pointer="/place_id")
    batch = _open_batch(
        session,
        campaign,
        now=now,
        kind=Kind.SERIAL,
        medium=medium,
        place_id=place.id if place else None,
        count=count,
        good=None if purpose is Purpose.CARDS else good,
        handed_over=handed_over,
        purpose=purpose,
        label=label,
        channel=channel,
    )
    if count > AT_ONCE:
        _leave_to_a_job(session, batch, now=now)
    else:
        _make_serials(session, batch, count, now=now, random_bytes=random_bytes)
    return batch


def issue_statics(
    session: Session,
    campaign: Campaign,
    *,
    media: Sequence[Medium],
    places: Sequence[Place],
    label: str | None = None,
    channel: str | None = None,
    now: datetime,
    random_bytes: RandomBytes = os.urandom,
) -> TokenBatch:
    """A batch of static codes, one a place and medium, in that order: made at once up to 500, above that by its job.

    Conflict on an ended campaign.
    """
    if not places:
        raise Invalid("There is no place to make codes for.", pointer="/place_ids")
    count = len(places) * len(media)
    if count > MOST_STATICS:
        raise Invalid(f"A batch has at most {MOST_STATICS:,} codes; name fewer places.", pointer="/place_ids")
    batch = _open_batch(session, campaign, now=now, kind=Kind.STATIC, count=count, label=label, channel=channel)
    where, carriers = [place.id for place in places], [medium.value for medium in media]
    if count > AT_ONCE:
        _leave_to_a_job(session, batch, now=now, place_ids=where, media=carriers)
    else:
        _make_statics(session, batch, _spots(where, carriers), now=now, random_bytes=random_bytes)
    return batch


def fill_batch(session: Session, job: Job, now: datetime) -> int:
    """Make the next codes of a batch, a chunk at most. Conflict when its campaign has ended meanwhile."""
    facts = job.facts
    batch = session.get_one(TokenBatch, UUID(facts["batch_id"]))
    require_open(session.get_one(Campaign, batch.campaign_id), now=now)
    number = min(jobs.CHUNK, job.left)
    if batch.kind == Kind.STATIC:
        spots = _spots([UUID(id) for id in facts["place_ids"]], facts["media"])[job.done : job.done + number]
        _make_statics(session, batch, spots, now=now, random_bytes=os.urandom)
    else:
        _make_serials(session, batch, number, now=now, random_bytes=os.urandom)
    return number


def require_open(campaign: Campaign, *, now: datetime) -> None:
    """Conflict on a campaign that is over."""
    if campaign.state_at(now) is State.ENDED:
        raise Conflict("This campaign has ended; it takes no new tokens.", code="wrong_state")


def use_serial(session: Session, token_id: UUID, *, good: str, person_id: UUID, scan_id: UUID, now: datetime) -> bool:
    """Spend a serial, once in all or once for this person, as its batch says; whether nobody had used it before.

    Conflict (`serial_used`) on the second use.
    """
    use = {"token_id": token_id, "scan_id": scan_id, "used_at": now}
    is_first = insert_once(session, SerialUse, person_id=NIL, **use)
    is_good = is_first if good == Good.ONCE else insert_once(session, SerialUse, person_id=person_id, **use)
    if not is_good:
        raise Conflict("This code was used already. It is good once.", code="serial_used")
    return is_first


def find_card(session: Session, organisation_id: UUID, code: str) -> Token | None:
    """The card of an organisation that carries a code; None for any other code."""
    query = select(Token).join(TokenBatch, col(TokenBatch.id) == Token.batch_id)
    mine = (Token.code == code, Token.organisation_id == organisation_id, TokenBatch.purpose == Purpose.CARDS.value)
    return session.exec(query.where(*mine)).first()


def batch_by_id(session: Session, organisation_id: UUID, batch_id: UUID) -> TokenBatch:
    """The organisation's batch; NotFound for another's."""
    batch = find_own(session, TokenBatch, organisation_id, batch_id)
    if batch is None:
        raise NotFound("There is no such batch of tokens.")
    return batch


def job_of(session: Session, batch: TokenBatch) -> Job | None:
    """The job that makes the batch; None for one made at once."""
    return session.get(Job, batch.job_id) if batch.job_id else None


def let_jobs_go(session: Session, *, before: datetime) -> None:
    """Part the batches from the jobs that ended before then: what was made of one is what it counts from now on."""
    own = col(Job.id) == col(TokenBatch.job_id)
    session.execute(
        update(TokenBatch)
        .where(columns(col(Job.id)).where(own, col(Job.ended_at) < before).exists())
        .values(count=columns(col(Job.done)).where(own).scalar_subquery(), job_id=None)
    )


def list_batches(session: Session, campaign_id: UUID, *, before: UUID | None, limit: int) -> Sequence[TokenBatch]:
    """Newest first, older than `before`."""
    query = select(TokenBatch).where(TokenBatch.campaign_id == campaign_id)
    return newest(session, query, TokenBatch, before=before, limit=limit)


def require_made(session: Session, batch: TokenBatch) -> None:
    """Conflict (`job_running`) while the codes are still being made. After a cancellation those made are all."""
    job = job_of(session, batch)
    if job is not None and job.is_unfinished:
        detail = f"The codes are being made: {job.done} of {job.total}. Ask again when the job is done."
        raise Conflict(detail, code="job_running", job_id=job.id, retry_after_s=2)


def lines_of(session: Session, batch_id: UUID, *, after: UUID | None) -> Sequence[Line]:
    """The next codes of a batch after a token, a page of 1,000 in the order they were made; empty at the end."""
    query = (
        columns(col(Token.id), col(Token.code), col(Token.medium), col(Token.label), col(Place.name), col(Token.state))
        .join(Place, col(Place.id) == col(Token.place_id), isouter=True)
        .where(col(Token.batch_id) == batch_id)
        .order_by(col(Token.id))
        .limit(PAGE)
    )
    if after is not None:
        query = query.where(col(Token.id) > after)
    return [Line._make(row) for row in session.execute(query)]


def _open_batch(session: Session, campaign: Campaign, *, now: datetime, **fields: Any) -> TokenBatch:
    require_open(campaign, now=now)
    batch = TokenBatch(
        id=uuid7_at(now),
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        created_at=now,
        **fields,
    )
    session.add(batch)
    session.flush()
    record_event(session, "token_batch.issued", now=now, batch_id=batch.id)
    return batch


def _leave_to_a_job(session: Session, batch: TokenBatch, *, now: datetime, **facts: Sequence[UUID] | list[str]) -> None:
    result = f"/v1/token-batches/{show('tbt', batch.id)}/codes.csv"
    job = jobs.enqueue(
        session,
        batch.organisation_id,
        JOB,
        total=batch.count,
        result_path=result,
        now=now,
        batch_id=batch.id,
        **facts,
    )
    batch.job_id = job.id
    session.add(batch)


def _spots(place_ids: Sequence[UUID], media: Sequence[str]) -> list[tuple[UUID, str]]:
    return [(place_id, medium) for place_id in place_ids for medium in media]


def _make_statics(
    session: Session,
    batch: TokenBatch,
    spots: Sequence[tuple[UUID, str]],
    *,
    now: datetime,
    random_bytes: RandomBytes,
) -> None:
    rows = [
        _row(batch, id, now=now, place_id=place_id, medium=medium)
        for id, (place_id, medium) in zip(_ids(len(spots), now), spots, strict=True)
    ]
    _insert_all(session, rows, lambda number: [codes.new_code(random_bytes) for _ in range(number)])
    announce(session, "code", batch.id)


def _make_serials(
    session: Session, batch: TokenBatch, number: int, *, now: datetime, random_bytes: RandomBytes
) -> None:
    # Nobody is told of these codes: with 75 random bits no phone can have asked for one before.
    rows = [_row(batch, id, now=now, place_id=batch.place_id, medium=batch.medium) for id in _ids(number, now)]
    _insert_all(session, rows, lambda wanted: codes.new_serials(wanted, random_bytes))


def _ids(number: int, now: datetime) -> Iterator[UUID]:
    """Ids in their order: those of one millisecond come in any."""
    return iter(sorted(uuid7_at(now) for _ in range(number)))


def _row(batch: TokenBatch, id: UUID, *, now: datetime, **fields: Any) -> dict[str, Any]:
    return {
        "id": id,
        "organisation_id": batch.organisation_id,
        "campaign_id": batch.campaign_id,
        "batch_id": batch.id,
        "kind": batch.kind,
        "state": TokenState.ACTIVE.value,
        "label": batch.label,
        "channel": batch.channel,
        "created_at": now,
        "changed_at": now,
        **fields,
    }


def _insert_all(session: Session, rows: list[dict[str, Any]], draw: Callable[[int], Sequence[str]]) -> None:
    """Insert every row with a code of its own; those whose code was taken get another."""
    for _ in range(_DRAWS):
        drawn = draw(len(rows))
        coded = [{**row, "code": code} for row, code in zip(rows, drawn, strict=True)]
        if insert_many_once(session, Token, coded) == len(rows):
            return
        wanted = [row["id"] for row in rows]
        stored = set(session.scalars(columns(col(Token.id)).where(col(Token.id).in_(wanted))))
        rows = [row for row in rows if row["id"] not in stored]
    raise Conflict("No free codes were found; try again.", code="busy")
