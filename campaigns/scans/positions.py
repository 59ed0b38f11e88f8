"""Positions of a scan: what a phone reports, where its circle lies, and the better of the two that are kept."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import bindparam, select
from sqlmodel import Session

from campaigns import prepared
from campaigns.places import Place
from campaigns.places.geofence import Geofence, bucket, cell, distance_m, judge
from campaigns.scans.models import (
    ScanPosition,
)
from campaigns.scans.receipt import PRESENCE_LIFE, Receipt
from campaigns.storage import columns_of, insert_once


@dataclass(frozen=True, slots=True)
class Position:
    """A fix as the phone reports it: degrees WGS84, metres (radius of 95 %), seconds since it was taken."""

    lat: float
    lon: float
    accuracy_m: float
    age_s: float = 0.0

    def fence(self, place: Place | None) -> tuple[Geofence, int | None]:
        """Where the error circle lies, and the upper bound of a coarse distance in metres."""
        if place is None or place.lat is None or place.lon is None:
            return Geofence.NONE, None
        distance = distance_m(self.lat, self.lon, place.lat, place.lon)
        fence = judge(distance, self.accuracy_m, place.radius_m)
        if fence is Geofence.INSIDE and self.age_s > PRESENCE_LIFE.total_seconds():
            fence = Geofence.MAYBE  # an old fix says where the phone was, not where it is
        return fence, bucket(distance)

    @property
    def cell(self) -> str:
        """The coarse cell that is kept when the position is not."""
        return cell(self.lat, self.lon)


class SealedFix(NamedTuple):
    """What is kept of a precise fix for 72 hours: the ciphertext, and a keyed hash of its point."""

    sealed: bytes
    point: int | None


def best_fix(session: Session, scan_id: UUID) -> ScanPosition | None:
    """Of the positions given for a scan, the one with the smaller error circle."""
    return _smallest(_fixes(session, scan_id))


def keep_best(
    session: Session,
    receipt: Receipt,
    place: Place | None,
    position: Position | None,
    sealed: SealedFix | None,
    *,
    late: bool,
    now: datetime,
) -> ScanPosition | None:
    """The best of the positions given for a scan, with the one that came now, if any."""
    if position is None or sealed is None:
        return best_fix(session, receipt.scan_id)
    return _keep_position(session, receipt, place, position, sealed, late=late, now=now)


def _keep_position(
    session: Session,
    receipt: Receipt,
    place: Place | None,
    position: Position,
    sealed: SealedFix,
    *,
    late: bool,
    now: datetime,
) -> ScanPosition | None:
    fence, distance = position.fence(place)
    if late and fence is Geofence.INSIDE:
        fence = Geofence.MAYBE
    values: dict[str, Any] = {
        "scan_id": receipt.scan_id,
        "slot": 1,
        "geofence": fence.value,
        "distance_m": distance,
        "cell": position.cell,
        "accuracy_m": accuracy_up(position.accuracy_m),
        "located_at": now,
        "sealed": sealed.sealed,
        "token_id": receipt.token_id,
        "visitor_key": receipt.visitor_key,
        "point": sealed.point,
    }
    if insert_once(session, ScanPosition, **values):  # as most are
        return prepared.as_loaded(ScanPosition, values)
    values["slot"] = 2
    insert_once(session, ScanPosition, **values)
    return best_fix(session, receipt.scan_id)


def _fixes(session: Session, scan_id: UUID) -> Sequence[ScanPosition]:
    found = prepared.rows(session, _OF_SCAN, scan=scan_id)
    return [prepared.as_loaded(ScanPosition, one._asdict()) for one in found]


_OF_SCAN = select(*columns_of(ScanPosition)).where(columns_of(ScanPosition).scan_id == bindparam("scan"))


def _smallest(fixes: Sequence[ScanPosition]) -> ScanPosition | None:
    return min(fixes, key=lambda fix: (fix.accuracy_m, fix.slot), default=None)


def accuracy_up(accuracy_m: float) -> int:
    """Whole metres, rounded up: a circle is never made smaller than it was."""
    return min(int(-(-accuracy_m // 1)), 2**31 - 1)
