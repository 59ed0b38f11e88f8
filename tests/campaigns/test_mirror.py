"""What an unsigned tag writes into its address: read whole, or not at all."""

import pytest

from campaigns.tokens.mirror import BLANK, read_mirror
from campaigns.tokens.sun import Tap

UID = "04E141124C2880"


def test_a_mirror_is_read() -> None:
    assert read_mirror(b"m=04E141124C2880x00001F", UID) == Tap(UID, 31)
    assert read_mirror(b"utm_source=a&m=04E141124C2880x000000&lang=fr", UID) == Tap(UID, 0)


@pytest.mark.parametrize(
    "query",
    [
        b"",
        b"m=",
        f"m={BLANK}".encode(),
        b"m=04E141124C2881x00001F",
        b"m=04e141124c2880x00001f",
        b"m=04E141124C2880x00001",
        b"m=04E141124C2880x00001F0",
        b"m=04E141124C2880X00001F",
        b"m=04E141124C2880x00001F&m=04E141124C2880x000020",
        b"M=04E141124C2880x00001F",
        b"m=\xff%00",
        b"m=04E141124C2880x00001F" + b"&a" * 60,
        b"m=04E141124C2880x00001F&a=" + b"b" * 2000,
    ],
)
def test_anything_else_says_nothing(query: bytes) -> None:
    assert read_mirror(query, UID) is None
