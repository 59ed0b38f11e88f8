"""The counters that taps spend in the scan log, on both databases."""

import os
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from campaigns.scans import to_store
from campaigns.scans.log import ScanRow, Spent, TappedScan
from campaigns.scans.postgres_log import PostgresWriter
from campaigns.scans.proof import NOTHING, Proof
from campaigns.storage import Database
from campaigns.tokens.directory import Entry
from campaigns.tokens.models import SpentTap, SunTag
from campaigns.tokens.sun import Tap
from campaigns.worker import purge
from tests.factories import NOON, make_scan, write
from tests.ntag424 import UID
from tests.racing import race
from tests.scene import Scene, set_scene, signed, stored, with_tag

RACERS = 200 if os.environ.get("PASSERELLE_SOAK") else 20
WRITERS = 10
OWN, OTHER = UID.hex().upper(), "04958CAA5C5E80"


@pytest.fixture
def scene(database: Database) -> Scene:
    """A shop whose code is on a tag that signs its taps."""
    return with_tag(set_scene(database))


def tap(scene: Scene, counter: int, **options: Any) -> tuple[TappedScan, Spent]:
    """One committed tap, and what became of it."""
    one = signed(scene, counter, **options)
    (spent,) = write(scene.database, one, now=options.get("at", NOON))
    assert isinstance(spent, Spent)
    return one, spent


def tag_of(session: Session, entry: Entry) -> SunTag:
    return session.get_one(SunTag, entry.token_id)


def test_a_counter_is_spent_once_and_in_order(scene: Scene) -> None:
    counters = (0, 0, 1, 5, 5, 3, 6, 2**24 - 1, 7)
    found = [tap(scene, counter, visitor_key=number) for number, counter in enumerate(counters)]
    fresh = [spent.judgement is None for _, spent in found]
    assert fresh == [True, False, True, True, False, False, True, True, False]
    for (one, spent), is_fresh in zip(found, fresh, strict=True):
        assert spent.scan_id == one.row.id
        assert stored(scene, one.row) == (("valid", "") if is_fresh else ("invalid", "replayed_counter"))
    with scene.database.snapshot() as session:
        assert tag_of(session, scene.entry).last_counter == 2**24 - 1
    scene.drain()
    assert scene.problems() == []


def test_taps_of_one_batch_are_spent_in_the_order_of_their_counters(scene: Scene) -> None:
    batch = [signed(scene, counter, visitor_key=key) for key, counter in enumerate((9, 3, 3, 7))]
    results = write(scene.database, bare := make_scan(scene.entry, visitor_key=99), *batch)
    assert results[0] is None
    assert [spent.judgement is None for spent in results[1:]] == [True, True, False, True]
    assert stored(scene, bare) == ("valid", "")


def test_the_first_tag_that_taps_is_the_token_s_own(scene: Scene) -> None:
    assert tap(scene, 1, uid=None)[1].judgement is None  # a tag that hides its UID names nothing
    assert tap(scene, 2)[1].judgement is None
    assert tap(scene, 3, uid=OTHER)[1].judgement is not None
    with scene.database.snapshot() as session:
        assert (tag_of(session, scene.entry).uid, tag_of(session, scene.entry).last_counter) == (OWN, 2)
    assert tap(scene, 3, visitor_key=2)[1].judgement is None
    assert tap(scene, 4, uid=None)[1].judgement is None


def test_the_browser_that_tapped_may_reload(scene: Scene) -> None:
    first, _ = tap(scene, 4)
    tap(scene, 5, visitor_key=2)  # somebody else taps meanwhile
    again, spent = tap(scene, 4, at=NOON + timedelta(minutes=9))
    assert spent == Spent(first.row.id, 2)
    assert stored(scene, again.row) == ("valid", "replayed_receipt")


@pytest.mark.parametrize(
    ("key", "at"),
    [(2, NOON), (1, NOON + timedelta(minutes=11))],
    ids=["another browser", "the same one too late"],
)
def test_a_spent_counter_proves_nothing_of_others(scene: Scene, key: int, at: datetime) -> None:
    tap(scene, 4, visitor_key=1)
    one, spent = tap(scene, 4, visitor_key=key, at=at)
    assert spent.scan_id == one.row.id
    assert spent.judgement is not None
    assert (spent.judgement.verdict, spent.judgement.reasons) == ("invalid", ("replayed_counter",))


def test_a_tap_stored_again_is_the_same_tap(postgres_database: Database) -> None:
    scene = with_tag(set_scene(postgres_database))
    one, _ = tap(scene, 4)
    writer = PostgresWriter(scene.database.dsn, 3, lambda: NOON)
    try:
        writer.store_once([one, late := signed(scene, 4, visitor_key=2)])
    finally:
        writer.close()
    assert stored(scene, one.row) == ("valid", "")
    assert stored(scene, late.row) == ("invalid", "replayed_counter")
    scene.drain()
    assert scene.problems() == []


