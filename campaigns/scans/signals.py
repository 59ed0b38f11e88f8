"""Signals: what a scan looks like among others (DOMAIN section 4). Pure rules over facts of the log; no database.

Each blames a scan for what was there before it, never for what came after: who was right stays right. The windows
are bounded and each rule is a function of a set, so neither the order in which facts arrive nor the number of
processes that wrote them changes an answer.
"""

from collections import Counter, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID

from campaigns.places.geofence import distance_m

DAY_MS: Final = 86_400_000
HOUR_MS: Final = 3_600_000

# A burst is looked for in ten minutes of the clock.
BURST_MS: Final = 600_000
# burst_source: different codes of one visitor key within them. One person walks to four places in that time (DOMAIN:
# three minutes between places) and finds a few codes in each; people with one model of phone behind one mall's Wi-Fi
# find some more. Codes and not scans, because reloading one page is a duplicate already, and must not cost the visit
# it repeats.
BURST_CODES: Final = 30
# burst_token: confirmed scans of one code within them. One every two seconds for ten minutes is a stadium's screen,
# which has live codes and so presence 2, or a program.
BURST_SCANS: Final = 300

# shared_device: people who checked in under one visitor key within an hour. A table of friends with one model of
# phone has five, a busy shop whose phones share an address some twenty of the most common model; beyond that it is a
# crowd, or one browser being cleared, and only presence 2 can tell which.
SHARED_PEOPLE: Final = 20

# shared_position: visitor keys with one position to seven decimals, a centimetre, on one day. Two readings of a
# satellite receiver never agree so far; a couple's two visits with one laptop may, and so may a marketer who tries
# a code out with a few phones on one typed position.
SHARED_POSITION_VISITORS: Final = 5
# A fix as vague as this comes from a mast or a table of Wi-Fi networks, which say the same to everyone there.
POINT_ACCURACY_M: Final = 250

# spread: visitors who were surely far from the code's place when they scanned it, on one day. One is a joke among
# friends and two are a bad fix; the fifth means that a picture of the code goes round.
SPREAD_VISITORS: Final = 5

# impossible_travel: metres a second between two places. An airliner with the wind behind it makes 300 at most.
TRAVEL_M_S: Final = 300
# Clocks of several servers and a page that was loaded again: nobody is blamed for three kilometres.
TRAVEL_GRACE_S: Final = 10


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a device's fix put the phone: within `slack_m` of a place. All that is kept after three days."""

    lat: float
    lon: float
    slack_m: float


@dataclass(frozen=True, slots=True)
class Sighting:
    """A confirmed scan as these rules see it. `participant_id` is who checked in on it, if anyone."""

    scan_id: UUID
    token_id: UUID
    participant_id: UUID | None = None
    spot: Spot | None = None


def milliseconds_of(scan_id: UUID) -> int:
    """When a scan was made: milliseconds since 1970, from its UUIDv7."""
    return scan_id.int >> 80


def first_id(at_ms: int) -> UUID:
    """The smallest UUID of a millisecond: a bound for ids."""
    return UUID(int=at_ms << 80)


def bursts_of_source(sightings: Iterable[Sighting]) -> set[UUID]:
    """`burst_source`: which scans of one visitor key are of one code too many within ten minutes."""
    codes: dict[int, set[UUID]] = defaultdict(set)
    found = set()
    for one in sorted(sightings, key=_id_of):
        seen = codes[milliseconds_of(one.scan_id) // BURST_MS]
        seen.add(one.token_id)
        if len(seen) > BURST_CODES:
            found.add(one.scan_id)
    return found


def shared_devices(sightings: Iterable[Sighting]) -> set[UUID]:
    """`shared_device`: which scans of one visitor key are of one person too many within the hour before them."""
    window: deque[tuple[int, UUID]] = deque()
    people: Counter[UUID] = Counter()
    found = set()
    for one in sorted(sightings, key=_id_of):
        if one.participant_id is None:
            continue
        at_ms = milliseconds_of(one.scan_id)
        window.append((at_ms, one.participant_id))
        people[one.participant_id] += 1
        while at_ms - window[0][0] >= HOUR_MS:
            _, left = window.popleft()
            people[left] -= 1
            if not people[left]:
                del people[left]
        if len(people) > SHARED_PEOPLE:
            found.add(one.scan_id)
    return found


def impossible_travels(sightings: Iterable[Sighting]) -> set[UUID]:
    """`impossible_travel`: which scans of one participant and day no plane could have reached in time.

    Only device fixes count, each against the last one that was believed. Not by visitor key: two phones of one
    carrier can share a key in two towns. The distance is the least that both fixes allow.
    """
    believed: Sighting | None = None
    found = set()
    for one in sorted(sightings, key=_id_of):
        if one.spot is None:
            continue
        if believed is not None and believed.spot is not None:
            passed_s = (milliseconds_of(one.scan_id) - milliseconds_of(believed.scan_id)) / 1000
            if _least_m(believed.spot, one.spot) > TRAVEL_M_S * (passed_s + TRAVEL_GRACE_S):
                found.add(one.scan_id)
                continue
        believed = one
    return found


def _least_m(one: Spot, other: Spot) -> float:
    return _between_m(one.lat, one.lon, other.lat, other.lon) - one.slack_m - other.slack_m


@lru_cache(4096)
def _between_m(lat1: float, lon1: float, lat2: float, lon2: float) -> float:
    return 0.0 if (lat1, lon1) == (lat2, lon2) else distance_m(lat1, lon1, lat2, lon2)


def _id_of(one: Sighting) -> UUID:
    return one.scan_id
