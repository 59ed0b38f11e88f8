"""The worker: drains the outbox, does jobs a chunk at a time, and forgets what expires.

Runs in a thread of the server, or alone with `passerelle worker`. One drains at a time; the others stand by (an
advisory lock on PostgreSQL, the process lock on SQLite). Each takes jobs of its own.
"""

import logging
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import delete, or_, text, update
from sqlalchemy.exc import OperationalError
from sqlmodel import Session, col, select

from campaigns import audit, care, clock, jobs, privacy, rewards, scans, sponsorship, tokens
from campaigns.errors import Conflict
from campaigns.events import Event, is_any_waiting
from campaigns.ids import uuid7
from campaigns.last_writes import savepoint
from campaigns.letters.sending import Mailer, deliver, tell_results
from campaigns.reactions import JOBS, REACTIONS, Chunk, Effect, Reaction, react
from campaigns.scans import partitions
from campaigns.scans.log_start import log_start
from campaigns.scans.visitor import destroy_salts
from campaigns.sponsorship.chain import Chainer
from campaigns.stats.watch import keep_forecasts, keep_shares, raise_alerts
from campaigns.storage import OUTBOX_LOCK, Database, changed
from campaigns.webhooks import delivering
from campaigns.webhooks.delivering import Sender

ROUND_S = 0.4  # between two looks at an empty outbox; a confirmed scan is judged well within 5 s
EVENTS_A_ROUND = 100
PAYLOAD_A_ROUND = 14_000  # characters: some 400 scans, whose verdicts are written in some 10 ms
COUNTED = "scans.recorded"  # what may wait for verdicts, with a share of each round of its own
COUNTED_A_ROUND = 3_500  # characters: some 100 scans, which their rows and visitors take some 6 ms to write
BETWEEN_CHUNKS_S = 0.005  # the interpreter and the write lock go round: whoever waits is served between two chunks
AT_EASE = timedelta(seconds=2)  # a backlog as young as this leaves the interpreter to the scans, EASE times its own use
EASE = 4
ROWS_AT_ONCE = 500  # written in one transaction: whoever scans waits for no more
SHARE_OUT_S = 2.0  # between two looks for cells to share out, when the outbox is empty
SHARE_OUT_AT_LAST_S = 60.0  # and when it is not
PURGE = timedelta(hours=1)  # between two purges
WATCH = timedelta(hours=1)  # between two looks for codes whose scans fell off
TELL = timedelta(minutes=1)  # between two looks for votes that closed
SEND_S = 1.0  # between two looks for letters, and for messages to webhooks
SENDERS = 3  # of messages to webhooks: two receivers that hang leave one for the others
ESCALATED_A_ROUND = 100  # a round a minute
_MAX_ATTEMPTS = 12

log = logging.getLogger("passerelle.worker")


class Round(NamedTuple):
    """What a round of the outbox did, whether more waits already, and since when the first of it had waited."""

    done: int
    is_full: bool
    since: datetime | None = None


class Plan(NamedTuple):
    """The events of a round by reaction, with what to write for them; None where reading failed."""

    due: list[tuple[Reaction, list[Event], Effect | None]]
    is_full: bool
    is_nothing: bool
    since: datetime | None


def drain(database: Database, *, now: datetime) -> Round:
    """React to the events that are due, those of one reaction together, in one transaction with their effects.

    On SQLite what a reaction reads is read before, without the write lock: every scan waits for who holds it. Nobody
    else reacts meanwhile (the process lock), and what happens meanwhile has events of its own.
    """
    with database.snapshot() as session:
        if not is_any_waiting(session):
            return Round(0, False)
    if database.is_sqlite:
        with database.turn:
            return _drain_sqlite(database, now)
    with database.transaction() as session:
        return _carry_out(session, _plan(session, now), now) if _takes_turn(session) else Round(0, False)


def _drain_sqlite(database: Database, now: datetime) -> Round:
    with database.snapshot() as session:
        plan = _plan(session, now)
    if plan.is_nothing:
        return Round(0, False)
    with database.transaction() as session:
        return _carry_out(session, plan, now)


