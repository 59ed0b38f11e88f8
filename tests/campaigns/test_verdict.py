"""Verdicts: DOMAIN section 4 as tables."""

from datetime import timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import ids
from campaigns.places.geofence import Geofence
from campaigns.planning import State
from campaigns.scans.agents import AgentKind
from campaigns.scans.verdict import WEIGHTS, Located, Reason, Seen, duplicates, judge_further, judge_request, settle
from tests.factories import NOON

PEOPLE = next(kind for kind in AgentKind if kind not in (AgentKind.BOT, AgentKind.EMPTY))


def first(**facts: Any) -> tuple[str, tuple[str, ...]]:
    usual = {"agent": PEOPLE, "prefetch": False, "state": State.LIVE, "closed": False, "is_open": True}
    judged = judge_request(**{**usual, **facts})
    return judged.verdict.value, judged.reasons


@pytest.mark.parametrize(
    ("facts", "verdict", "reasons"),
    [
        ({}, "valid", ()),
        ({"agent": AgentKind.BOT}, "bot", ("bot_agent",)),
        ({"agent": AgentKind.EMPTY}, "bot", ("empty_agent",)),
        ({"prefetch": True}, "bot", ("prefetch",)),
        ({"agent": AgentKind.BOT, "prefetch": True}, "bot", ("bot_agent", "prefetch")),
        ({"state": None}, "orphan", ("unknown_code",)),
        ({"state": None, "agent": AgentKind.BOT}, "bot", ("bot_agent", "unknown_code")),
        ({"state": State.SCHEDULED}, "invalid", ("campaign_closed",)),
        ({"state": State.PAUSED}, "invalid", ("campaign_closed",)),
        ({"state": State.ENDED}, "invalid", ("campaign_closed",)),
        ({"closed": True}, "invalid", ("campaign_closed",)),
        ({"is_open": False}, "valid", ("closed_hours",)),
        ({"data_centre": True}, "provisional", ("data_centre",)),
        ({"data_centre": True, "is_open": False}, "provisional", ("closed_hours", "data_centre")),
        ({"state": None, "enumeration": True}, "orphan", ("unknown_code", "enumeration")),
        ({"state": State.DRAFT}, "test", ()),
        ({"state": State.DRAFT, "agent": AgentKind.BOT, "closed": True}, "test", ("bot_agent",)),
    ],
)
def test_the_first_verdict_is_that_of_the_request(facts: dict[str, Any], verdict: str, reasons: tuple[str]) -> None:
    assert first(**facts) == (verdict, reasons)


@pytest.mark.parametrize(
    ("reason", "weight"),
    [
        ("far", 60),
        ("impossible_travel", 60),
        ("enumeration", 50),
        ("shared_position", 40),
        ("data_centre", 30),
        ("burst_source", 25),
        ("shared_device", 25),
        ("spread", 25),
        ("burst_token", 20),
        ("location_refused", 15),
        ("location_vague", 15),
        ("closed_hours", 10),
        ("late", 0),
    ],
)
def test_a_reason_weighs_what_the_domain_says(reason: str, weight: int) -> None:
    assert settle([reason], is_test=False).score == WEIGHTS[reason] == weight


@pytest.mark.parametrize(
    ("reasons", "verdict", "score"),
    [
        ([], "valid", 0),
        (["location_refused"], "valid", 15),
        (["location_vague", "late"], "valid", 15),
        (["location_vague", "closed_hours"], "provisional", 25),
        (["location_refused", "closed_hours", "late"], "provisional", 25),
        (["far"], "held", 60),
        (["far", "closed_hours", "location_refused"], "held", 85),
        (["far", "duplicate"], "duplicate", 60),
        (["duplicate"], "duplicate", 0),
        (["duplicate", "campaign_closed"], "invalid", 0),
        (["far", "far"], "held", 60),
    ],
)
def test_rules_come_before_the_score_and_the_score_decides_the_rest(
    reasons: list[str], verdict: str, score: int
) -> None:
    judged = settle(reasons, is_test=False)
    assert (judged.verdict, judged.score) == (verdict, score)


