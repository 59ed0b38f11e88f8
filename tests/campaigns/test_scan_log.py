"""The scan log's writer, on both databases."""

import random
from typing import Any
from uuid import UUID

import psycopg
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlmodel import Session, select

from campaigns import ids, scans
from campaigns.events import Event
from campaigns.scans.log import (
    VISITOR_SAMPLE,
    BestFix,
    Confirmation,
    PositionFix,
    ScanRow,
    Tally,
)
from campaigns.scans.models import Scan, ScanConfirmation, ScanCounter, ScanPosition, ScanVisitor
from campaigns.scans.postgres_log import PostgresWriter
from campaigns.scans.recount import recount
from campaigns.scans.rollups import estimate
from campaigns.scans.writers import open_writer
from campaigns.storage import Database
from tests.factories import NOON, make_scan, write
from tests.racing import race

TOKEN = UUID(int=7).hex
ROW = make_scan(None)._replace(
    code=None, token_id=TOKEN, campaign_id=UUID(int=8).hex, verdict="valid", reasons="", score=0
)
DAY = ids.milliseconds(NOON) // 86_400_000


def row(number: int = 0, *, key: int | None = None, **fields: Any) -> ScanRow:
    id = f"{ids.uuid7_int(ids.milliseconds(NOON) + number):032x}"
    return ROW._replace(id=id, visitor_key=number if key is None else key, **fields)


def confirmation(scan: ScanRow) -> Confirmation:
    return Confirmation(scan.id, TOKEN, scan.visitor_key, NOON)


def fix(scan: ScanRow, accuracy_m: int, geofence: str = "inside") -> PositionFix:
    return PositionFix(confirmation(scan), geofence, 50, accuracy_m, b"sealed")


def counters(database: Database) -> dict[tuple[str, str, int], int]:
    with database.snapshot() as session:
        return {(one.phase, one.verdict, one.writer): one.scans for one in session.exec(select(ScanCounter))}


def problems(database: Database) -> list[str]:
    with database.snapshot() as session:
        return recount(session)


def sample(session: Session) -> list[int]:
    return sorted(session.exec(select(ScanVisitor.visitor_key)).all())


def test_a_batch_is_counted_by_phase_and_verdict_under_its_writers_number(database: Database) -> None:
    batch = [row(n) for n in range(5)]
    batch += [row(9, verdict="bot"), row(10, phase="draft", verdict="test"), row(11, token_id=None, verdict="orphan")]
    assert write(database, *batch, number=3) == [None] * 8
    write(database, row(12), number=4)
    assert counters(database) == {
        ("live", "valid", 3): 5,
        ("live", "valid", 4): 1,
        ("live", "bot", 3): 1,
        ("draft", "test", 3): 1,
        ("live", "orphan", 3): 1,
    }
    with database.snapshot() as session:
        stored = session.exec(select(Scan)).all()
        assert {one.id.hex for one in stored} >= {one.id for one in batch}
        assert stored[0].scanned_at.date() == NOON.date()
        assert scans.totals(session, [UUID(TOKEN)]).raw == 7
    assert problems(database) == []


@pytest.mark.parametrize("code", ['a"b', "a\\", "{a,b}", "NULL", "", " ", "a'b\t\n", "é🍏"])
def test_what_a_phone_asked_for_is_stored_as_it_was(database: Database, code: str) -> None:
    write(database, row(1, token_id=None, verdict="orphan", code=code, reasons="a,b", language=code), row(2))
    with database.snapshot() as session:
        stored = session.exec(select(Scan).order_by(Scan.id)).all()  # type: ignore[arg-type]  # a column
        assert [(one.code, one.reasons, one.language) for one in stored] == [(code, "a,b", code), (None, "", "fr")]


