"""Signals: what a scan looks like among others, without a database."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import ids
from campaigns.scans import signals
from campaigns.scans.signals import (
    BURST_CODES,
    SHARED_PEOPLE,
    Sighting,
    Spot,
    bursts_of_source,
    impossible_travels,
    shared_devices,
)
from tests.factories import NOON

LYON, PARIS = Spot(45.7578, 4.8320, 60), Spot(48.8566, 2.3522, 60)  # 392 km apart
NEXT_DOOR = Spot(45.7600, 4.8320, 60)
RULES = [bursts_of_source, shared_devices, impossible_travels]


def seen(minute: float, *, code: int = 1, person: int | None = None, spot: Spot | None = None, n: int = 0) -> Sighting:
    id = UUID(int=ids.first_of(NOON + timedelta(minutes=minute)).int + n)
    return Sighting(id, UUID(int=code), UUID(int=person) if person else None, spot)


def blamed(rule: Any, *sightings: Sighting) -> list[int]:
    found = rule(sightings)
    return [index for index, one in enumerate(sightings) if one.scan_id in found]


def test_one_code_too_many_within_ten_minutes_is_a_burst_and_a_reload_never_is() -> None:
    codes = [seen(n / 5, code=n + 1) for n in range(BURST_CODES + 2)]
    assert blamed(bursts_of_source, *codes) == [BURST_CODES, BURST_CODES + 1]
    assert blamed(bursts_of_source, *(seen(n / 2, code=n + 1) for n in range(90))) == []
    assert blamed(bursts_of_source, *(seen(n / 10) for n in range(90))) == []


def test_one_person_too_many_within_the_hour_shares_a_device_and_those_before_do_not() -> None:
    people = [seen(n, person=n + 1) for n in range(SHARED_PEOPLE + 2)]
    assert blamed(shared_devices, *people) == [SHARED_PEOPLE, SHARED_PEOPLE + 1]
    assert blamed(shared_devices, *(seen(n * 3, person=n + 1) for n in range(90))) == []
    assert blamed(shared_devices, *(seen(n, person=1) for n in range(40))) == []
    assert blamed(shared_devices, *(seen(n) for n in range(40))) == []


@pytest.mark.parametrize(
    ("minutes", "spots", "expected"),
    [
        ([0, 1], [LYON, PARIS], [1]),
        ([0, 21], [LYON, PARIS], [1]),
        ([0, 60], [LYON, PARIS], []),  # a plane
        ([0, 0.01], [LYON, NEXT_DOOR], []),
        ([0, 0.01], [LYON, LYON], []),
        ([0, 1, 2], [LYON, PARIS, LYON], [1]),  # who was right stays right
        ([0, 1, 2], [LYON, None, PARIS], [2]),
        ([0, 1], [LYON, Spot(48.8566, 2.3522, 20_100_000)], []),  # a distance nobody knows
    ],
)
def test_only_what_no_plane_could_do_is_impossible(
    minutes: list[float], spots: list[Spot | None], expected: list[int]
) -> None:
    sightings = [seen(minute, spot=spot, person=1) for minute, spot in zip(minutes, spots, strict=True)]
    assert blamed(impossible_travels, *sightings) == expected


sightings_of_all_kinds = st.lists(
    st.tuples(
        st.integers(0, 120), st.integers(1, 9), st.none() | st.integers(1, 7), st.sampled_from([None, LYON, PARIS])
    ),
    max_size=30,
)


@given(sightings_of_all_kinds, st.randoms(use_true_random=False))
def test_no_rule_depends_on_the_order_and_none_blames_for_what_came_later(facts: list[Any], chance: Any) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(signals, "BURST_CODES", 3)  # so that thirty scans show every rule at work
        patch.setattr(signals, "SHARED_PEOPLE", 2)
        _check_any_order(facts, chance)


def _check_any_order(facts: list[Any], chance: Any) -> None:
    all_ = [seen(m, code=c, person=p, spot=s, n=n) for n, (m, c, p, s) in enumerate(facts)]
    shuffled = list(all_)
    chance.shuffle(shuffled)
    all_.sort(key=lambda one: one.scan_id)
    for rule in RULES:
        assert rule(shuffled) == rule(all_)
        for end in range(len(all_)):
            assert rule(all_[:end]) == rule(all_) & {one.scan_id for one in all_[:end]}