def share_out(database: Database) -> bool:
    """Share some cells of the rollups out to the pairs of their values; whether more wait."""
    with database.snapshot() as session:
        if not scans.has_cells(session):
            return False
    with database.between_rounds() as session:
        return scans.share_out(session)


def keep_weeks(database: Database, *, now: datetime) -> None:
    """Keep the sums of weeks that are over, some 500 rows a transaction; the whole last: it says that all are kept."""
    with database.snapshot() as session:
        over = list(scans.weeks_over(session, now=now))
    for week in over:
        left = list(reversed(scans.SUMMED))
        while left:
            with database.between_rounds() as session:
                if not scans.is_counted(session, week):
                    return
                rows = 0
                while left and rows < ROWS_AT_ONCE:
                    rows += scans.keep_week(session, week, left.pop())


def set_marks(database: Database, *, now: datetime) -> None:
    """Set the marks among check-ins that are due, one a transaction."""
    with database.snapshot() as session:
        due = scans.marks_due(session, now=now)
    for campaign_id in due:
        is_due = True
        while is_due:
            with database.transaction() as session:
                is_due = scans.set_mark(session, campaign_id, now=now)


def work(database: Database, *, by: UUID, now: datetime, kinds: Mapping[str, Chunk] = JOBS) -> bool:
    """Do one chunk of a job, with its progress, in one transaction; whether there was one to do."""
    with database.snapshot() as session:
        if not jobs.is_any_unfinished(session):
            return False
    job_id: UUID | None = None
    try:
        with database.transaction() as session:
            job = jobs.lease(session, kinds, by=by, now=now)
            if job is None:
                return False
            job_id = job.id
            if job.cancel_asked_at is not None:
                jobs.cancel(session, job, now=now)
            else:
                jobs.advance(session, job, done=kinds[job.kind](session, job, now), now=now)
    except (OperationalError, jobs.LeaseLost):
        raise
    except Exception as error:
        if job_id is None:
            raise
        log.exception("a chunk of job %s failed", job_id)
        with database.transaction() as session:
            jobs.put_off(session, job_id, error, by=by, now=now)
    return True


def purge(database: Database, *, now: datetime) -> None:
    """Drop all that has reached its term, by the rules of `privacy.retention`, and leave none of it behind."""
    for _ in purging(database, now=now):
        pass


def purging(database: Database, *, now: datetime) -> Iterator[bool]:
    """The same, a transaction of at most 500 rows a step: whoever scans is served between two. Yields True."""
    start = log_start(now, by_month=not database.is_sqlite)
    with database.transaction() as session:
        scans.move_log_start(session, to=start)  # before the first row goes: `verify` counts from here on
    if not database.is_sqlite:
        drop_months(database, before=start.date())
    for rule in privacy.RULES:
        while not rule.by_worker and _is_overdue(database, rule, now):
            with database.erasing() as session:
                rule.purge(session, now=now)
            yield True
    purge_jobs(database, now=now)
    destroy_salts(database, before=clock.day_of(now))
    sweep(database)


def _is_overdue(database: Database, rule: privacy.Rule, now: datetime) -> bool:
    """Read without the write lock: mostly nothing has reached its term, and nobody waits for that."""
    with database.snapshot() as session:
        return rule.is_overdue(session, now=now)


def drop_months(database: Database, *, before: date) -> None:
    """Take the months that reached their term out of the log, and drop them (PostgreSQL)."""
    try:
        partitions.detach(database.dsn, before)
    except Conflict:
        return  # another worker is at it
    partitions.drop_detached(database.dsn, before)


def sweep(database: Database) -> None:
    """See to it that what the erased and the purged were is thrown away: SQLite's WAL, PostgreSQL's dead rows."""
    with database.snapshot() as session:
        erased = privacy.unswept(session)
    if not database.forget_overwritten():
        return  # somebody reads: at the next round
    if not database.is_sqlite:
        database.vacuum([*privacy.TOUCHED] if erased else ["scan_positions"])
    if erased:
        with database.transaction() as session:
            privacy.note_swept(session, erased)


