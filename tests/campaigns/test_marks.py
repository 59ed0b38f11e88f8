"""Marks among check-ins: what changes before one takes it away, and no figure tells whether there are any."""

import threading
from contextlib import suppress
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import func, text
from sqlmodel import col, select

from campaigns import ids, scans, worker
from campaigns.errors import Conflict
from campaigns.last_writes import savepoint
from campaigns.participants import Participant
from campaigns.scans import CheckIn, marks
from campaigns.scans.firsts import recount_ways
from campaigns.scans.marks import Visits
from campaigns.scans.models import CheckInMark
from campaigns.storage import Database
from tests.campaigns.test_merging import merge
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.scene import INSIDE, Scene, set_scene

DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _at_each_second(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(marks, "APART", 2)


@pytest.fixture
def scene(database: Database) -> Scene:
    return set_scene(database)


class Someone:
    """A phone that comes again and again."""

    def __init__(self, scene: Scene, key: int) -> None:
        self.scene, self.key = scene, key
        self.cookie: str | None = None
        self.names: list[Participant] = []
        self.scan_ids: list[str] = []

    def come(self, at: datetime, *, sent: datetime | None = None) -> None:
        row = self.scene.scan(at=at, visitor_key=self.key)
        done = self.scene.check_in(row, cookie=self.cookie, position=INSIDE, now=sent or at)
        self.cookie = self.cookie or done.secret
        self.names.append(done.person)
        self.scan_ids.append(row.id)

    @property
    def name(self) -> Participant:
        return self.names[-1]


def come_daily(scene: Scene, people: int, days: int) -> list[Someone]:
    everybody = [Someone(scene, key) for key in range(1, people + 1)]
    for day in range(days):
        for number, one in enumerate(everybody):
            one.come(NOON + day * DAY + timedelta(minutes=10 * number))
    return everybody


def visits(scene: Scene) -> Visits:
    with scene.database.snapshot() as session:
        return scans.visits_between(session, scene.campaign.id)


def number_of_marks(scene: Scene) -> int:
    with scene.database.snapshot() as session:
        return session.exec(select(func.count()).select_from(CheckInMark)).one()


def set_marks(scene: Scene, days: int) -> None:
    worker.set_marks(scene.database, now=NOON + days * DAY)


def test_marks_stand_at_each_so_many_check_ins_once_they_are_an_hour_old(scene: Scene) -> None:
    come_daily(scene, people=3, days=2)
    worker.set_marks(scene.database, now=NOON + DAY + timedelta(minutes=70))
    assert number_of_marks(scene) == 2  # the third one's fifth and sixth are younger than an hour
    set_marks(scene, 2)
    set_marks(scene, 2)
    assert number_of_marks(scene) == 3
    assert visits(scene) == (6, 0, 3)


def test_any_part_of_the_time_is_counted_as_without_marks(scene: Scene) -> None:
    come_daily(scene, people=2, days=3)
    moments = [NOON + timedelta(hours=hours, minutes=minutes) for hours in range(-1, 60, 6) for minutes in (0, 5)]

    def counted() -> list[Visits]:
        bounds = [ids.first_of(one) for one in moments]
        with scene.database.snapshot() as session:
            return [
                scans.visits_between(session, scene.campaign.id, since, until)
                for since in bounds
                for until in bounds
                if since < until
            ]

    before = counted()
    set_marks(scene, 4)
    assert number_of_marks(scene) == 3
    assert counted() == before
    assert max(before) == (6, 0, 2)


@pytest.mark.parametrize("which", [0, 1], ids=["first", "later"])
def test_a_void_takes_the_marks_after_it_away(scene: Scene, which: int) -> None:
    one, _ = come_daily(scene, people=2, days=3)
    set_marks(scene, 4)
    void(scene, one.scan_ids[which], now=NOON + 4 * DAY)
    assert visits(scene) == (5, 0, 2)
    assert scene.problems() == []
    assert number_of_marks(scene) == which
    set_marks(scene, 4)
    assert (number_of_marks(scene), visits(scene)) == (2, (5, 0, 2))


def test_a_merge_takes_away_the_marks_after_what_no_longer_counts(scene: Scene) -> None:
    one, other = come_daily(scene, people=2, days=3)
    set_marks(scene, 4)
    merge(scene.database, one.name, other.name, now=NOON + 4 * DAY)
    assert visits(scene) == (3, 0, 1)  # both had been at the one place on each day
    assert scene.problems() == []


def test_a_merge_that_moves_a_first_one_takes_its_marks_away(scene: Scene) -> None:
    one, other = Someone(scene, 1), Someone(scene, 2)
    for day in range(4):
        (one if day % 2 == 0 else other).come(NOON + day * DAY)
    set_marks(scene, 5)
    assert visits(scene) == (4, 0, 2)
    merge(scene.database, one.name, other.name, now=NOON + 5 * DAY)
    assert visits(scene) == (4, 0, 1)  # nothing is counted out, but somebody's first is none any more
    assert scene.problems() == []


def test_a_merge_takes_the_marks_after_an_act_that_a_late_one_of_the_other_name_comes_before(scene: Scene) -> None:
    one, other = Someone(scene, 1), Someone(scene, 2)
    one.come(NOON - DAY)
    other.come(NOON, sent=NOON + timedelta(minutes=8))
    one.come(NOON + timedelta(minutes=4))
    set_marks(scene, 1)
    assert (number_of_marks(scene), visits(scene).check_ins) == (1, 3)
    merge(scene.database, one.name, other.name, now=NOON + DAY)
    assert visits(scene).check_ins == 2
    assert scene.problems() == []


def test_a_void_waits_for_the_mark_that_is_being_set(scene: Scene) -> None:
    one, _ = come_daily(scene, people=2, days=3)
    with scene.database.transaction() as session:
        assert marks.set_mark(session, scene.campaign.id, now=NOON + 4 * DAY)
        beside = threading.Thread(target=void, args=(scene, one.scan_ids[0]), kwargs={"now": NOON + 4 * DAY})
        beside.start()
        beside.join(timeout=1)
        assert beside.is_alive()
    beside.join(timeout=20)
    assert not beside.is_alive()
    assert number_of_marks(scene) == 0
    assert visits(scene) == (5, 0, 2)


def test_a_mark_that_is_set_beside_a_void_is_taken_away_by_it(scene: Scene) -> None:
    """The mark is set between the change and its end: on SQLite after it, for nobody writes beside a writer."""
    one, _ = come_daily(scene, people=2, days=3)
    with scene.database.transaction() as session:
        check_in = scans.find_check_in(session, UUID(one.scan_ids[1]))
        assert check_in is not None
        check_in.counted = False
        session.add(check_in)
        session.flush()
        marks.remove_marks(session, scene.campaign.id, check_in.id)
        beside = threading.Thread(target=set_marks, args=(scene, 4))
        beside.start()
        beside.join(timeout=1)
        assert beside.is_alive() is scene.database.is_sqlite
    beside.join(timeout=20)
    assert not beside.is_alive()
    with scene.database.snapshot() as session:
        assert list(marks.recount_marks(session)) == []
    assert visits(scene) == (5, 0, 2)


def test_a_mark_that_says_something_else_is_told(scene: Scene) -> None:
    come_daily(scene, people=2, days=2)
    set_marks(scene, 3)
    with scene.database.transaction() as session:
        session.execute(text("UPDATE check_in_marks SET late = 1"))
    (told,) = [one for one in scene.problems() if one.startswith("mark at ")]
    assert told.endswith("2 check-ins, 1 late, 2 first; counted (2, 0, 2)")


def test_an_act_that_another_clock_put_before_the_last_one_is_put_in_its_order(scene: Scene) -> None:
    one = Someone(scene, 1)
    one.come(NOON + DAY)
    one.come(NOON)  # of a process whose clock is a day late
    with scene.database.snapshot() as session:
        rows = session.exec(select(CheckIn).order_by(col(CheckIn.id))).all()
        assert list(recount_ways(session)) == []
    assert [(row.is_first, row.came_before_at) for row in rows] == [(True, None), (False, NOON)]


def test_marks_go_though_a_later_part_of_the_transaction_failed(scene: Scene) -> None:
    come_daily(scene, people=2, days=3)
    set_marks(scene, 4)
    with scene.database.transaction() as session:
        marks.remove_marks(session, scene.campaign.id, UUID(int=0))
        with suppress(Conflict), savepoint(session):
            raise Conflict("This part fails.")
        with savepoint(session):
            session.flush()
        assert len(session.exec(select(CheckInMark)).all()) == 3  # the campaign is held at the end alone
    assert number_of_marks(scene) == 0