@given(st.lists(st.sampled_from(list(Reason))), st.booleans(), st.randoms(use_true_random=False))
def test_the_order_of_reasons_changes_no_verdict(reasons: list[Reason], is_test: bool, chance: Any) -> None:
    shuffled = list(reasons)
    chance.shuffle(shuffled)
    one, other = settle(reasons, is_test=is_test), settle(shuffled, is_test=is_test)
    assert (one.verdict, one.score, set(one.reasons)) == (other.verdict, other.score, set(other.reasons))
    assert settle(one.reasons, is_test=is_test) == one


@pytest.mark.parametrize(("geofence", "refused", "late", "duplicate"), list(product(Geofence, *[[False, True]] * 3)))
def test_the_second_verdict_adds_what_was_learnt(
    geofence: Geofence, refused: bool, late: bool, duplicate: bool
) -> None:
    located = Located(geofence, refused)
    judged = judge_further(["closed_hours"], is_test=False, located=located, late=late, duplicate=duplicate)
    score = 10 + {Geofence.OUTSIDE: 60, Geofence.MAYBE: 15}.get(geofence, 0) + (15 if refused else 0)
    by_score = "held" if score >= 50 else "provisional" if score >= 20 else "valid"
    assert (judged.verdict, judged.score) == ("duplicate" if duplicate else by_score, score)
    assert ("late" in judged.reasons) is late


# Duplicates ------------------------------------------------------------------------------------------------------


def seen(minute: float, person: int | None = None, number: int = 0) -> Seen:
    at = NOON + timedelta(minutes=minute)
    id = UUID(int=ids.first_of(at).int + number)
    return Seen(id, at, UUID(int=person) if person else None)


def counted(*scans: Seen) -> list[int]:
    found = duplicates(scans)
    return [index for index, one in enumerate(scans) if one.scan_id not in found]


@pytest.mark.parametrize(
    ("scans", "expected"),
    [
        ([], []),
        ([(0, None)], [0]),
        ([(0, None), (59.9, None)], [0]),
        ([(0, None), (60, None)], [0, 1]),
        ([(0, None), (40, None), (80, None), (120, None)], [0, 2]),
        # a check-in counts for its participant, once an hour
        ([(0, None), (5, 1)], [1]),
        ([(0, 1), (5, None)], [0]),
        ([(0, 1), (5, 1)], [0]),
        ([(0, 1), (60, 1)], [0, 1]),
        ([(0, 1), (1, 2), (2, 3)], [0, 1, 2]),
        ([(0, None), (70, 1)], [0, 1]),
        ([(0, None), (30, None), (70, 1)], [0, 2]),
    ],
)
def test_further_scans_of_one_visit_are_duplicates(scans: list[tuple[float, int | None]], expected: list[int]) -> None:
    assert counted(*(seen(minute, person) for minute, person in scans)) == expected


def test_sixty_reloads_of_one_phone_are_one_visit() -> None:
    assert counted(*(seen(n * 0.9) for n in range(60))) == [0]
    assert counted(*(seen(n * 0.9, 1) for n in range(60))) == [0]


def test_sixty_phones_behind_one_wifi_that_check_in_stay_sixty() -> None:
    assert len(counted(*(seen(n * 0.5, n + 1) for n in range(60)))) == 60


visits = st.lists(st.tuples(st.integers(0, 300), st.none() | st.integers(1, 3)), max_size=25)


@given(visits, st.randoms(use_true_random=False))
def test_duplicates_do_not_depend_on_the_order_they_are_given_in(
    scans: list[tuple[int, int | None]], chance: Any
) -> None:
    all_ = [seen(minute, person, number) for number, (minute, person) in enumerate(scans)]
    shuffled = list(all_)
    chance.shuffle(shuffled)
    assert duplicates(all_) == duplicates(shuffled)


@given(visits)
def test_no_two_counted_scans_of_one_visit_lie_within_the_hour(scans: list[tuple[int, int | None]]) -> None:
    all_ = [seen(minute, person, number) for number, (minute, person) in enumerate(scans)]
    found = duplicates(all_)
    kept = [one for one in all_ if one.scan_id not in found]
    for one, other in product(kept, kept):
        if one is not other and (
            one.participant_id == other.participant_id or None in (one.participant_id, other.participant_id)
        ):
            assert abs(one.scanned_at - other.scanned_at) >= timedelta(hours=1)
    assert bool(kept) == bool(all_)
    assert {one.participant_id for one in all_} - {None} == {one.participant_id for one in kept} - {None}