def test_scans_of_two_hours_are_counted_apart(database: Database) -> None:
    write(database, row(0), row(3_599_999), row(3_600_000))
    with database.snapshot() as session:
        hour = ids.milliseconds(NOON) // 3_600_000
        by_hour = scans.by_hour(session, [UUID(TOKEN)], since_hour=hour, until_hour=hour + 3)
        assert {hour_: figures.raw for hour_, figures in by_hour.items()} == {hour: 2, hour + 1: 1, hour + 2: 0}
        assert scans.last_hours(session, [UUID(TOKEN)]) == {UUID(TOKEN): hour + 1}


def test_a_batch_leaves_one_event_of_each_kind(database: Database) -> None:
    first, second = row(1), row(2)
    write(database, first, second, confirmation(first), confirmation(second), fix(second, 10))
    write(database, confirmation(first))
    with database.snapshot() as session:
        events = {event.name: event.facts for event in session.exec(select(Event))}
    assert events == {
        "scans.recorded": {"scan_ids": [first.id, second.id]},
        "scans.confirmed": {"scan_ids": [first.id, second.id]},
        "scans.located": {"scan_ids": [second.id]},
    }


def test_a_scan_is_confirmed_once(database: Database) -> None:
    scan = row()
    assert write(database, scan, confirmation(scan), confirmation(scan)) == [None, True, False]
    assert write(database, confirmation(scan)) == [False]
    with database.snapshot() as session:
        assert len(session.exec(select(ScanConfirmation)).all()) == 1


def test_two_positions_are_taken_and_the_smaller_circle_counts(database: Database) -> None:
    scan = row()
    results = write(database, scan, fix(scan, 80, "maybe"), fix(scan, 20), fix(scan, 5))
    assert results == [None, BestFix("maybe", 50, 80), BestFix("inside", 50, 20), None]
    other = row(1)
    write(database, other, fix(other, 20))
    assert write(database, fix(other, 80, "outside")) == [BestFix("inside", 50, 20)]
    with database.snapshot() as session:
        assert len(session.exec(select(ScanPosition)).all()) == 4
        assert len(session.exec(select(ScanConfirmation)).all()) == 2


def test_visitors_are_people_and_each_is_one_a_day(database: Database) -> None:
    day = 86_400_000
    write(database, row(1), row(2, key=1), row(3, key=2), row(day, key=1))
    write(database, row(4, key=9, verdict="bot"), row(5, key=8, verdict="test", phase="draft"), row(6, key=1))
    with database.snapshot() as session:
        unique = [scans.unique_visitors(session, [UUID(TOKEN)], since_day=DAY, until_day=DAY + n) for n in (1, 2)]
    assert unique == [2, 3]
    assert problems(database) == []


def test_a_batch_that_fails_leaves_nothing(database: Database) -> None:
    scan = row()
    write(database, scan)
    with pytest.raises(Exception, match=r"(?i)unique"):
        write(database, row(1), scan)
    assert counters(database) == {("live", "valid", 1): 1}
    assert problems(database) == []


def test_a_batch_whose_position_fails_leaves_nothing(database: Database) -> None:
    """Half of it stored would be counted again by the retry, entry by entry."""
    scan = row()
    nobodys = PositionFix(Confirmation(scan.id, None, 1, NOON), "inside", 50, 10, b"sealed")  # type: ignore[arg-type]  # meant
    with pytest.raises(Exception, match=r"(?i)null"):
        write(database, scan, fix(scan, 20), nobodys)
    assert counters(database) == {}
    with database.snapshot() as session:
        kept = [session.exec(select(table)).all() for table in (Scan, ScanConfirmation, ScanPosition, Event)]
    assert kept == [[]] * 4


def spread_keys(number: int) -> list[int]:
    """Distinct keys as a hash would make them: spread over 63 bits."""
    chance = random.Random(number)
    return [chance.getrandbits(63) for _ in range(number)]