def purge_jobs(database: Database, *, now: datetime) -> None:
    """Drop the jobs that ended a month ago: nobody asks for their progress any more."""
    with database.transaction() as session:
        tokens.let_jobs_go(session, before=now - privacy.JOB_LIFE)
        jobs.purge_ended(session, before=now - privacy.JOB_LIFE)


def watch(database: Database, *, since: datetime | None, now: datetime) -> None:
    """Look for codes whose scans fell off on the days that ended after `since`; open and close their alerts."""
    with database.snapshot() as session:
        findings = care.watch(session, since=since, now=now)
    if findings:
        with database.transaction() as session:
            care.tell(session, findings, now=now)


def make_months(database: Database, *, now: datetime) -> None:
    """Make the coming months of the scan log (PostgreSQL)."""
    if not database.is_sqlite:
        with database.engine.begin() as connection:
            partitions.make_months(connection.exec_driver_sql, partitions.months_ahead(now))


def escalate(database: Database, *, now: datetime) -> None:
    """Escalate the cases that nobody answered in time."""
    with database.snapshot() as session:
        late = care.overdue(session, now=now, limit=ESCALATED_A_ROUND)
    if late:
        with database.transaction() as session:
            care.escalate(session, late, now=now)


def post_accruals(database: Database, *, now: datetime) -> None:
    """Post what acts accrued, once its review period is over; a hundred a transaction. And wake acts that waited."""
    with database.snapshot() as session:
        due = sponsorship.due_pledges(session, now=now)
    for pledge_id in due:
        posted = sponsorship.POSTED_AT_ONCE
        while posted == sponsorship.POSTED_AT_ONCE:
            with database.transaction() as session:
                posted = sponsorship.post_due(session, pledge_id, now=now)
    with database.transaction() as session:
        sponsorship.release_waiting(session, now=now)


def end_pledges(database: Database, *, now: datetime) -> None:
    """End the pledges whose time is over, and settle those of which nothing is open."""
    with database.snapshot() as session:
        is_due = sponsorship.is_any_due(session, now=now)
    if is_due:
        with database.transaction(author=audit.SYSTEM) as session:
            sponsorship.end_due(session, now=now)


def expire_coupons(database: Database, *, now: datetime) -> None:
    """Let go of coupons that nobody used in time; 500 a transaction."""
    while True:
        with database.snapshot() as session:
            if not rewards.has_expired(session, now=now):
                return
        with database.transaction() as session:
            if not rewards.expire(session, now=now):
                return


