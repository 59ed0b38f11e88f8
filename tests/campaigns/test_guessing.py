"""Guessing and address ranges: rules without a database."""

from pathlib import Path

import pytest

from campaigns.scans.data_centres import load_networks
from campaigns.scans.guessing import ADDRESSES, UNKNOWN_CODES, Guessing


def test_the_sixty_first_unknown_code_of_a_minute_has_to_wait() -> None:
    guessing = Guessing()
    assert [guessing.ask(1, f"code {n}", n / 2) for n in range(UNKNOWN_CODES)] == [0] * UNKNOWN_CODES
    assert guessing.ask(1, "one more", 30) == 30
    assert guessing.ask(1, "one more", 59.9) == 1
    assert guessing.ask(2, "another address", 30) == 0
    assert guessing.ask(1, "a minute later", 60) == 0


def test_the_same_unknown_code_is_a_misprint_and_no_guess() -> None:
    guessing = Guessing()
    assert {guessing.ask(1, "MISPRINT", n / 100) for n in range(1000)} == {0}


def test_its_memory_is_bounded() -> None:
    guessing = Guessing()
    for address in range(ADDRESSES + 500):
        guessing.ask(address, "code", 0)
    for n in range(10_000):
        guessing.ask(1, f"code {n}", 1)
    assert len(guessing._asking) == ADDRESSES
    assert max(len(one.codes) for one in guessing._asking.values()) == UNKNOWN_CODES + 1


@pytest.mark.parametrize(
    ("address", "held"),
    [
        ("192.0.2.0", True),
        ("192.0.2.255", True),
        ("192.0.3.0", False),
        ("192.0.1.255", False),
        ("::ffff:192.0.2.9", True),
        ("198.51.100.77", True),
        ("198.51.100.78", False),
        ("2001:db8::1", True),
        ("2001:db9::1", False),
        ("", False),
        ("unknown", False),
        ("fe80::1%eth0", False),
    ],
)
def test_an_address_is_in_a_range_or_not(tmp_path: Path, address: str, held: bool) -> None:
    file = tmp_path / "ranges"
    file.write_text("192.0.2.0/25\n192.0.2.128/25 # half\n\n# remark\n198.51.100.77\n2001:db8::/32\n300.1.1.1/8\n")
    assert load_networks(file).hold(address) is held


def test_a_bad_line_is_skipped_and_logged_and_a_missing_file_holds_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "ranges"
    file.write_text("nonsense\n10.0.0.0/8\n")
    assert load_networks(file).hold("10.1.2.3")
    assert "line 1 of ranges" in caplog.text
    assert not load_networks(tmp_path / "none").hold("10.1.2.3")
    assert "could not be read" in caplog.text
    assert not load_networks(None).hold("10.1.2.3")
