"""Every reversal on one page: what goes when a scan is voided, in the transaction that voids it (I19).

A capability whose rows rest on scans joins by a function here. Each takes the locks of its own acts, in their order,
and says what it undid or what another act now supports.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from sqlmodel import Session

from campaigns import audit, community, missions, rewards, scans
from campaigns.errors import Invalid
from campaigns.events import record_event
from campaigns.scans import Effect, Scan, Voided
from campaigns.scans.models import ScanVoid, VoidEffect

REASON_LIMIT = 500  # characters
Reversal = Callable[[Session, Voided, datetime], list[Effect]]

# In the order in which acts take their locks: memberships, votes and their counters, those of missions, then coupons.
# Each is told what went before it (`Voided.effects`).
REVERSALS: tuple[Reversal, ...] = (community.void_ballots, missions.reverse, rewards.reverse)


def void_scan(
    session: Session,
    organisation_id: UUID,
    scan: Scan,
    *,
    reason: str,
    ballot_secret: Callable[[UUID], bytes],
    now: datetime,
) -> tuple[ScanVoid, list[VoidEffect]]:
    """Void a scan and undo exactly what rested on it, once; twice gives the first answer. Invalid without a reason.

    `ballot_secret` gives the key of a campaign's secret ballots. Run it in `Database.between_rounds()`.
    """
    why = " ".join(reason.split())
    if not 1 <= len(why) <= REASON_LIMIT:
        raise Invalid(f"Say why, in 1 to {REASON_LIMIT} characters: the person reads it.", pointer="/reason")
    least = missions.least_presence(session, scan.campaign_id) if scan.campaign_id else 0
    voided = scans.void(session, scan, reason=why, least_presence=least, now=now)
    if voided is not None:
        if scan.campaign_id is not None:
            voided = replace(voided, ballot_secret=ballot_secret(scan.campaign_id))
        effects = list(voided.effects)
        for reversal in REVERSALS:
            effects += reversal(session, replace(voided, effects=effects), now)
        scans.note_effects(session, scan.id, effects, now=now)
        audit.note(session, "scan.voided", scan.id, organisation_id=organisation_id, changes={"reason": [why]}, now=now)
        record_event(session, "scan.voided", now=now, scan_id=scan.id)
    found = scans.void_of(session, scan.id)
    assert found is not None  # noqa: S101  # written above, or before
    return found