class Worker:
    """A thread that drains and works until it is stopped: events first, then one chunk, in turn."""

    def __init__(
        self,
        database: Database,
        clock: Callable[[], datetime],
        mailer: Mailer | None = None,
        sender: Sender | None = None,
    ) -> None:
        self._id = uuid7()
        self._mailer, self._sender = mailer, sender
        self._senders: list[threading.Thread] = []
        self._database = database
        self._clock = clock
        self._stopping = threading.Event()
        self._chainer = Chainer(database)
        self._purged_at: datetime | None = None
        self._steps: Iterator[bool] | None = None  # of the purge that is under way
        self._shared_out_at = 0.0
        self._thread = threading.Thread(target=self.run, name="worker", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout=15)
        end = time.monotonic() + 2  # a mail server or receiver that hangs keeps nobody from stopping
        for one in self._senders:
            one.join(timeout=max(0.0, end - time.monotonic()))

    def stop_soon(self) -> None:
        """Ask the loop to end after its round; safe in a signal handler."""
        self._stopping.set()

    def run(self) -> None:
        """Rounds until stopped; a failed round is logged and tried again."""
        threading.Thread(target=self._watch, name="watch", daemon=True).start()
        if self._mailer is not None:
            self._senders.append(threading.Thread(target=self._send, args=(self._mailer,), name="letters", daemon=True))
        for _ in range(SENDERS if self._sender is not None else 0):
            self._senders.append(
                threading.Thread(target=self._deliver, args=(self._sender,), name="webhooks", daemon=True)
            )
        for one in self._senders:
            one.start()
        while not self._stopping.is_set():
            pause_s = ROUND_S
            try:
                now = self._clock()
                pause_s = self._drain(now)
                if self._share_out(is_idle=pause_s == ROUND_S):
                    pause_s = BETWEEN_CHUNKS_S
                if work(self._database, by=self._id, now=now):
                    pause_s = BETWEEN_CHUNKS_S
                if self._purge(now):
                    pause_s = BETWEEN_CHUNKS_S
                if self._chainer.turn(now):
                    pause_s = BETWEEN_CHUNKS_S
            except OperationalError as error:
                log.warning("the database does not answer the worker: %s", type(error.orig).__name__)
                self._stopping.wait(1)
            except jobs.LeaseLost:
                log.info("another worker went on with a job of this one")
            except Exception:
                log.exception("a worker's round failed; it goes on in a moment")
                self._stopping.wait(2)
            self._stopping.wait(pause_s)

    def _watch(self) -> None:
        """Late cases, pledges, posting, coupons, forecasts and thresholds each minute; the codes each hour.

        Beside the rounds: 100,000 codes take most of a minute, once a day.
        """
        watched_at: datetime | None = None
        while not self._stopping.wait(60):  # also before the first: a server that starts has others to serve
            try:
                now = self._clock()
                escalate(self._database, now=now)
                post_accruals(self._database, now=now)
                end_pledges(self._database, now=now)
                expire_coupons(self._database, now=now)
                set_marks(self._database, now=now)
                keep_shares(self._database, now=now)
                keep_forecasts(self._database, now=now)
                raise_alerts(self._database, now=now)
                if watched_at is None or now - watched_at >= WATCH:
                    watch(self._database, since=watched_at, now=now)
                    keep_weeks(self._database, now=now)
                    watched_at = now
            except OperationalError as error:
                log.warning("the database does not answer the watch: %s", type(error.orig).__name__)
            except Exception:
                log.exception("the watch over codes failed; it goes on in a minute")

    def _send(self, mailer: Mailer) -> None:
        """Letters as they come, in a thread of its own: a mail server that hangs keeps no judge waiting."""
        told_at: datetime | None = None
        while not self._stopping.is_set():
            is_busy = False
            try:
                now = self._clock()
                if told_at is None or now - told_at >= TELL:
                    tell_results(self._database, mailer, now=now)
                    told_at = now
                is_busy = deliver(self._database, mailer, now=now)
            except OperationalError as error:
                log.warning("the database does not answer the letters: %s", type(error.orig).__name__)
            except Exception:
                log.exception("a letter failed; others go on in a moment")
            self._stopping.wait(BETWEEN_CHUNKS_S if is_busy else SEND_S)

    def _deliver(self, sender: Sender) -> None:
        """Messages to webhooks as they come, in threads of their own: a receiver that hangs keeps no judge waiting."""
        id = uuid7()
        while not self._stopping.is_set():
            is_busy = False
            try:
                is_busy = delivering.deliver(self._database, sender, by=id)
            except OperationalError as error:
                log.warning("the database does not answer the webhooks: %s", type(error.orig).__name__)
            except Exception:
                log.exception("a message to a webhook failed; others go on in a moment")
            self._stopping.wait(BETWEEN_CHUNKS_S if is_busy else SEND_S)

    def _purge(self, now: datetime) -> bool:
        """A step of the hourly purge, when it is due; whether more of it waits. One that fails is begun anew."""
        steps, self._steps = self._steps, None
        if steps is None:
            if self._purged_at is not None and now - self._purged_at < PURGE:
                return False
            make_months(self._database, now=now)
            steps = purging(self._database, now=now)
        if next(steps, False):
            self._steps = steps
            return True
        self._purged_at = now
        return False

    def _share_out(self, *, is_idle: bool) -> bool:
        """Share out some cells, when that is due; whether more of them wait."""
        if time.monotonic() - self._shared_out_at < (SHARE_OUT_S if is_idle else SHARE_OUT_AT_LAST_S):
            return False
        if share_out(self._database):
            return True
        self._shared_out_at = time.monotonic()
        return False

    def _drain(self, now: datetime) -> float:
        """A round of the outbox; how long to pause after it. Who scans now goes before what may wait a moment."""
        began = time.monotonic()
        done = drain(self._database, now=now)
        if not done.is_full:
            return ROUND_S
        is_late = done.since is not None and now - done.since > AT_EASE
        return BETWEEN_CHUNKS_S if is_late else EASE * (time.monotonic() - began)


