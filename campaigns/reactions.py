"""Every side effect on one page: what happens after something was committed. Each runs once an event.

And what each kind of job does: a chunk of it, in the transaction of its progress.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns import letters, rewards, scans, sponsorship, tokens, webhooks
from campaigns.events import Event, record_event
from campaigns.jobs import Job
from campaigns.missions import referrals

Effect = Callable[[Session], None]  # writes
Reaction = Callable[[Session, Sequence[Event], datetime], Effect]  # reads, and returns what to write
SCANS_AN_EVENT = 100
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
    """Look again at scans that were confirmed, located or checked in on; then at referrals that wait for these acts.

    What a pledge may owe and what a coupon may be due for are looked at next: for each scan looked at, and each other
    whose verdict changed.
    """
    wanted = scans_of(events)
    rulings = scans.judge(session, wanted, now=now)
    looked_at = [*wanted, *(one["scan_id"] for one in rulings.judgements)]
    earning = sorted({*sponsorship.pledged_among(session, looked_at), *rewards.earning_among(session, looked_at)})
    qualify = _referrals(session, [event.facts.get("check_in_id") for event in events], now)

    def carry_out(session: Session) -> None:
        rulings.write(session)
        qualify(session)
        for start in range(0, len(earning), SCANS_AN_EVENT):
            ids = [id.hex for id in earning[start : start + SCANS_AN_EVENT]]
            record_event(session, "scans.judged", now=now, scan_ids=ids)

    return carry_out


def count(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Count new scans under their place, code, channel, medium, device, language and country."""
    return scans.derive(session, scans_of(events)).write


def witness(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Look at referrals that wait for an act that a shop witnessed."""
    return _referrals(session, [event.facts["validation_id"] for event in events], now)


def _referrals(session: Session, act_ids: Sequence[str | None], now: datetime) -> Effect:
    waiting = referrals.due(session, [UUID(id) for id in act_ids if id])

    def qualify(session: Session) -> None:
        for id in waiting:
            referrals.qualify(session, id, now=now)

    return qualify


def reckon(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Bring what pledges owe in line: for acts that were done or undone, and for those on scans that were judged."""
    if not sponsorship.is_pledged(session):
        return _nothing
    facts = [event.facts for event in events]
    done = [UUID(id) for one in facts for id in one.get("completion_ids", [one.get("completion_id")]) if id]
    judged = [UUID(id) for one in facts for id in one.get("scan_ids", ())]
    active = [UUID(one["pledge_id"]) for one in facts if "pledge_id" in one]

    def carry_out(session: Session) -> None:
        since = [id for pledge_id in active for id in sponsorship.completions_since(session, pledge_id)]
        sponsorship.reckon(session, [*done, *sponsorship.completions_on(session, judged), *since], now=now)

    return carry_out


def earn(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Give the points, coupons and badges that acts beyond doubt have earned; take back those of reversed acts.

    What an offer could not give while it was paused is handed on, a hundred acts an event.
    """
    facts = [event.facts for event in events]
    waited = [id for event in events if event.name == "steps.waited" for id in event.facts["completion_ids"]]
    completed = [*_named(events, "completion_id", of="step.completed"), *waited]
    missed = rewards.missed(session, [UUID(id) for id in _named(events, "offer_id", of="offer.resumed")])
    undone = [UUID(id) for id in _named(events, "completion_id", of="step.reversed")]
    found = rewards.due_for(
        session,
        scan_ids=[UUID(id) for one in facts for id in one.get("scan_ids", ())],
        completion_ids=[UUID(id) for id in completed],
        undone_ids=undone,
        referral_ids=[UUID(id) for id in _named(events, "referral_id", of="referral.qualified")],
        idea_ids=[UUID(id) for id in _named(events, "idea_id", of="idea.decided")],
        now=now,
    )

    def carry_out(session: Session) -> None:
        rewards.unearn(session, undone, None, now=now)
        rewards.give(session, found, now=now)
        sponsorship.hand_on(session, missed, now=now)

    return carry_out


def _nothing(_: Session) -> None:
    """Nobody pledged anything."""


def _named(events: Sequence[Event], fact: str, *, of: str) -> list[str]:
    return [event.facts[fact] for event in events if event.name == of and fact in event.facts]


def settle(session: Session, events: Sequence[Event], now: datetime) -> Effect:
    """Bring money in line with acts, then coupons: in this order they are held everywhere. Wake acts that waited."""
    parts = [reckon(session, events, now), earn(session, events, now)]

    def carry_out(session: Session) -> None:
        if any(event.name in ("campaign.resumed", "campaign.ended") for event in events):
            sponsorship.release_waiting(session, now=now)
        for part in parts:
            part(session)

    return carry_out


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


# Events of one reaction that wait together are given to it together; in one round reactions come in this order.
REACTIONS: dict[str, Reaction] = {
    "scans.recorded": count,
    "scans.confirmed": judge,
    "scans.located": judge,
    "scan.checked_in": judge,
    "scan.voided": judge,
    "participant.merged": judge,  # what one person cannot have done is asked of both names' scans
    "comment.published": tell_of_answers,
    "case.answered": tell_of_answers,
    "mission.completed": tell_of_missions,
    "act.witnessed": witness,
    "step.completed": settle,  # after the judge, and holding pledges: whoever holds people comes first
    "step.reversed": settle,
    "scans.judged": settle,
    "campaign.resumed": settle,
    "steps.waited": settle,  # all that pledges follow is one reaction: acts draw on them in the order of their events
    "pledge.activated": settle,
    "campaign.ended": settle,
    "referral.qualified": earn,
    "idea.decided": earn,
    "offer.resumed": earn,
}
REACTIONS |= {name: tell_webhooks for name in webhooks.KINDS if name not in REACTIONS}

JOBS: dict[str, Chunk] = {
    tokens.batches.JOB: tokens.fill_batch,
}