def test_the_sample_of_visitors_is_the_same_in_any_order_and_from_any_number_of_writers(database: Database) -> None:
    keys = spread_keys(12_000)
    samples = []
    for seed, writers in ((1, 1), (2, 3)):
        token = UUID(int=100 + seed)
        shuffled = list(keys)
        random.Random(seed).shuffle(shuffled)
        open_ = [open_writer(database, 10 * seed + n, lambda: NOON) for n in range(writers)]
        for start in range(0, len(shuffled), 1500):
            part = [row(start + n, key=key, token_id=token.hex) for n, key in enumerate(shuffled[start : start + 1500])]
            open_[start // 1500 % writers].write(part)
        for writer in open_:
            writer.close()
        with database.snapshot() as session:
            stored = session.exec(select(ScanVisitor.visitor_key).where(ScanVisitor.token_id == token)).all()
            samples.append(sorted(stored)[:VISITOR_SAMPLE])
            seen = scans.unique_visitors(session, [token], since_day=DAY, until_day=DAY + 1)
            assert abs(seen - 12_000) < 600  # 5 %; the standard error is 1.6 %
            assert len(stored) < 10_000
    assert samples[0] == samples[1] == sorted(keys)[:VISITOR_SAMPLE]
    assert problems(database) == []


def test_a_rolled_back_batch_does_not_narrow_the_sample(database: Database) -> None:
    """Keys of a batch that was never stored neither decide which later keys are worth storing, nor count as stored."""
    writer = open_writer(database, 1, lambda: NOON)
    stored = row(0, key=1 << 40)
    writer.write([stored])
    with pytest.raises(Exception, match=r"(?i)null"):
        # Small keys fill the sample and then the batch fails at its last entry, which has no token.
        writer.write([*(row(n, key=n) for n in range(1, 5000)), Confirmation(stored.id, None, 1, NOON)])  # type: ignore[arg-type]  # meant
    writer.write([row(6000, key=1 << 30), row(6001, key=17)])
    writer.close()
    with database.snapshot() as session:
        assert sample(session) == [17, 1 << 30, 1 << 40]
    assert problems(database) == []


@given(st.integers(1, VISITOR_SAMPLE - 1))
def test_few_visitors_are_counted_exactly(number: int) -> None:
    assert estimate(range(number)) == number


@settings(max_examples=30, deadline=None)
@given(st.integers(VISITOR_SAMPLE + 1, 60_000), st.integers(0, 2**32))
def test_many_visitors_are_estimated_within_eight_percent(number: int, seed: int) -> None:
    """Five standard errors: a failure by chance comes once in millions of examples."""
    chance = random.Random(seed)
    smallest = sorted(chance.getrandbits(63) for _ in range(number))[:VISITOR_SAMPLE]
    assert abs(estimate(smallest) / number - 1) < 0.08


@given(
    st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["valid", "bot", "held"])), max_size=30),
    st.randoms(use_true_random=False),
)
def test_what_a_batch_adds_up_to_does_not_depend_on_its_order(facts: list[tuple[int, str]], chance: Any) -> None:
    rows = [row(number, key=key, verdict=verdict) for number, (key, verdict) in enumerate(facts)]
    shuffled = list(rows)
    chance.shuffle(shuffled)
    assert Tally(1).counters(rows) == Tally(1).counters(shuffled)
    assert Tally(1).visitors(rows) == Tally(1).visitors(shuffled)
    assert sum(counter[-1] for counter in Tally(1).counters(rows)) == len(rows)


def test_several_writers_of_one_hot_code_lose_nothing(database: Database) -> None:
    def pour(number: int) -> None:
        writer = open_writer(database, number + 1, lambda: NOON)
        for batch in range(12):
            scans_ = [row(number * 1000 + batch * 20 + n, key=n) for n in range(20)]
            writer.write([*scans_, *map(confirmation, scans_[:3])])
        writer.close()

    assert race(4, pour) == [None] * 4
    assert counters(database) == {("live", "valid", number): 240 for number in range(1, 5)}
    with database.snapshot() as session:
        assert len(session.exec(select(Scan.id)).all()) == 960
        assert len(session.exec(select(ScanConfirmation.scan_id)).all()) == 144
        assert sample(session) == list(range(20))
    assert problems(database) == []


