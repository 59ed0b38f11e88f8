"""Two names of one person become one, on one page: who takes part in it, in which order, in one transaction.

The older name takes over what the newer one did. Where a UNIQUE, a quota or a cap a person refuses, the later act is
reversed by the ordinary cascade, with the reason `merged`. A capability that has columns of participants joins here; if
it does not, the database refuses to let the newer name go.

What acts hold is held first, in their order: people, pilots, memberships, texts, pledges, coupons. Counters are
written last, as everywhere: who held one before would wait for an act that waits for them.
"""

from collections.abc import Callable
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, select

from campaigns import (
    audit,
    care,
    community,
    letters,
    missions,
    participants,
    planning,
    reversals,
    rewards,
    scans,
    sponsorship,
    tokens,
)
from campaigns.errors import NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.participants import Merge
from campaigns.participants.merging import REASON
from campaigns.scans import CheckIn

# From what others rest on upwards: of what is no visit any more, the missions' turn (with the scans) tells those above.
MERGES: tuple[Callable[[Session, Merge], None], ...] = (
    planning.merge_pilots,
    tokens.merge,
    missions.merge,
    community.merge,
    sponsorship.merge,
    rewards.merge,
    care.merge,
    letters.merge,
    participants.merge,  # last: nothing else names the newer one
)


def merge(
    session: Session,
    one_id: UUID,
    other_id: UUID,
    *,
    ballot_secret: Callable[[UUID], bytes],
    now: datetime,
) -> Merge:
    """Merge two people into the one who joined first; what was done. Run it in `Database.between_rounds()`.

    NotFound when one is gone, Conflict (`other_scope`) when they cannot be one person.
    """
    found = participants.hold_both(session, one_id, other_id, ballot_secret=ballot_secret, now=now)
    planning.hold_pilots(session, found)
    missions.hold_for_merge(session, found)
    community.hold_texts(session, found)
    for part in MERGES:
        part(session, found)
    if found.older.is_under_15:
        scans.forget_positions(session, found.older.id)
    _void_doubled(session, found)
    found.undone = +found.undone  # without what was none
    _note(session, found)
    return found


def _void_doubled(session: Session, merge: Merge) -> None:
    """Void the scans whose proof the person had used under the other name, with all that rests on them."""
    owner = merge.older.organisation_id
    names = {"visit": "visits", "completion": "steps", "ballot": "ballots", "accrual": "accruals"}
    for scan_id in merge.to_void:
        try:
            scan = scans.scan_of(session, owner, scan_id)
        except NotFound:
            continue  # past its term: nothing of it is in any round or figure that is open
        _, effects = reversals.void_scan(
            session, owner, scan, reason=REASON, ballot_secret=merge.ballot_secret, now=merge.now
        )
        merge.undone.update(names[one.what] for one in effects if one.outcome == "reversed" and one.what in names)


def _note(session: Session, merge: Merge) -> None:
    """Into the audit log, under an id that is nobody's; and for the judge: the scans of both are one person's."""
    owner, now = merge.older.organisation_id, merge.now
    changes = {name: [number] for name, number in sorted(merge.undone.items()) if number}
    audit.note(session, "participant.merged", uuid7_at(now), organisation_id=owner, changes=changes, now=now)
    acts = session.exec(select(CheckIn.scan_id).where(CheckIn.participant_id == merge.older.id)).all()
    record_event(
        session, "participant.merged", now=now, participant_id=merge.older.id, scan_ids=[str(id) for id in acts]
    )
