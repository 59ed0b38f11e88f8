"""The version of each mission's rules in force, in memory: an act records it and shall not generate a text for it.

An announcement drops what it touches; a look-up that one overtook is used once and not kept (generation number).
"""

import threading
from datetime import datetime
from uuid import UUID

from campaigns import identity, legal
from campaigns.legal import Document, LegalVersion
from campaigns.missions import Mission
from campaigns.storage import Database

KEPT = 5_000  # missions


class RulesInForce:
    """The versions this process knows to be in force, by mission."""

    def __init__(self) -> None:
        self._kept: dict[UUID, tuple[UUID, UUID, UUID]] = {}  # mission -> version, campaign, organisation
        self._generation = 0
        self._lock = threading.Lock()

    def version_id(self, database: Database, mission: Mission, *, now: datetime) -> UUID:
        """The version in force now, made when the rules changed. Opens sessions of its own unless it is known."""
        known = self._kept.get(mission.id)
        if known is not None:
            return known[0]
        generation = self._generation
        version = in_force(database, Document.RULES, mission.organisation_id, mission, now=now)
        with self._lock:
            if generation == self._generation:
                if len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[mission.id] = (version.id, mission.campaign_id, mission.organisation_id)
        return version.id

    def hear(self, kind: str, id: UUID) -> None:
        """Forget what a committed change of a campaign, its mission or its organisation may have put out of force."""
        if kind not in ("campaign", "organisation", "everything"):
            return
        with self._lock:
            self._generation += 1
            for mission_id, (_, *owners) in list(self._kept.items()):
                if kind == "everything" or id in owners:
                    del self._kept[mission_id]


def in_force(
    database: Database, document: Document, organisation_id: UUID, mission: Mission | None = None, *, now: datetime
) -> LegalVersion:
    """The version of a document in force now. Reads; writes only where the text changed since the newest version."""
    with database.snapshot() as session:
        organisation = identity.organisation_by_id(session, organisation_id)
        fresh = session.get_one(Mission, mission.id) if mission else None
        found = legal.find_in_force(session, document, organisation, fresh)
    if found is not None:
        return found
    with database.transaction() as session:
        organisation = identity.organisation_by_id(session, organisation_id)
        fresh = session.get_one(Mission, mission.id) if mission else None
        return legal.version_in_force(session, document, organisation, fresh, now=now)
