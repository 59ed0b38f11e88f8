"""What the log knows around confirmed scans: read in a few statements for a whole batch, never one by one.

The judge and `verify --rejudge` see the same facts through the same two functions, `Evidence.around` and
`Evidence.judged`. Every window is bounded: a visitor key and a participant's acts by their UTC day, a code's bursts by
ten minutes, a point and the far scans of a code by the day.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as columns
from sqlmodel import Session, col

from campaigns.places import Place
from campaigns.places.geofence import Geofence
from campaigns.scans.facts import (
    CHECK_IN,
    CONFIRMATION,
    JUDGEMENT,
    POSITION,
    SCAN,
    Acted,
    Confirmed,
    Fix,
    Known,
    Sighted,
    Standing,
)
from campaigns.scans.models import (
    CheckIn,
    Scan,
    ScanConfirmation,
    ScanCounter,
    ScanJudgement,
    ScanPosition,
    ScanVoid,
    first_scan,
)
from campaigns.scans.signals import (
    BURST_MS,
    BURST_SCANS,
    DAY_MS,
    HOUR_MS,
    POINT_ACCURACY_M,
    SHARED_POSITION_VISITORS,
    SPREAD_VISITORS,
    Sighting,
    bursts_of_source,
    first_id,
    impossible_travels,
    milliseconds_of,
    shared_devices,
)
from campaigns.scans.verdict import STRONG, Judgement, Reason, Seen, Verdict, duplicates

CHUNK = 400  # values of one IN list
SIGNALS_SINCE = 2  # the first rules version with signals; earlier scans keep the rules they were made under
_VISITABLE = (Verdict.VALID, Verdict.PROVISIONAL, Verdict.HELD)
_FOREVER = UUID(int=(1 << 128) - 1)


_Key = tuple[int, int]  # visitor key, UTC day
_Person = tuple[UUID, int]  # participant, UTC day
_Window = tuple[UUID, int]  # token, number of the window


class Evidence:
    """The facts around some confirmed scans. Reads each group once, however often it is asked for."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self.confirmed: dict[UUID, Confirmed] = {}
        self.known: dict[UUID, Known] = {}
        self._acted: dict[UUID, Acted] = {}
        self._of_key: dict[_Key, list[UUID]] = {}
        self._of_person: dict[_Person, set[UUID]] = {}
        self._places: dict[UUID, Place | None] = {}

    def around(self, wanted: Collection[UUID]) -> set[UUID]:
        """The confirmed scans whose verdict these may touch, and they themselves; their facts are read.

        Among one visitor key's and one participant's day both ways; after these in the windows of a code or a point.
        """
        wanted = self._confirm(wanted)
        touched = self._with_groups(wanted)
        touched |= self._confirm(self._later(wanted))
        self._know(self._with_groups(touched))
        return touched

    def judged(self, scan_ids: Iterable[UUID]) -> Iterator[tuple[Known, Judgement]]:
        """What the rules say of these scans now; `around` has read their facts."""
        asked = [self.known[id] for id in scan_ids if id in self.known]
        self._signal(asked)
        repeats: dict[tuple[UUID, _Key], set[UUID]] = {}
        for one in asked:
            visit = (one.confirmation.token_id, (one.confirmation.visitor_key, one.confirmation.day))
            if visit not in repeats:
                repeats[visit] = self._repeats(*visit)
            yield one, one.judged(duplicate=one.scan.id in repeats[visit], signals=one.signals)

    # Reading ---------------------------------------------------------------------------------------------------

    def _confirm(self, scan_ids: Iterable[UUID]) -> set[UUID]:
        """Read these confirmations; which of them there are."""
        asked = set(scan_ids)
        for row in self._rows(CONFIRMATION, ScanConfirmation.scan_id, asked - self.confirmed.keys()):
            self.confirmed[row[0]] = Confirmed._make(row)
        return asked & self.confirmed.keys()

    def _with_groups(self, scan_ids: set[UUID]) -> set[UUID]:
        """These scans, and those of the same visitor key or participant on the same day."""
        keys = {self._key(id) for id in scan_ids}
        self._read_keys(keys)
        people = {person for id in scan_ids if (person := self._person(id))}
        self._read_people(people)
        return scan_ids.union(*(self._of_key[key] for key in keys), *(self._of_person[person] for person in people))

    def _read_keys(self, keys: set[_Key]) -> None:
        fresh = keys - self._of_key.keys()
        if not fresh:
            return
        self._of_key.update((key, []) for key in fresh)
        days = [day for _, day in fresh]
        within = col(ScanConfirmation.scan_id).between(first_id(min(days) * DAY_MS), first_id((max(days) + 1) * DAY_MS))
        rows = self._rows(CONFIRMATION.where(within), ScanConfirmation.visitor_key, {key for key, _ in fresh})
        for one in (Confirmed._make(row) for row in rows):
            if (one.visitor_key, one.day) in fresh:
                self.confirmed[one.scan_id] = one
                self._of_key[(one.visitor_key, one.day)].append(one.scan_id)
        self._read_acts({id for key in fresh for id in self._of_key[key]})

    def _read_acts(self, scan_ids: set[UUID]) -> None:
        for row in self._rows(CHECK_IN, CheckIn.scan_id, scan_ids - self._acted.keys()):
            self._acted[row[0]] = Acted._make(row)

    def _read_people(self, people: set[_Person]) -> None:
        fresh = people - self._of_person.keys()
        if not fresh:
            return
        self._of_person.update((person, set()) for person in fresh)
        days = [day for _, day in fresh]
        within = col(CheckIn.scan_id).between(first_id(min(days) * DAY_MS), first_id((max(days) + 1) * DAY_MS))
        for row in self._rows(CHECK_IN.where(within), CheckIn.participant_id, {person for person, _ in fresh}):
            one = Acted._make(row)
            person = (one.participant_id, milliseconds_of(one.scan_id) // DAY_MS)
            if person in fresh:
                self._acted[one.scan_id] = one
                self._of_person[person].add(one.scan_id)
        self._confirm({id for person in fresh for id in self._of_person[person]})
        for person in fresh:
            self._of_person[person] &= self.confirmed.keys()

    def _know(self, scan_ids: set[UUID]) -> None:
        """Read scans, positions and standing judgements."""
        fresh = scan_ids - self.known.keys()
        fixes: dict[UUID, list[Fix]] = defaultdict(list)
        for row in self._rows(POSITION, ScanPosition.scan_id, fresh):
            fixes[row[0]].append(Fix._make(row))
        standing: dict[UUID, Standing] = {}
        for one in (Standing._make(row) for row in self._rows(JUDGEMENT, ScanJudgement.scan_id, fresh)):
            kept = standing.get(one.scan_id)
            if kept is None or kept.id < one.id:
                standing[one.scan_id] = one
        voids = {row[0] for row in self._rows(columns(col(ScanVoid.scan_id)), ScanVoid.scan_id, fresh)}
        for scan in (Sighted._make(row) for row in self._rows(SCAN, Scan.id, fresh)):
            self.known[scan.id] = Known(
                scan=scan,
                confirmation=self.confirmed[scan.id],
                check_in=self._acted.get(scan.id),
                fixes=fixes.get(scan.id, []),
                place=self._place(scan.place_id),
                standing=standing.get(scan.id),
                is_voided=scan.id in voids,
            )

    def _rows(self, query: Any, column: Any, wanted: Iterable[Any]) -> Iterator[Any]:
        """The rows whose column's value is among the wanted ones, a few hundred a query."""
        values = list(wanted)
        for start in range(0, len(values), CHUNK):
            yield from self._session.execute(query.where(column.in_(values[start : start + CHUNK])))

    def _place(self, place_id: UUID | None) -> Place | None:
        if place_id is None:
            return None
        if place_id not in self._places:
            self._places[place_id] = self._session.get(Place, place_id)
        return self._places[place_id]

    def _key(self, scan_id: UUID) -> _Key:
        one = self.confirmed[scan_id]
        return one.visitor_key, one.day

    def _person(self, scan_id: UUID) -> _Person | None:
        act = self._acted.get(scan_id)
        return (act.participant_id, milliseconds_of(scan_id) // DAY_MS) if act else None

    # Windows of a code or a point ---------------------------------------------------------------------------------

    def _later(self, wanted: set[UUID]) -> set[UUID]:
        """The scans after which something begins that one of the wanted ones helped to begin.

        Of ten late facts the last one read sees them all, so nobody is left with a verdict of before.
        """
        found: set[UUID] = set()
        for (token_id, number), onset in self._bursts(wanted).items():
            if any(self._in(id, token_id, BURST_MS) == number and id <= onset for id in wanted):
                found |= self._confirmed_from(token_id, onset, (number + 1) * BURST_MS)
        for (token_id, number), onset in self._spreads(wanted).items():
            if any(self._in(id, token_id, DAY_MS) == number and id <= onset for id in wanted):
                found |= self._confirmed_from(token_id, onset, (number + 1) * DAY_MS)
        points = self._points_of(wanted)
        for (point, day), onset in self._repeated(points.values()).items():
            if any(pair == (point, day) and id <= onset for id, pair in points.items()):
                rows = self._session.execute(
                    columns(col(ScanPosition.scan_id)).where(
                        col(ScanPosition.point) == point,
                        col(ScanPosition.scan_id).between(onset, first_id((day + 1) * DAY_MS)),
                    )
                )
                found |= {row[0] for row in rows}
        return found

    def _in(self, scan_id: UUID, token_id: UUID, length_ms: int) -> int | None:
        """The window of that length a scan of this token lies in; None for another token's."""
        is_of_it = self.confirmed[scan_id].token_id == token_id
        return milliseconds_of(scan_id) // length_ms if is_of_it else None

    def _confirmed_from(self, token_id: UUID, onset: UUID, until_ms: int) -> set[UUID]:
        rows = self._session.execute(
            columns(col(ScanConfirmation.scan_id)).where(
                col(ScanConfirmation.token_id) == token_id,
                col(ScanConfirmation.scan_id).between(onset, first_id(until_ms)),
            )
        )
        return {row[0] for row in rows}

    def _bursts(self, scan_ids: Iterable[UUID]) -> dict[_Window, UUID]:
        """From which scan on a code has too many within ten minutes. Few codes have: the counters say which."""
        windows = {(self.confirmed[id].token_id, milliseconds_of(id) // BURST_MS) for id in scan_ids}
        fresh: dict[tuple[UUID, int], int] = defaultdict(int)
        for id in scan_ids:
            if not self.confirmed[id].is_judged:
                fresh[(self.confirmed[id].token_id, milliseconds_of(id) // HOUR_MS)] += 1
        hours = {number * BURST_MS // HOUR_MS for _, number in windows}
        counted: dict[tuple[UUID, int], int] = defaultdict(int, fresh)
        query = columns(col(ScanCounter.token_id), col(ScanCounter.hour), func.sum(col(ScanCounter.confirmed)))
        query = query.where(col(ScanCounter.hour).in_(hours)).group_by(col(ScanCounter.token_id), col(ScanCounter.hour))
        query = query.having(func.sum(col(ScanCounter.confirmed)) > BURST_SCANS - max(fresh.values(), default=0))
        for token_id, hour, number in self._rows(query, ScanCounter.token_id, {token for token, _ in windows}):
            counted[(token_id, hour)] += number
        found = {}
        for token_id, number in windows:
            if counted[(token_id, number * BURST_MS // HOUR_MS)] <= BURST_SCANS:
                continue
            onset = self._session.execute(
                columns(col(ScanConfirmation.scan_id))
                .where(
                    col(ScanConfirmation.token_id) == token_id,
                    col(ScanConfirmation.scan_id).between(
                        first_id(number * BURST_MS), first_id((number + 1) * BURST_MS)
                    ),
                )
                .order_by(col(ScanConfirmation.scan_id))
                .offset(BURST_SCANS)
                .limit(1)
            ).scalar()
            if onset is not None:
                found[(token_id, number)] = onset
        return found

    def _spreads(self, scan_ids: Iterable[UUID]) -> dict[_Window, UUID]:
        """From which scan on a code counts as photographed that day."""
        windows = {(self.confirmed[id].token_id, self.confirmed[id].day) for id in scan_ids}
        return self._nth_visitor(
            ScanPosition.token_id, windows, SPREAD_VISITORS, ScanPosition.geofence == Geofence.OUTSIDE.value
        )

    def _repeated(self, points: Iterable[tuple[int, int]]) -> dict[tuple[int, int], UUID]:
        """From which scan on a position is one too many visitors' that day."""
        precise = col(ScanPosition.accuracy_m) <= POINT_ACCURACY_M
        return self._nth_visitor(ScanPosition.point, set(points), SHARED_POSITION_VISITORS + 1, precise)

    def _nth_visitor(self, column: Any, windows: set[Any], rank: int, condition: Any) -> dict[Any, UUID]:
        """For each (value, day) the first scan of the visitor of that rank, in the order of their first scans."""
        if not windows:
            return {}
        first = first_scan().label("first")
        days = [day for _, day in windows]
        bounds = first_id(min(days) * DAY_MS), first_id((max(days) + 1) * DAY_MS)
        query = columns(column).where(condition, col(ScanPosition.scan_id).between(*bounds))
        crowded = query.group_by(column).having(func.count(col(ScanPosition.scan_id)) >= rank)
        values = {row[0] for row in self._rows(crowded, column, {value for value, _ in windows})}
        found = {}
        for value, day in windows:
            if value not in values:
                continue
            onset = self._session.execute(
                columns(first)
                .where(
                    col(column) == value,
                    condition,
                    col(ScanPosition.scan_id).between(first_id(day * DAY_MS), first_id((day + 1) * DAY_MS)),
                )
                .group_by(col(ScanPosition.visitor_key))
                .order_by(first)
                .offset(rank - 1)
                .limit(1)
            ).scalar()
            if onset is not None:
                found[(value, day)] = UUID(onset)
        return found

    def _points_of(self, scan_ids: Iterable[UUID]) -> dict[UUID, tuple[int, int]]:
        """The precise point of each scan that has one, and its day."""
        found = {}
        for row in self._rows(POSITION.where(col(ScanPosition.point).is_not(None)), ScanPosition.scan_id, scan_ids):
            one = Fix._make(row)
            if one.point is not None and one.accuracy_m <= POINT_ACCURACY_M:
                found[one.scan_id] = (one.point, milliseconds_of(one.scan_id) // DAY_MS)
        return found

    # Signals ----------------------------------------------------------------------------------------------------

    def _signal(self, asked: Sequence[Known]) -> None:
        """Give each of these scans the reasons that others give it."""
        asked = [one for one in asked if one.scan.rules_version >= SIGNALS_SINCE]
        bursts = self._bursts([one.scan.id for one in asked])
        spreads = self._spreads([one.scan.id for one in asked])
        repeated = self._repeated({pair for one in asked for pair in one.points()})
        by_key: dict[_Key, tuple[set[UUID], set[UUID]]] = {}
        by_person: dict[_Person, set[UUID]] = {}
        for one in asked:
            id, token_id = one.scan.id, one.confirmation.token_id
            at_ms = milliseconds_of(id)
            key, person = self._key(id), self._person(id)
            if key not in by_key:
                seen = self._sightings(self._of_key[key])
                by_key[key] = bursts_of_source(seen), shared_devices(seen)
            if person is not None and person not in by_person:
                by_person[person] = impossible_travels(self._sightings(self._of_person[person]))
            is_unproven = one.presence < STRONG and (one.best is None or one.best.geofence != Geofence.INSIDE)
            points = one.points()
            is_repeated = any(id >= repeated.get(pair, _FOREVER) for pair in points)
            if one.fixes and not points and one.standing is not None:
                # A day's points are forgotten together: what the judge saw in time stands.
                is_repeated = Reason.SHARED_POSITION in one.standing.reasons.split(",")
            given = {
                Reason.IMPOSSIBLE_TRAVEL: person is not None and id in by_person[person],
                Reason.SHARED_POSITION: is_repeated,
                Reason.BURST_SOURCE: id in by_key[key][0],
                Reason.SHARED_DEVICE: id in by_key[key][1],
                Reason.SPREAD: is_unproven and id >= spreads.get((token_id, at_ms // DAY_MS), _FOREVER),
                Reason.BURST_TOKEN: id >= bursts.get((token_id, at_ms // BURST_MS), _FOREVER),
            }
            one.signals = [reason for reason, is_given in given.items() if is_given]

    def _sightings(self, scan_ids: Iterable[UUID]) -> list[Sighting]:
        """People's scans: a bot behind the same address blames nobody, nor does a trial before the launch."""
        found = []
        for id in scan_ids:
            one = self.known.get(id)
            if one is not None and one.scan.verdict not in (Verdict.BOT, Verdict.TEST):
                found.append(one.sighting())
        return found

    def _repeats(self, token_id: UUID, key: _Key) -> set[UUID]:
        """The duplicates among one visitor key's scans of one code."""
        visits = [
            self.known[id] for id in self._of_key[key] if id in self.known and self.confirmed[id].token_id == token_id
        ]
        return duplicates(
            [
                Seen(one.scan.id, one.scan.scanned_at, one.check_in.participant_id if one.check_in else None)
                for one in visits
                if one.judged().verdict in _VISITABLE
            ]
        )
