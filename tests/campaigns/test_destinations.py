"""Where a scan leads: every condition of a rule, and weighted splits. No database."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from campaigns.errors import Invalid
from campaigns.tokens.destinations import (
    Routing,
    Visit,
    choose,
    leading,
    parse_rules,
    read_rules,
    stored_rules,
)

A, B, HOME = "https://a.example/", "https://b.example/", "https://home.example/"
PARIS = ZoneInfo("Europe/Paris")
WEDNESDAY = datetime(2026, 10, 14, 12, 0, tzinfo=PARIS)
SCAN = "0198c0de00007000800000000000abcd"


def visit(**known: Any) -> Visit:
    return Visit(**{"token": "t" * 32, "visitor_key": 7, "local": WEDNESDAY, **known})


def leads(when: dict[str, Any], **known: Any) -> bool:
    """Whether a rule with these conditions fits the visit."""
    return choose(parse_rules([{"when": when, "destination": A}]), visit(**known), HOME) == A


@pytest.mark.parametrize(
    ("when", "known", "fits"),
    [
        ({}, {}, True),
        ({"languages": ["fr"]}, {"language": "fr"}, True),
        ({"languages": ["fr"]}, {"language": "fr-ca"}, True),
        ({"languages": ["FR-CA"]}, {"language": "fr-ca"}, True),
        ({"languages": ["fr-CA"]}, {"language": "fr"}, False),
        ({"languages": ["fr"]}, {"language": "fro"}, False),
        ({"languages": ["de", "nl"]}, {"language": "nl"}, True),
        ({"languages": ["fr"]}, {}, False),
        ({"devices": ["ios"]}, {"device": "ios"}, True),
        ({"devices": ["ios", "android"]}, {"device": "desktop"}, False),
        ({"countries": ["FR", "BE"]}, {"country": "BE"}, True),
        ({"countries": ["FR"]}, {"country": "DE"}, False),
        ({"countries": ["FR"]}, {}, False),
        ({"geofence": "inside"}, {"fence": "inside"}, True),
        ({"geofence": "outside"}, {"fence": "inside"}, False),
        ({"geofence": "inside"}, {"fence": "maybe"}, False),
        ({"geofence": "outside"}, {"fence": "maybe"}, False),
        ({"geofence": "outside"}, {}, False),
        ({"returning": True}, {"is_returning": True}, True),
        ({"returning": True}, {}, False),
        ({"returning": False}, {}, True),
        ({"returning": False}, {"is_returning": True}, False),
        ({"languages": ["fr"], "devices": ["ios"]}, {"language": "fr", "device": "ios"}, True),
        ({"languages": ["fr"], "devices": ["ios"]}, {"language": "fr", "device": "android"}, False),
    ],
)
def test_a_condition_holds_or_not(when: dict[str, Any], known: dict[str, Any], fits: bool) -> None:
    assert leads(when, **known) is fits


def paris(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=PARIS)


NIGHT = {"from_time": "18:00", "to_time": "02:00"}


@pytest.mark.parametrize(
    ("when", "local", "fits"),
    [
        ({"from_time": "09:00", "to_time": "12:00"}, "2026-10-14T09:00", True),
        ({"from_time": "09:00", "to_time": "12:00"}, "2026-10-14T08:59:59", False),
        ({"from_time": "09:00", "to_time": "12:00"}, "2026-10-14T11:59:59", True),
        ({"from_time": "09:00", "to_time": "12:00"}, "2026-10-14T12:00", False),
        ({"from_time": "18:00"}, "2026-10-14T23:59", True),
        ({"from_time": "18:00"}, "2026-10-14T00:00", False),
        ({"to_time": "02:00"}, "2026-10-14T01:59", True),
        ({"to_time": "02:00"}, "2026-10-14T02:00", False),
        (NIGHT, "2026-10-14T18:00", True),
        (NIGHT, "2026-10-15T01:59", True),
        (NIGHT, "2026-10-15T02:00", False),
        (NIGHT, "2026-10-14T17:59", False),
        ({"days": ["wed"]}, "2026-10-14T00:00", True),
        ({"days": ["wed"]}, "2026-10-15T00:00", False),
        # The night of Wednesday goes on into Thursday, as opening hours do; Wednesday's first hours are Tuesday's.
        ({**NIGHT, "days": ["wed"]}, "2026-10-15T01:00", True),
        ({**NIGHT, "days": ["wed"]}, "2026-10-14T01:00", False),
        ({**NIGHT, "to_date": "2026-10-14"}, "2026-10-15T01:00", True),
        ({**NIGHT, "from_date": "2026-10-14"}, "2026-10-14T01:00", False),
        ({"from_date": "2026-10-14", "to_date": "2026-10-14"}, "2026-10-14T23:59:59", True),
        ({"from_date": "2026-10-14", "to_date": "2026-10-14"}, "2026-10-15T00:00", False),
        ({"from_date": "2026-10-14"}, "2026-10-13T23:59:59", False),
        ({"to_date": "2026-10-14"}, "2026-10-14T00:00", True),
    ],
)
def test_times_and_days_are_those_of_the_place(when: dict[str, Any], local: str, fits: bool) -> None:
    assert leads(when, local=paris(local)) is fits


@pytest.mark.parametrize(
    ("zone", "instant", "fits"),
    [
        ("Europe/Paris", "2026-10-25T00:30", True),  # 02:30 in summer time
        ("Europe/Paris", "2026-10-25T01:30", True),  # 02:30 again, in winter time
        ("Europe/Paris", "2026-10-25T02:00", False),  # 03:00
        ("Europe/Paris", "2026-03-29T00:59", False),  # 01:59; the next minute is 03:00
        ("Europe/Paris", "2026-03-29T01:00", False),
        ("America/New_York", "2026-10-25T06:30", True),
        ("Asia/Kolkata", "2026-10-24T21:00", True),  # 02:30, half an hour off
        ("Pacific/Auckland", "2026-10-24T13:30", True),  # 02:30 on the 25th
    ],
)
def test_an_hour_that_comes_twice_fits_twice_and_one_that_is_left_out_never(
    zone: str, instant: str, fits: bool
) -> None:
    rules = parse_rules([{"when": {"from_time": "02:00", "to_time": "03:00"}, "destination": A}])
    routing = Routing("t" * 32, zone, HOME, tuple(rules))
    local = routing.local(datetime.fromisoformat(instant).replace(tzinfo=UTC))
    assert (routing.lead(visit(local=local), SCAN) == A) is fits


def test_a_civil_day_begins_at_the_place_and_not_in_greenwich() -> None:
    rules = parse_rules([{"when": {"from_date": "2026-10-15", "to_date": "2026-10-15"}, "destination": A}])
    late = datetime(2026, 10, 14, 22, 30, tzinfo=UTC)
    ways = [
        Routing("t", zone, HOME, tuple(rules)).lead(visit(local=late.astimezone(ZoneInfo(zone))), SCAN)
        for zone in ("Europe/Paris", "UTC", "Pacific/Auckland")
    ]
    assert ways == [A, HOME, A]


def test_the_first_rule_that_fits_decides_and_a_rule_may_lead_to_the_hosted_page() -> None:
    rules = parse_rules(
        [
            {"when": {"languages": ["de"]}, "hosted": True},
            {"when": {"devices": ["ios"]}, "destination": A},
            {"destination": B},
        ]
    )
    assert choose(rules, visit(language="de", device="ios"), HOME) is None
    assert choose(rules, visit(device="ios"), HOME) == A
    assert choose(rules, visit(), HOME) == B
    assert choose(rules[:2], visit(), HOME) == HOME
    assert choose([], visit(), None) is None


# Splits ----------------------------------------------------------------------------------------------------------

SPLIT = [{"weight": 3, "destination": A}, {"weight": 1, "destination": B}]


def test_a_split_shares_visitors_out_by_weight_and_a_visitor_stays() -> None:
    rules = parse_rules([{"split": SPLIT}])
    drawn = [choose(rules, visit(visitor_key=key * 1_000_003), HOME) for key in range(20_000)]
    assert drawn == [choose(rules, visit(visitor_key=key * 1_000_003), HOME) for key in range(20_000)]
    counts = Counter(drawn)
    assert counts.keys() == {A, B}
    assert abs(counts[A] / 20_000 - 0.75) < 0.015  # five standard errors


def test_splits_of_two_rules_and_of_two_codes_are_drawn_apart() -> None:
    rules = parse_rules([{"when": {"languages": ["fr"]}, "split": SPLIT}, {"split": SPLIT}])
    keys = range(4_000)
    first = [choose(rules, visit(visitor_key=key, language="fr"), HOME) for key in keys]
    second = [choose(rules, visit(visitor_key=key), HOME) for key in keys]
    other = [choose(rules, visit(visitor_key=key, language="fr", token="u" * 32), HOME) for key in keys]
    for another in (second, other):
        same = sum(one == two for one, two in zip(first, another, strict=True))
        assert abs(same / 4_000 - (0.75**2 + 0.25**2)) < 0.05


def test_a_share_may_be_the_hosted_page() -> None:
    rules = parse_rules([{"split": [{"weight": 1, "hosted": True}, {"weight": 1, "destination": B}]}])
    assert {choose(rules, visit(visitor_key=key), HOME) for key in range(50)} == {None, B}


CONDITIONS = st.fixed_dictionaries(
    {},
    optional={
        "languages": st.lists(st.sampled_from(["fr", "en", "pt-br"]), min_size=1, max_size=2),
        "devices": st.lists(st.sampled_from(["ios", "android", "desktop", "other"]), min_size=1, max_size=2),
        "countries": st.lists(st.sampled_from(["FR", "BE"]), min_size=1, max_size=2),
        "days": st.lists(st.sampled_from(["mon", "wed", "sun"]), min_size=1, max_size=2),
        "from_time": st.sampled_from(["00:00", "08:00", "18:00"]),
        "to_time": st.sampled_from(["02:00", "12:30", "23:59"]),
        "geofence": st.sampled_from(["inside", "outside"]),
        "returning": st.booleans(),
    },
)
VISITS = st.builds(
    Visit,
    token=st.sampled_from(["t" * 32, "u" * 32]),
    visitor_key=st.integers(0, 2**63 - 1),
    local=st.integers(0, 525_600).map(lambda minute: WEDNESDAY + timedelta(minutes=minute)),
    language=st.sampled_from(["", "fr", "en-gb", "pt-br"]),
    device=st.sampled_from(["ios", "android", "desktop", "other"]),
    country=st.sampled_from([None, "FR", "BE", "DE"]),
    fence=st.sampled_from([None, "inside", "maybe", "outside"]),
    is_returning=st.booleans(),
)


@settings(deadline=None)
@given(st.lists(CONDITIONS, max_size=8), VISITS)
def test_whatever_the_rules_the_first_that_fits_by_itself_wins_and_wins_again(
    conditions: list[dict[str, Any]], seen: Visit
) -> None:
    given = [{"when": when, "destination": f"https://{number}.example/"} for number, when in enumerate(conditions)]
    rules = parse_rules(given)
    alone = [rule.destination for rule in rules if choose([rule], seen, None) is not None]
    found = choose(rules, seen, HOME)
    assert found == (alone[0] if alone else HOME)
    assert found == choose(read_rules(stored_rules(rules)), seen, HOME)


# What is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rule", "pointer"),
    [
        ({"when": {"colour": "red"}, "destination": A}, "/rules/0/when/colour"),
        ({"when": {"languages": []}, "destination": A}, "/rules/0/when/languages"),
        ({"when": {"languages": ["fr", "français"]}, "destination": A}, "/rules/0/when/languages/1"),
        ({"when": {"devices": ["toaster"]}, "destination": A}, "/rules/0/when/devices/0"),
        ({"when": {"from_time": "24:00"}, "destination": A}, "/rules/0/when/from_time"),
        ({"when": {"to_time": "9:00"}, "destination": A}, "/rules/0/when/to_time"),
        ({"when": {"from_time": "09:00", "to_time": "09:00"}, "destination": A}, "/rules/0/when"),
        ({"when": {"days": ["monday"]}, "destination": A}, "/rules/0/when/days/0"),
        ({"when": {"from_date": "2026-02-30"}, "destination": A}, "/rules/0/when/from_date"),
        ({"when": {"from_date": "2026-02-02", "to_date": "2026-02-01"}, "destination": A}, "/rules/0/when"),
        ({"when": {"countries": ["fr"]}, "destination": A}, "/rules/0/when/countries/0"),
        ({"when": {"geofence": "maybe"}, "destination": A}, "/rules/0/when/geofence"),
        ({"when": {"returning": "yes"}, "destination": A}, "/rules/0/when/returning"),
        ({"when": {}}, "/rules/0"),
        ({"destination": A, "hosted": True}, "/rules/0"),
        ({"hosted": False}, "/rules/0"),
        ({"destination": "javascript:alert(1)"}, "/rules/0/destination"),
        ({"destination": "https://user@a.example/"}, "/rules/0/destination"),
        ({"destination": A + "x" * 2000}, "/rules/0/destination"),
        ({"split": SPLIT[:1]}, "/rules/0/split"),
        ({"split": [*SPLIT, {"weight": 0, "destination": A}]}, "/rules/0/split/2/weight"),
        ({"split": [*SPLIT, {"weight": -1, "destination": A}]}, "/rules/0/split/2/weight"),
        ({"split": [*SPLIT, {"weight": 0.5, "destination": A}]}, "/rules/0/split/2/weight"),
        ({"split": [*SPLIT, {"weight": True, "destination": A}]}, "/rules/0/split/2/weight"),
        ({"split": [*SPLIT, {"weight": 1}]}, "/rules/0/split/2"),
        ({"split": [*SPLIT, {"weight": 1, "destination": "ftp://a.example"}]}, "/rules/0/split/2/destination"),
        ("https://a.example", "/rules/0"),
    ],
)
def test_a_mistake_in_a_rule_is_named(rule: Any, pointer: str) -> None:
    with pytest.raises(Invalid) as refusal:
        parse_rules([rule])
    assert refusal.value.context["pointer"] == pointer


def test_there_are_twenty_rules_at_most() -> None:
    assert len(parse_rules([{"destination": A}] * 20)) == 20
    with pytest.raises(Invalid):
        parse_rules([{"destination": A}] * 21)


def test_stored_rules_that_nobody_can_read_do_not_stop_a_visitor() -> None:
    assert read_rules([{"when": {"moon": "full"}, "destination": A}]) == []
    assert read_rules(None) == []


def test_every_destination_of_a_rule_gets_its_parameters() -> None:
    (rule,) = parse_rules([{"split": [*SPLIT, {"weight": 1, "hosted": True}]}])
    changed = leading(rule, lambda url: url + "?x")
    assert [share.destination for share in changed.split or ()] == [A + "?x", B + "?x", None]
    (plain,) = parse_rules([{"destination": A}])
    assert leading(plain, lambda url: url + "?x").destination == A + "?x"
