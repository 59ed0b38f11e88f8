import secrets
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns.tokens.codes import ALPHABET, grouped, new_code, new_serials, normalise

short_codes = st.binary(min_size=6, max_size=6).map(lambda drawn: new_code(lambda _: drawn))
serials = st.binary(min_size=15, max_size=15).map(lambda drawn: new_serials(1, lambda _: drawn)[0])
codes = short_codes | serials


def test_the_code_of_the_documents_is_a_real_one() -> None:
    assert normalise("7K3Q-9XAB-W4") == "7K3Q9XABW4"
    assert grouped("7K3Q9XABW4") == "7K3Q-9XAB-W4"


def test_all_45_bits_come_from_the_given_randomness() -> None:
    asked: list[int] = []

    def ones(count: int) -> bytes:
        asked.append(count)
        return b"\xff" * count

    assert new_code(ones)[:9] == "ZZZZZZZZZ"
    assert new_code(bytes) == "0000000000"
    assert asked == [6]
    assert len({new_code(secrets.token_bytes) for _ in range(2_000)}) == 2_000


def test_all_75_bits_of_a_serial_come_from_the_given_randomness() -> None:
    assert new_serials(2, lambda count: b"\xff" * count) == [new_serials(1, lambda count: b"\x1f" * count)[0]] * 2
    assert new_serials(1, bytes) == ["0" * 16]
    drawn = new_serials(20_000, secrets.token_bytes)
    assert len(set(drawn)) == 20_000
    for position in range(16):
        assert {code[position] for code in drawn} == set(ALPHABET)
    assert grouped(drawn[0]) == "-".join(drawn[0][start : start + 4] for start in (0, 4, 8, 12))


@given(codes)
def test_a_new_code_is_canonical(code: str) -> None:
    assert len(code) in (10, 16)
    assert set(code) <= set(ALPHABET)
    assert normalise(code) == code


@given(codes)
def test_a_code_survives_its_grouping_and_any_case(code: str) -> None:
    for typed in (grouped(code), grouped(code).lower(), code.lower(), f" {code[:5]}\u00a0{code[5:]}\n"):
        assert normalise(typed) == code
    assert normalise(code.replace("0", "o").replace("1", "l")) == code
    assert normalise(code.replace("0", "O").replace("1", "I")) == code
    assert normalise(code.replace("1", "i").replace("1", "L")) == code


@given(codes)
def test_every_single_wrong_character_is_caught(code: str) -> None:
    for position in range(len(code)):
        for wrong in set(ALPHABET) - {code[position]}:
            assert normalise(code[:position] + wrong + code[position + 1 :]) is None


@given(codes)
def test_every_exchange_of_two_characters_is_caught(code: str) -> None:
    for i in range(len(code)):
        for j in range(i):
            swapped = list(code)
            swapped[i], swapped[j] = swapped[j], swapped[i]
            assert code[i] == code[j] or normalise("".join(swapped)) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "7K3Q9XABW",
        "7K3Q9XABW44",
        "7K3Q9XABW4000001",
        "7K3Q9XABW40000000",
        "7K3Q9XABU4",
        "7K3Q9XAB\x004",
        "\x007K3Q9XABW4",
        "７K3Q9XABW4",
        "7К3Q9XABW4",
        "7\u212a3Q9XABW4",
        "7K3Q9XABW٤",
        "7K3Q9XABW\ud800",
        "\ud800" * 10,
        "0" * 100_000,
        " " * 100_000 + "7K3Q9XABW4",
        "7K3Q_9XAB_W4",
        "7K3Q/9XAB/W4",
    ],
    ids=ascii,
)
def test_what_is_not_a_code_is_none(text: str) -> None:
    assert normalise(text) is None


def test_a_dotless_i_is_not_a_one() -> None:
    code = next(code for code in (new_code(secrets.token_bytes) for _ in range(1_000)) if "1" in code)
    assert normalise(code.replace("1", "\u0131")) is None


@given(codes, st.characters(min_codepoint=128), st.integers(0, 9))
def test_no_foreign_character_is_folded_silently(code: str, foreign: str, position: int) -> None:
    typed = code[:position] + foreign + code[position + 1 :]
    assert normalise(typed) is None
    assert normalise(unicodedata.normalize("NFD", typed)) is None


@given(st.text(st.characters(exclude_categories=[])))
def test_any_text_gives_none_or_a_code_that_stays_itself(text: str) -> None:
    code = normalise(text)
    assert code is None or normalise(code) == code
