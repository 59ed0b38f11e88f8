"""Places, their hours, their till codes and the phones of their staff."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlmodel import Session, select

from campaigns import places, scans
from campaigns.errors import Conflict, Gone, Invalid, NotFound, TooMany
from campaigns.ids import show, uuid7_at
from campaigns.places import Place, till
from campaigns.places.models import TillCodeTries
from campaigns.scans import Receipt, Verdict
from campaigns.storage import Database
from tests.factories import NOON, make_organisation, make_place
from tests.racing import race

KEY = b"t" * 32
PLACE = UUID(int=1)


def code_at(now: datetime, place_id: UUID = PLACE) -> str:
    return till.till_code(KEY, place_id, till.window_of(now))


# Till codes ------------------------------------------------------------------------------------------------------


def test_a_till_code_is_six_digits_that_change_every_thirty_seconds() -> None:
    codes = [code_at(NOON + timedelta(seconds=second)) for second in range(0, 30 * 200, 30)]
    assert all(len(code) == 6 and code.isdigit() for code in codes)
    assert len(set(codes)) > 190
    assert code_at(NOON + timedelta(seconds=29.9)) == codes[0]
    assert any(code.startswith("0") for code in codes)  # leading zeros are kept


def test_a_till_code_is_good_in_its_window_and_the_next() -> None:
    code = code_at(NOON)
    found = {
        second: till.window_if_good(KEY, PLACE, code, NOON + timedelta(seconds=second)) for second in range(-30, 120)
    }
    good = {second: window for second, window in found.items() if window is not None}
    assert good == dict.fromkeys(range(60), till.window_of(NOON))


@pytest.mark.parametrize("shape", ["{0} {1}", " {0}{1} ", "{0}\u00a0{1}", "{0}\t{1}\n"])
def test_spaces_in_a_typed_till_code_do_not_matter(shape: str) -> None:
    code = code_at(NOON)
    assert till.window_if_good(KEY, PLACE, shape.format(code[:3], code[3:]), NOON)


@given(st.text(max_size=12).filter(lambda text: not any(0xD800 <= ord(c) < 0xE000 for c in text)))
def test_nothing_else_is_a_good_till_code(text: str) -> None:
    good = {code_at(NOON), code_at(NOON - timedelta(seconds=30))}
    assert (till.window_if_good(KEY, PLACE, text, NOON) is not None) == ("".join(text.split()) in good)


def test_another_place_and_another_key_have_other_till_codes() -> None:
    codes = {code_at(NOON), code_at(NOON, UUID(int=2)), till.till_code(b"u" * 32, PLACE, till.window_of(NOON))}
    assert len(codes) == 3


def test_the_screen_says_how_long_its_code_lasts() -> None:
    assert [till.seconds_left(NOON + timedelta(seconds=s)) for s in (0, 1, 29, 30)] == [30, 29, 1, 30]


# Tries at a till code --------------------------------------------------------------------------------------------


def receipt(place: Place, *, at: datetime = NOON) -> Receipt:
    return Receipt(uuid7_at(at), UUID(int=9), place.id, 1, Verdict.VALID, 0, 0)


def committed_place(database: Database, **fields: Any) -> Place:
    with database.transaction() as session:
        return make_place(session, make_organisation(session), **fields)


def try_code(database: Database, mine: Receipt, place: Place | None, typed: str, now: datetime = NOON) -> int | None:
    with database.transaction() as session:
        return scans.try_till_code(session, mine, place, typed, key=KEY, now=now)


def wrong_tries(database: Database) -> dict[str, int]:
    with database.snapshot() as session:
        return {row.civil_day: row.wrong for row in session.exec(select(TillCodeTries))}


def test_the_right_till_code_is_accepted_and_is_no_wrong_try(database: Database) -> None:
    place = committed_place(database)
    assert try_code(database, receipt(place), place, code_at(NOON, place.id))
    assert wrong_tries(database) == {"2026-10-14": 0}


def test_a_receipt_has_five_tries_and_the_right_code_comes_too_late_after_them(database: Database) -> None:
    place = committed_place(database)
    mine = receipt(place)
    assert [try_code(database, mine, place, "nothing") for _ in range(5)] == [None] * 5
    with pytest.raises(TooMany) as refusal:
        try_code(database, mine, place, code_at(NOON, place.id))
    assert refusal.value.code == "till_code_tries"
    assert wrong_tries(database) == {"2026-10-14": 5}
    assert try_code(database, receipt(place), place, code_at(NOON, place.id))


def test_racing_tries_of_one_receipt_are_five(database: Database) -> None:
    place = committed_place(database)
    mine = receipt(place)
    outcomes = race(12, lambda _: try_code(database, mine, place, "nothing"))
    assert outcomes.count(None) == 5
    assert sum(isinstance(one, TooMany) for one in outcomes) == 7
    assert wrong_tries(database) == {"2026-10-14": 5}


def test_racing_wrong_codes_of_a_place_and_day_are_a_hundred(database: Database) -> None:
    place = committed_place(database)

    def guess(_: int) -> int:
        passed = 0
        for _ in range(11):
            with suppress(TooMany):
                passed += try_code(database, receipt(place), place, "nothing") is None
        return passed

    passed = race(12, guess)
    assert sum(number for number in passed if isinstance(number, int)) == 100
    assert wrong_tries(database) == {"2026-10-14": 100}
    with pytest.raises(TooMany):
        try_code(database, receipt(place), place, code_at(NOON, place.id))


def test_the_hundred_wrong_codes_are_of_the_civil_day_of_the_place(database: Database) -> None:
    tokyo = committed_place(database, time_zone="Asia/Tokyo")
    for instant in (datetime(2026, 10, 14, 14, 59, tzinfo=UTC), datetime(2026, 10, 14, 15, 0, tzinfo=UTC)):
        assert try_code(database, receipt(tokyo, at=instant), tokyo, "nothing", instant) is None
    assert wrong_tries(database) == {"2026-10-14": 1, "2026-10-15": 1}


def test_a_receipt_older_than_ten_minutes_takes_no_till_code(database: Database) -> None:
    place = committed_place(database)
    mine = receipt(place)
    later = NOON + timedelta(minutes=10)
    assert try_code(database, mine, place, code_at(later, place.id), later)
    with pytest.raises(Gone):
        try_code(database, mine, place, code_at(later, place.id), later + timedelta(seconds=1))


def test_a_code_that_stands_nowhere_has_no_till_code(database: Database) -> None:
    with pytest.raises(Invalid):
        try_code(database, receipt(committed_place(database)), None, "123456")


# Opening hours ---------------------------------------------------------------------------------------------------


def shop(hours: dict[str, list[list[str]]] | None, time_zone: str = "Europe/Paris") -> Place:
    return Place(
        organisation_id=UUID(int=1), name="", time_zone=time_zone, opening_hours=hours, created_at=NOON, changed_at=NOON
    )


def paris(text: str) -> datetime:
    """An instant given in Paris's own time with its offset."""
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("local", "is_open"),
    [
        ("2026-10-14T08:59+02:00", False),
        ("2026-10-14T09:00+02:00", True),
        ("2026-10-14T12:29+02:00", True),
        ("2026-10-14T12:30+02:00", False),
        ("2026-10-14T14:00+02:00", True),
        ("2026-10-14T23:59+02:00", True),
        ("2026-10-15T00:00+02:00", False),
        # Friday's bar closes at two on Saturday morning
        ("2026-10-16T21:59+02:00", False),
        ("2026-10-16T22:00+02:00", True),
        ("2026-10-17T00:00+02:00", True),
        ("2026-10-17T01:59+02:00", True),
        ("2026-10-17T02:00+02:00", False),
        ("2026-10-16T01:00+02:00", False),
    ],
)
def test_a_shop_is_open_in_its_hours_and_past_midnight(local: str, is_open: bool) -> None:
    hours = {"wed": [["09:00", "12:30"], ["14:00", "24:00"]], "fri": [["22:00", "02:00"]]}
    assert shop(hours).is_open(paris(local).astimezone(UTC)) is is_open