def _takes_turn(session: Session) -> bool:
    return bool(session.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": OUTBOX_LOCK}).scalar_one())


def _plan(session: Session, now: datetime) -> Plan:
    urgent = [name for name in REACTIONS if name != COUNTED]
    events, is_full = _due(session, urgent, PAYLOAD_A_ROUND, now)
    scans_to_count, is_behind = _due(session, [COUNTED], COUNTED_A_ROUND, now)
    by_reaction: dict[Reaction, list[Event]] = defaultdict(list)
    for event in (*scans_to_count, *events):
        by_reaction[REACTIONS[event.name]].append(event)
    silent = session.exec(select(Event.id).where(col(Event.name).not_in(REACTIONS)).limit(1)).first()
    turns = [one for one in dict.fromkeys(REACTIONS.values()) if one in by_reaction]  # locks come in one order
    return Plan(
        [(one, by_reaction[one], _read_for(session, one, by_reaction[one], now)) for one in turns],
        is_full=is_full or is_behind,
        is_nothing=not by_reaction and silent is None,
        since=events[0].recorded_at if events else None,
    )


def _due(session: Session, names: Sequence[str], most: int, now: datetime) -> tuple[list[Event], bool]:
    """The first events of these names that are due, so many characters; and whether more wait."""
    waiting = session.exec(
        select(Event)
        .where(
            col(Event.name).in_(names),
            Event.attempts < _MAX_ATTEMPTS,
            or_(col(Event.retry_at).is_(None), col(Event.retry_at) <= now),
        )
        .order_by(col(Event.id))
        .limit(EVENTS_A_ROUND)
    ).all()
    taken = size = 0
    for event in waiting:
        taken += 1
        size += len(event.payload)
        if size > most:
            break
    return list(waiting[:taken]), taken < len(waiting) or taken == EVENTS_A_ROUND


def _read_for(session: Session, reaction: Reaction, events: list[Event], now: datetime) -> Effect | None:
    try:
        with savepoint(session):
            return react(reaction, session, events, now)
    except Exception:
        return None  # tried again in the writing transaction, each alone, and told there


def _carry_out(session: Session, plan: Plan, now: datetime) -> Round:
    # Events nobody reacts to are published by being committed.
    done = changed(session, delete(Event).where(col(Event.name).not_in(REACTIONS)))
    for reaction, events, effect in plan.due:
        _react(session, reaction, events, effect, now)
        done += len(events)
    return Round(done, plan.is_full, plan.since)


def _react(session: Session, reaction: Reaction, events: list[Event], effect: Effect | None, now: datetime) -> None:
    """React to events together; when that fails, to each alone, so that one bad event holds up no other."""
    try:
        with savepoint(session):
            (effect or react(reaction, session, events, now))(session)
            session.execute(delete(Event).where(col(Event.id).in_([event.id for event in events])))
    except Exception as error:
        if len(events) > 1:
            for event in events:
                _react(session, reaction, [event], None, now)
        else:
            _put_off(session, events[0], error, now)


def _put_off(session: Session, event: Event, error: Exception, now: datetime) -> None:
    log.exception("the reaction to %s %s failed", event.name, event.id)
    session.execute(
        update(Event)
        .where(col(Event.id) == event.id)
        .values(
            attempts=event.attempts + 1,
            retry_at=now + timedelta(seconds=2 ** (event.attempts + 1)),
            error=f"{type(error).__name__}: {error}"[:500],
        )
    )