def test_a_robot_or_a_doubtful_tap_spends_nothing(scene: Scene) -> None:
    row, robot = make_scan(scene.entry), make_scan(scene.entry, agent="Googlebot/2.1")
    good = Proof(2, tap=Tap(OWN, 7))
    assert to_store(row, good) == TappedScan(row, 7, OWN)
    assert to_store(robot, good) is robot
    assert to_store(make_scan(scene.entry, prefetch=True), good).__class__ is ScanRow
    for doubtful in (NOTHING, Proof(unproved="bad_mac"), Proof(2)):
        assert to_store(row, doubtful) is row


def test_of_racing_uses_of_one_tap_one_counts(scene: Scene) -> None:
    batches = [
        [signed(scene, 7, visitor_key=writer * RACERS + n) for n in range(RACERS // WRITERS)]
        for writer in range(WRITERS)
    ]
    outcomes = race(WRITERS, lambda writer: write(scene.database, *batches[writer], number=writer + 1))
    spent = [one for results in outcomes if isinstance(results, list) for one in results]
    assert len(spent) == RACERS
    assert [one.judgement is None for one in spent].count(True) == 1
    scene.drain()
    assert scene.problems() == []


def test_of_two_tags_that_tap_first_at_once_one_is_the_token_s_own(scene: Scene) -> None:
    def act(writer: int) -> bool:
        one = signed(scene, writer, uid=OWN if writer % 2 else OTHER, visitor_key=writer)
        return bool(write(scene.database, one, number=writer + 1)[0].judgement is None)

    outcomes = race(WRITERS, act)
    with scene.database.snapshot() as session:
        own = tag_of(session, scene.entry).uid
    assert {writer % 2 for writer, won in enumerate(outcomes) if won is True} == {1 if own == OWN else 0}


def test_a_tap_proves_presence_at_the_check_in(scene: Scene) -> None:
    one, _ = tap(scene, 4)
    done = scene.check_in(one.row, presence=2)
    assert (done.check_in.presence, done.check_in.verdict, done.check_in.counted) == (2, "valid", True)


def test_a_receipt_of_a_tap_that_spent_nothing_proves_nothing(scene: Scene) -> None:
    # As it is minted while the database is away: nobody could look whether the counter was used.
    tap(scene, 4, visitor_key=1)
    late, spent = tap(scene, 4, visitor_key=2)
    assert spent.judgement is not None
    assert scene.check_in(late.row, presence=2).check_in.presence == 0


def test_taps_are_kept_for_three_days(scene: Scene) -> None:
    tap(scene, 4)
    for days, left in ((2, 1), (4, 0)):
        purge(scene.database, now=NOON + timedelta(days=days))
        with scene.database.snapshot() as session:
            assert len(session.exec(select(SpentTap)).all()) == left
            assert tag_of(session, scene.entry).last_counter == 4


def mirrored(scene: Scene, counter: int, *, uid: str = OWN, **options: Any) -> tuple[TappedScan, Spent]:
    one = TappedScan(make_scan(scene.entry, **options), counter, uid, presence=1)
    (spent,) = write(scene.database, one)
    return one, spent


def test_an_unsigned_counter_makes_a_visit_plausible_once(database: Database) -> None:
    scene = set_scene(database)
    scene = replace(scene, entry=replace(scene.entry, bound_uid=OWN))
    first, spent = mirrored(scene, 500)
    assert spent == Spent(first.row.id, 1)
    assert mirrored(scene, 500)[1] == Spent(first.row.id, 1), "a reload"
    copied, other = mirrored(scene, 500, visitor_key=2)
    assert other == Spent(copied.row.id, 0)
    assert stored(scene, copied.row) == ("valid", "")
    assert scene.check_in(first.row, presence=1).check_in.presence == 1
    assert scene.check_in(copied.row, presence=1).check_in.presence == 0


def test_an_invented_counter_does_not_shut_honest_ones_out(database: Database) -> None:
    scene = set_scene(database)
    counters = (500, 2**24 - 1, 501, 501 + 1001, 501 + 1000, 3)
    assert [mirrored(scene, n, visitor_key=k)[1].presence for k, n in enumerate(counters)] == [1, 0, 1, 0, 1, 0]


def test_a_new_tag_of_a_token_counts_from_its_own_beginning(database: Database) -> None:
    scene = set_scene(database)
    scene = replace(scene, entry=replace(scene.entry, bound_uid=OTHER))
    assert mirrored(scene, 500, visitor_key=1)[1].presence == 1
    assert mirrored(scene, 499, uid=OTHER, visitor_key=2)[1].presence == 1
    new, spent = mirrored(scene, 500, uid=OTHER, visitor_key=3)  # a number that the old tag has said
    assert spent == Spent(new.row.id, 1)
    assert scene.check_in(new.row, presence=1).check_in.presence == 1