class CommitThenLost(psycopg.Connection[Any]):
    """A connection whose first COMMIT arrives and whose answer is lost, as when a network goes away."""

    lost = False

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:
        result = super().wait(gen, *arguments, **options)
        if self.info.transaction_status == psycopg.pq.TransactionStatus.IDLE and self.armed and not CommitThenLost.lost:
            CommitThenLost.lost = True
            self.close()
            raise psycopg.OperationalError("the answer to COMMIT was lost")
        return result

    armed = False


def losing_an_answer(database: Database) -> PostgresWriter:
    """A writer whose next commit arrives while its answer does not."""
    writer = open_writer(database, 1, lambda: NOON)
    assert isinstance(writer, PostgresWriter)
    CommitThenLost.lost = False
    fragile = CommitThenLost.connect(database.dsn, autocommit=True)
    fragile.execute("SELECT 1")
    writer._connection.close()
    writer._connection = fragile

    def arm() -> Any:
        fragile.armed = True
        return NOON

    writer._clock = arm  # read inside the write: from then on the next COMMIT is lost
    return writer


def test_after_an_uncertain_commit_each_scan_is_stored_once(postgres_database: Database) -> None:
    writer = losing_an_answer(postgres_database)
    batch = [row(n) for n in range(50)]
    assert writer.write([*batch, confirmation(batch[0])])[:50] == [None] * 50
    assert CommitThenLost.lost
    writer.write([row(99)])
    writer.close()
    assert counters(postgres_database) == {("live", "valid", 1): 51}
    with postgres_database.snapshot() as session:
        assert len(session.exec(select(Scan.id)).all()) == 51
        assert len(session.exec(select(ScanConfirmation.scan_id)).all()) == 1
    assert problems(postgres_database) == []


@pytest.mark.parametrize("before", [0, 1])
def test_after_an_uncertain_commit_each_position_is_stored_once_and_answered(
    postgres_database: Database, before: int
) -> None:
    """Stored twice it would take the second place of its scan; not found again, the phone would read a refusal."""
    scan, other = row(1), row(2)
    write(postgres_database, scan, other, *[fix(scan, 80, "maybe")] * before)
    writer = losing_an_answer(postgres_database)
    given = writer.write([fix(scan, 90, "outside"), fix(other, 20)])
    assert CommitThenLost.lost
    writer.close()
    expected = BestFix("maybe", 50, 80) if before else BestFix("outside", 50, 90)
    assert given == [expected, BestFix("inside", 50, 20)]
    with postgres_database.snapshot() as session:
        kept = [(one.scan_id.hex, one.slot, one.accuracy_m) for one in session.exec(select(ScanPosition))]
        events = session.exec(select(Event).where(Event.name == "scans.located"))
        located = sorted(event.facts["scan_ids"] for event in events)
    first = [(scan.id, 1, 80)] * before
    assert sorted(kept) == sorted([*first, (scan.id, 1 + before, 90), (other.id, 1, 20)])
    assert located == [[scan.id]] * before + [[scan.id, other.id]]
    assert problems(postgres_database) == []


def test_a_connection_that_was_cut_is_made_again(postgres_database: Database) -> None:
    writer = open_writer(postgres_database, 1, lambda: NOON)
    assert isinstance(writer, PostgresWriter)
    writer.write([row(1)])
    with psycopg.connect(postgres_database.url.replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute("SELECT pg_terminate_backend(%s)", (writer._connection.info.backend_pid,))
    writer.write([row(2)])
    writer.close()
    assert counters(postgres_database) == {("live", "valid", 1): 2}
    assert problems(postgres_database) == []
