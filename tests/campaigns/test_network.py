"""Where an address is: a city at most, from any file, and never a reason to lose a scan."""

import logging
import random
from pathlib import Path
from typing import Any

import pytest

from campaigns.places.network import NOWHERE, NetworkMap, Whereabouts
from tests.mmdb import mmdb

NESTED = {
    "country": {"iso_code": "FR", "names": {"en": "France"}},
    "city": {"names": {"en": "Lyon", "fr": "Lyon"}},
    "postal": {"code": "69002"},
    "location": {"time_zone": "Europe/Paris"},
}
ODD: dict[str, Any] = {
    "192.0.2.0/32": "a text",
    "192.0.2.1/32": ["a", "list"],
    "192.0.2.2/32": {"country": {"iso_code": 7}, "city": {"names": ["x"]}},
    "192.0.2.3/32": {"country": "France", "city": "a\x00b"},
    "192.0.2.4/32": {"country": {"names": {}}, "city": {}},
    "192.0.2.5/32": {"city": "x" * 500},
    "192.0.2.6/32": {},
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "addresses.mmdb"
    flat = {"country_code": "BE", "city": "Bruxelles"}
    path.write_bytes(mmdb({"203.0.113.0/24": NESTED, "198.51.100.0/25": flat, "2001:db8::/32": NESTED, **ODD}))
    return path


def test_an_address_is_located_to_its_city_and_no_closer(file: Path) -> None:
    known = NetworkMap(file)
    assert known.is_there
    assert known.of("203.0.113.77") == Whereabouts("FR", "Lyon")
    assert known.of("198.51.100.1") == Whereabouts("BE", "Bruxelles")
    assert known.of("2001:db8::1") == Whereabouts("FR", "Lyon")
    assert known.of("198.51.100.200") == known.of("8.8.8.8") == known.of("2001:db9::1") == NOWHERE


def test_records_and_addresses_of_any_shape_are_nowhere_at_worst(file: Path) -> None:
    known = NetworkMap(file)
    for address in ("", "nonsense", "203.0.113.7:80", "\udcff", "1" * 10_000, *(n.partition("/")[0] for n in ODD)):
        country, city = known.of(address)
        assert country is None
        assert city is None or city == "x" * 80


def test_without_a_file_nobody_is_anywhere() -> None:
    known = NetworkMap(None)
    assert not known.is_there
    assert known.of("203.0.113.77") == NOWHERE


@pytest.mark.parametrize(
    "content", [None, b"", b"not a database", b"\xab\xcd\xefMaxMind.com", b"\xab\xcd\xefMaxMind.com\xe0"]
)
def test_a_file_that_cannot_be_read_is_said_and_not_used(
    tmp_path: Path, content: bytes | None, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "broken.mmdb"
    if content is not None:
        path.write_bytes(content)
    with caplog.at_level(logging.ERROR):
        known = NetworkMap(path)
    assert not known.is_there
    assert known.of("203.0.113.77") == NOWHERE
    assert "broken.mmdb" in caplog.text


def test_a_damaged_file_never_makes_a_look_up_fail(file: Path) -> None:
    whole = file.read_bytes()
    chance = random.Random(7)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(chance.randrange(1, 30)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        file.write_bytes(damaged[: chance.choice((len(damaged), chance.randrange(len(damaged))))])
        known = NetworkMap(file)
        for address in ("203.0.113.77", "198.51.100.1", "2001:db8::1", "192.0.2.3"):
            country, city = known.of(address)
            assert country is None or len(country) == 2
            assert city is None or city.isprintable()


def test_a_file_that_is_overwritten_under_a_running_server_changes_nothing(file: Path) -> None:
    known = NetworkMap(file)
    file.write_bytes(b"")
    assert known.of("203.0.113.77") == Whereabouts("FR", "Lyon")
