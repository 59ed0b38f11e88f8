"""Every side effect on one page: what happens after something was committed. Each runs once an event.

And what each kind of job does: a chunk of it, in the transaction of its progress.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns import letters, scans, tokens, webhooks
from campaigns.events import Event
from campaigns.jobs import Job
from campaigns.missions import referrals

Effect = Callable[[Session], None]  # writes
Reaction = Callable[[Session, Sequence[Event], datetime], Effect]  # reads, and returns what to write
Chunk = Callable[[Session, Job, datetime], int]  # does at most `jobs.CHUNK` items of a job; how many it did


def react(reaction: Reaction, session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Read for a reaction to events, and for the webhooks that hear of them; both are written, or neither."""
    write, publish = reaction(session, events, now), webhooks.publish(session, events, now=now)
    if publish is None:
        return write

    def carry_out(session: Session) -> None:
        write(session)
        publish(session)

    return carry_out


def tell_webhooks(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Nothing but what `react` does for every event."""
    return lambda session: None


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


def tell_of_answers(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Write to whom an official answer, or the answer to a case, is for, where they left an address."""
    comment_ids = [UUID(event.facts["comment_id"]) for event in events if "comment_id" in event.facts]
    case_ids = [UUID(event.facts["case_id"]) for event in events if "case_id" in event.facts]
    return _write(letters.write_answers(session, comment_ids=comment_ids, case_ids=case_ids), now)


def tell_of_missions(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Write to who has done a mission, where they left an address."""
    done = [(UUID(one.facts["mission_id"]), UUID(one.facts["participant_id"])) for one in events]
    return _write(letters.write_done(session, done), now)


def _write(found: Sequence[tuple[letters.LetterKind, UUID, UUID]], now: datetime) -> Effect:
    def effect(session: Session) -> None:
        for kind, subject_id, participant_id in found:
            letters.write(session, kind, subject_id, [participant_id], now)

    return effect


# Events of one reaction that wait together are given to it together.
REACTIONS: dict[str, Reaction] = {
    "scans.confirmed": judge,
    "scans.located": judge,
    "scan.checked_in": judge,
    "scan.voided": judge,
    "participant.merged": judge,  # what one person cannot have done is asked of both names' scans
    "comment.published": tell_of_answers,
    "case.answered": tell_of_answers,
    "mission.completed": tell_of_missions,
    "act.witnessed": witness,
}
REACTIONS |= {name: tell_webhooks for name in webhooks.KINDS if name not in REACTIONS}

JOBS: dict[str, Chunk] = {
    tokens.batches.JOB: tokens.fill_batch,
}