def test_a_week_begins_again_after_sunday_night() -> None:
    assert shop({"sun": [["22:00", "02:00"]]}).is_open(paris("2026-10-19T01:00+02:00"))
    assert not shop({"mon": [["22:00", "02:00"]]}).is_open(paris("2026-10-19T01:00+02:00"))


@pytest.mark.parametrize(
    ("instant", "is_open"),
    [
        # 29 March 2026: at 01:00 UTC clocks go from 02:00 to 03:00
        ("2026-03-29T00:59Z", True),
        ("2026-03-29T01:00Z", False),  # 03:00 there
        ("2026-03-29T06:59Z", False),
        ("2026-03-29T07:00Z", True),  # 09:00 there, an hour earlier in UTC than the day before
        # 25 October 2026: at 01:00 UTC clocks go from 03:00 back to 02:00; 02:00 to 03:00 happens twice
        ("2026-10-25T00:30Z", True),  # 02:30 the first time
        ("2026-10-25T01:30Z", True),  # 02:30 the second time
        ("2026-10-25T02:00Z", False),  # 03:00
        ("2026-10-25T07:59Z", False),
        ("2026-10-25T08:00Z", True),
    ],
)
def test_hours_are_those_of_the_wall_clock_on_the_two_changing_days(instant: str, is_open: bool) -> None:
    hours = {"sat": [["22:00", "03:00"]], "sun": [["09:00", "18:00"]]}
    assert shop(hours).is_open(datetime.fromisoformat(instant)) is is_open


