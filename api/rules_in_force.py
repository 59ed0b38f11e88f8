"""What is in force, in memory: each mission's rules, and the mission with its steps that a campaign's scans lead to.

An act records the one and completes the other, and shall neither generate a text nor read them again. An announcement
drops what it touches; a look-up that one overtook is used once and not kept (generation number).
"""

import threading
from collections.abc import Callable, Hashable, Sequence
from datetime import datetime
from typing import Generic, TypeVar
from uuid import UUID

from campaigns import identity, legal, missions
from campaigns.legal import Document, LegalVersion
from campaigns.missions import Led, Mission, Step
from campaigns.storage import Database

KEPT = 5_000  # missions, and campaigns
Name = TypeVar("Name", bound=Hashable)
Known = TypeVar("Known")


class Shelf(Generic[Name, Known]):
    """What this process knows, by id or name, with the ids of the campaign and organisation whose changes end it."""

    def __init__(self) -> None:
        self._kept: dict[Name, tuple[Known, tuple[UUID, ...]]] = {}
        self._generation = 0
        self._lock = threading.Lock()

    def find(self, name: Name, look: Callable[[], tuple[Known, tuple[UUID, ...]]]) -> Known:
        """What is known, else what `look` finds."""
        known = self._kept.get(name)
        if known is not None:
            return known[0]
        generation = self._generation
        found = look()
        with self._lock:
            if generation == self._generation:
                if len(self._kept) >= KEPT:
                    self._kept.pop(next(iter(self._kept)))
                self._kept[name] = found
        return found[0]

    def hear(self, kind: str, id: UUID) -> None:
        """Forget what a committed change of a campaign, its mission or its organisation may have put out of force."""
        if kind not in ("campaign", "organisation", "everything"):
            return
        with self._lock:
            self._generation += 1
            for name, (_, owners) in list(self._kept.items()):
                if kind == "everything" or id in owners:
                    del self._kept[name]


class RulesInForce:
    """The versions this process knows to be in force, by mission, and the missions of campaigns."""

    def __init__(self) -> None:
        self._versions: Shelf[UUID, UUID] = Shelf()
        self._led: Shelf[UUID, Led] = Shelf()
        self._named: Shelf[str, Led] = Shelf()

    def version_id(self, database: Database, mission: Mission, *, now: datetime) -> UUID:
        """The version in force now, made when the rules changed. Opens sessions of its own unless it is known."""

        def look() -> tuple[UUID, tuple[UUID, ...]]:
            version = in_force(database, Document.RULES, mission.organisation_id, mission, now=now)
            return version.id, (mission.campaign_id, mission.organisation_id)

        return self._versions.find(mission.id, look)

    def led_to(self, database: Database, campaign_id: UUID) -> Led:
        """Where scans of a campaign lead, for reading. Opens a session of its own unless it is known."""

        def look() -> tuple[Led, tuple[UUID, ...]]:
            with database.snapshot() as session:
                return missions.led_to(session, campaign_id), (campaign_id,)

        return self._led.find(campaign_id, look)

    def named(self, database: Database, name: str) -> tuple[Mission, Sequence[Step]]:
        """The mission of an id or slug, with its steps, for reading; NotFound else."""

        def look() -> tuple[Led, tuple[UUID, ...]]:
            with database.snapshot() as session:
                found = missions.mission_named(session, name)
                return Led(found, missions.steps_of(session, found.id)), (found.campaign_id,)

        led = self._named.find(name, look)
        assert led.mission is not None  # noqa: S101  # or it was not found
        return led.mission, led.steps

    def hear(self, kind: str, id: UUID) -> None:
        """Forget what a committed change may have put out of force."""
        self._named.hear(kind, id)
        self._versions.hear(kind, id)
        self._led.hear(kind, id)


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
