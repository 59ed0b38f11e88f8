"""The facts of the log that the rules ask for, as plain tuples: an ORM object a row costs more than all the rules."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple
from uuid import UUID

from sqlalchemy import select as columns
from sqlmodel import col

from campaigns import ids
from campaigns.places import Place
from campaigns.scans.models import CheckIn, Scan, ScanConfirmation, ScanJudgement, ScanPosition
from campaigns.scans.receipt import PRESENCE_LIFE
from campaigns.scans.signals import DAY_MS, POINT_ACCURACY_M, Sighting, Spot, milliseconds_of
from campaigns.scans.verdict import Judgement, Reason, judge_further, located

CONFIRMATION = columns(
    col(ScanConfirmation.scan_id),
    col(ScanConfirmation.token_id),
    col(ScanConfirmation.visitor_key),
    col(ScanConfirmation.is_judged),
)
CHECK_IN = columns(col(CheckIn.scan_id), col(CheckIn.participant_id), col(CheckIn.presence), col(CheckIn.checked_in_at))
POSITION = columns(
    col(ScanPosition.scan_id),
    col(ScanPosition.accuracy_m),
    col(ScanPosition.slot),
    col(ScanPosition.geofence),
    col(ScanPosition.distance_m),
    col(ScanPosition.point),
)
JUDGEMENT = columns(
    col(ScanJudgement.id), col(ScanJudgement.scan_id), col(ScanJudgement.verdict), col(ScanJudgement.reasons)
)
SCAN = columns(
    col(Scan.id),
    col(Scan.campaign_id),
    col(Scan.token_id),
    col(Scan.place_id),
    col(Scan.phase),
    col(Scan.verdict),
    col(Scan.reasons),
    col(Scan.rules_version),
)


class Confirmed(NamedTuple):
    """A confirmation of the log."""

    scan_id: UUID
    token_id: UUID
    visitor_key: int
    is_judged: bool

    @property
    def day(self) -> int:
        return milliseconds_of(self.scan_id) // DAY_MS


class Acted(NamedTuple):
    """A check-in of the log."""

    scan_id: UUID
    participant_id: UUID
    presence: int
    checked_in_at: datetime


class Fix(NamedTuple):
    """A position of the log."""

    scan_id: UUID
    accuracy_m: int
    slot: int
    geofence: str
    distance_m: int | None
    point: int | None


class Standing(NamedTuple):
    """The judgement that stands for a scan."""

    id: UUID
    scan_id: UUID
    verdict: str
    reasons: str


class Sighted(NamedTuple):
    """A row of the scan log, as far as it matters here."""

    id: UUID
    campaign_id: UUID | None
    token_id: UUID | None
    place_id: UUID | None
    phase: str
    verdict: str
    reasons: str
    rules_version: int

    @property
    def scanned_at(self) -> datetime:
        return ids.instant_of(self.id)


@dataclass(slots=True)
class Known:
    """All that the rules ask of one confirmed scan by itself."""

    scan: Sighted
    confirmation: Confirmed
    check_in: Acted | None
    fixes: list[Fix]
    place: Place | None
    standing: Standing | None = None
    signals: list[str] = field(default_factory=list)
    is_voided: bool = False

    @property
    def verdict(self) -> str:
        return self.standing.verdict if self.standing else self.scan.verdict

    @property
    def best(self) -> Fix | None:
        return min(self.fixes, key=lambda fix: (fix.accuracy_m, fix.slot)) if self.fixes else None

    @property
    def presence(self) -> int:
        return self.check_in.presence if self.check_in else 0

    def judged(self, *, duplicate: bool = False, signals: Iterable[str] = ()) -> Judgement:
        acted = self.check_in
        best = self.best
        return judge_further(
            [reason for reason in self.scan.reasons.split(",") if reason] + [Reason.VOIDED] * self.is_voided,
            is_test=self.scan.phase == "draft",
            located=located(
                best.geofence if best else None,
                has_position=self.place is not None and self.place.lat is not None,
                presence=self.presence,
                acted=acted is not None,
            ),
            late=acted is not None and acted.checked_in_at - self.scan.scanned_at > PRESENCE_LIFE,
            duplicate=duplicate,
            signals=signals,
            presence=self.presence,
        )

    def sighting(self) -> Sighting:
        return Sighting(
            self.scan.id,
            self.confirmation.token_id,
            self.check_in.participant_id if self.check_in else None,
            self._spot(),
        )

    def _spot(self) -> Spot | None:
        best = self.best
        if best is None or best.distance_m is None or self.place is None:
            return None
        if self.place.lat is None or self.place.lon is None:
            return None
        return Spot(self.place.lat, self.place.lon, best.distance_m + best.accuracy_m)

    def points(self) -> list[tuple[int, int]]:
        """The precise points given for it, each with the day."""
        return [
            (fix.point, self.confirmation.day)
            for fix in self.fixes
            if fix.point is not None and fix.accuracy_m <= POINT_ACCURACY_M
        ]