def test_a_shop_without_hours_is_always_open_and_one_without_a_day_is_closed_on_it() -> None:
    assert shop(None).is_open(NOON)
    assert not shop({"mon": [["09:00", "18:00"]]}).is_open(NOON)


# The place itself ------------------------------------------------------------------------------------------------


def test_a_place_needs_a_position_or_an_address_that_a_geocoder_knows() -> None:
    def here(address: str) -> tuple[float, float] | None:
        return (45.0, 4.0) if address == "1 place Bellecour, Lyon" else None

    def never(address: str) -> tuple[float, float]:
        raise AssertionError("no look-up is needed")

    assert places.locate("anywhere", 1.0, 2.0, never) == (1.0, 2.0)
    assert places.locate(None, 0.0, 0.0, None) == (0.0, 0.0)
    assert places.locate("1 place Bellecour, Lyon", None, None, here) == (45.0, 4.0)
    refused: list[tuple[Any, str, str]] = [
        ((None, 1.0, None, here), "/lat", "both"),
        ((None, None, None, here), "/lat", "position"),
        (("1 place Bellecour, Lyon", None, None, None), "/address", "no geocoder"),
        (("nowhere", None, None, here), "/address", "does not know"),
    ]
    for arguments, pointer, words in refused:
        with pytest.raises(Invalid, match=words) as refusal:
            places.locate(*arguments)
        assert refusal.value.context["pointer"] == pointer


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lat", 90.1),
        ("lat", float("nan")),
        ("lon", -180.1),
        ("radius_m", 9),
        ("radius_m", 50_001),
        ("time_zone", "Europe/Lyon"),
        ("time_zone", "../etc/passwd"),
        ("opening_hours", {"lundi": []}),
        ("opening_hours", {"mon": [["9:00", "12:00"]]}),
        ("opening_hours", {"mon": [["09:00"]]}),
        ("opening_hours", {"mon": [["09:00", "25:00"]]}),
    ],
)
def test_a_place_with_a_field_out_of_range_is_refused_by_name(session: Session, field: str, value: Any) -> None:
    organisation = make_organisation(session)
    with pytest.raises(Invalid) as refusal:
        make_place(session, organisation, **{field: value})
    assert refusal.value.context["pointer"].startswith(f"/{field}")


def test_a_place_belongs_to_its_organisation_and_its_name_is_its_own(session: Session) -> None:
    ours, theirs = make_organisation(session), make_organisation(session)
    place = make_place(session, ours, external_id="bellecour")
    assert places.place_by_name(session, ours.id, "ext_bellecour").id == place.id
    assert places.place_by_name(session, ours.id, show("plc", place.id)).id == place.id
    for name in ("ext_bellecour", show("plc", place.id)):
        with pytest.raises(NotFound):
            places.place_by_name(session, theirs.id, name)
    with pytest.raises(Conflict):
        make_place(session, ours, external_id="bellecour")
    assert make_place(session, theirs, external_id="bellecour").id != place.id
