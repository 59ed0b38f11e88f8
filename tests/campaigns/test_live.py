"""Live codes and the matrices of a screen: no database."""

import base64
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.errors import Invalid
from campaigns.places import till
from campaigns.tokens import live
from campaigns.tokens.codes import ALPHABET
from campaigns.tokens.live import Proof
from campaigns.tokens.readback import modules_read_as
from campaigns.tokens.screens import HELD_WINDOWS, Packed, Screens, window_matrix
from tests.factories import NOON

KEY, TOKEN = b"k" * 32, UUID(int=5)
URL = "HTTPS://SHOP.EXAMPLE/T/7K3Q9XABW4"
WINDOW = till.window_of(NOON)
EXPIRED = Proof(is_expired=True)


def code_at(now: datetime, token_id: UUID = TOKEN, key: bytes = KEY) -> str:
    return live.window_code(key, token_id, till.window_of(now))


def after(seconds: float) -> datetime:
    return NOON + timedelta(seconds=seconds)


def proof_of(query: str, now: datetime = NOON) -> Proof:
    return live.prove(KEY, TOKEN, query.encode(), now)


def test_a_window_code_has_eleven_characters_and_changes_every_thirty_seconds() -> None:
    codes = [code_at(after(second)) for second in range(0, 30 * 500, 30)]
    assert {len(code) for code in codes} == {11}
    assert set("".join(codes)) == set(ALPHABET)
    assert len(set(codes)) == 500
    assert code_at(after(29.999)) == codes[0]


def test_every_character_of_a_window_code_is_needed() -> None:
    code = code_at(NOON)
    for place in range(live.LENGTH):
        other = "0" if code[place] != "0" else "1"
        assert live.window_if_good(KEY, TOKEN, code[:place] + other + code[place + 1 :], NOON) is None


def test_another_token_and_another_key_have_other_window_codes() -> None:
    assert len({code_at(NOON), code_at(NOON, UUID(int=6)), code_at(NOON, key=b"l" * 32)}) == 3


def test_a_window_code_is_good_in_its_window_and_the_next() -> None:
    edges = (-0.001, 0, 29.999, 30, 59.999, 60)
    found = [live.window_if_good(KEY, TOKEN, code_at(NOON), after(second)) for second in edges]
    assert found == [None, WINDOW, WINDOW, WINDOW, WINDOW, None]


@pytest.mark.parametrize(("seconds", "back"), [(0, 0), (29.999, 0), (30, 1), (59.999, 1)])
def test_a_good_code_proves_presence_and_says_which_window_it_is_of(seconds: float, back: int) -> None:
    assert proof_of(f"k={code_at(NOON)}", after(seconds)) == Proof(2, back)


@pytest.mark.parametrize("query", ["k={0}", "K={0}", "k={1}", "%6B={0}", "lang=fr&k={0}", "k={0}&lang=fr", "&&k={0}&"])
def test_the_code_is_found_whatever_the_case_and_the_neighbours(query: str) -> None:
    assert proof_of(query.format(code_at(NOON), code_at(NOON).lower())) == Proof(2)


@pytest.mark.parametrize(
    "query", ["", "lang=fr", "kk={0}", "key={0}", "x=k={0}", "{0}", "&".join(["a=1"] * 30) + "&k={0}"]
)
def test_a_visit_without_a_window_code_proves_nothing_and_is_no_expired_one(query: str) -> None:
    assert proof_of(query.format(code_at(NOON))) == Proof()


@pytest.mark.parametrize(
    "query",
    [
        "k=",
        "k",
        "k={0}&k={0}",
        "k={0}&K={0}",
        "k={0}0",
        "k=0{0}",
        "k={0}%00",
        "k={0}%20",
        "k=" + "0" * 10_000,
        "k=%C5%BF%C5%BF%C5%BF%C5%BF%C5%BF%C5%BF",
        "k=%FF%FE",
        "k=été",
        "k=%F0%9F%92%A9",
    ],
)
def test_a_code_that_is_none_or_comes_twice_is_expired(query: str) -> None:
    assert proof_of(query.format(code_at(NOON))) == EXPIRED


def test_a_stale_code_and_one_of_the_future_are_expired() -> None:
    assert proof_of(f"k={code_at(NOON)}", after(60)) == EXPIRED
    assert proof_of(f"k={code_at(after(30))}") == EXPIRED


def test_a_look_alike_letter_does_not_fold_into_a_code() -> None:
    moments = (after(30 * number) for number in range(200))
    now = next(now for now in moments if "S" in code_at(now))
    assert live.window_if_good(KEY, TOKEN, code_at(now).replace("S", "\u017f"), now) is None  # the long s


@given(st.binary(max_size=600))
def test_no_query_is_an_error(query: bytes) -> None:
    assert live.prove(KEY, TOKEN, query, NOON).presence == 0


@given(st.text(max_size=14))
def test_no_text_is_an_error(text: str) -> None:
    assert (live.window_if_good(KEY, TOKEN, text, NOON) is None) == (text.upper() != code_at(NOON))


# The matrices of a screen ----------------------------------------------------------------------------------------


def unpacked(packed: Packed) -> str:
    """What a packed matrix reads as, with its quiet zone."""
    side = packed.side
    bits = f"{int.from_bytes(packed.bits, 'big'):0{8 * len(packed.bits)}b}"
    rows = [[False] * 4 + [bit == "1" for bit in bits[y * side : (y + 1) * side]] + [False] * 4 for y in range(side)]
    blank = [[False] * (side + 8)] * 4
    (text,) = modules_read_as(tuple(tuple(row) for row in (*blank, *rows, *blank)))
    return text


@pytest.mark.parametrize("url", [URL, "http://127.0.0.1:8000/sub/t/7K3Q9XABW4", "HTTP://1.1.1.1/T/0000000000"])
def test_an_hour_of_matrices_reads_back_and_has_one_size(url: str) -> None:
    windows = range(WINDOW, WINDOW + HELD_WINDOWS)
    drawn = Screens().matrices(KEY, TOKEN, url, windows)
    assert [unpacked(one) for one in drawn] == [f"{url}?k={live.window_code(KEY, TOKEN, one)}" for one in windows]
    assert len({one.side for one in drawn}) == len({len(one.bits) for one in drawn}) == 1


def test_an_hour_is_a_small_answer() -> None:
    drawn = Screens().matrices(KEY, TOKEN, URL, range(WINDOW, WINDOW + HELD_WINDOWS))
    assert len(base64.b64encode(b"".join(one.bits for one in drawn))) < 20_000


def test_a_renewal_draws_only_the_new_windows() -> None:
    screens = Screens()
    first = screens.matrices(KEY, TOKEN, URL, range(WINDOW, WINDOW + 4))
    again = screens.matrices(KEY, TOKEN, URL, range(WINDOW + 2, WINDOW + 6))
    assert [new is old for new, old in zip(again[:2], first[2:], strict=True)] == [True, True]
    elsewhere = screens.matrices(KEY, TOKEN, URL.replace("SHOP", "STORE"), range(WINDOW, WINDOW + 4))
    assert all(unpacked(one).startswith("HTTPS://STORE.EXAMPLE/T/") for one in elsewhere)


def test_a_url_that_no_code_holds_is_refused() -> None:
    with pytest.raises(Invalid):
        window_matrix("HTTPS://" + "A" * 5000, code_at(NOON))
