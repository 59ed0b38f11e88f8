"""Receipts: what is believed, and for how long."""

from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from campaigns import ids
from campaigns.errors import Gone, Invalid
from campaigns.scans import Receipt, ReceiptBook, Verdict
from campaigns.scans.receipt import ACT_LIFE, PRESENCE_LIFE
from tests.factories import NOON

TOKEN, PLACE, SCAN = UUID(int=5), UUID(int=6), ids.uuid7_at(NOON)
BOOK = ReceiptBook(b"k" * 32, 7)
TEXT = BOOK.mint(SCAN.hex, TOKEN, PLACE, 123, Verdict.VALID, 10, 1).decode()


@given(
    st.uuids(),
    st.uuids(),
    st.none() | st.uuids().filter(lambda id: id.int != 0),
    st.integers(0, 2**63 - 1),
    st.sampled_from(Verdict),
    st.integers(0, 255),
    st.integers(0, 3),
    st.integers(0, 1),
)
def test_a_receipt_says_what_was_minted(
    scan: UUID, token: UUID, place: UUID | None, key: int, verdict: Verdict, score: int, presence: int, back: int
) -> None:
    text = BOOK.mint(scan.hex, token, place, key, verdict, score, presence, back).decode()
    assert len(text) == 100
    assert BOOK.read(text, token_id=token) == Receipt(scan, token, place, key, verdict, score, presence, back)


@given(st.integers(0, 99), st.integers(0, 5))
def test_a_receipt_with_one_bit_turned_is_forged(place: int, bit: int) -> None:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    turned = alphabet[alphabet.index(TEXT[place]) ^ 1 << bit]
    with pytest.raises(Invalid) as refusal:
        BOOK.read(TEXT[:place] + turned + TEXT[place + 1 :], token_id=TOKEN)
    assert refusal.value.code == "receipt_forged"


@given(st.text(max_size=110) | st.binary(max_size=100).map(lambda raw: raw.decode("latin-1")))
def test_anything_else_is_forged(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        BOOK.read(text, token_id=TOKEN)
    assert refusal.value.code == "receipt_forged"


@pytest.mark.parametrize(
    "text",
    [TEXT[:-1], TEXT + "A", "\u00e9" * 100, "=" * 100, TEXT[:99] + "\n", " " + TEXT[1:]],
    ids=["cut", "longer", "accents", "padding", "new line", "space"],
)
def test_a_cut_or_stretched_receipt_is_forged(text: str) -> None:
    with pytest.raises(Invalid):
        BOOK.read(text, token_id=TOKEN)


def test_a_receipt_of_another_code_is_refused_as_such() -> None:
    with pytest.raises(Invalid) as refusal:
        BOOK.read(TEXT, token_id=UUID(int=9))
    assert refusal.value.code == "receipt_of_another_code"


def test_a_receipt_of_another_key_is_forged() -> None:
    with pytest.raises(Invalid) as refusal:
        ReceiptBook(b"l" * 32, 7).read(TEXT, token_id=TOKEN)
    assert refusal.value.code == "receipt_forged"


@pytest.mark.parametrize(("life", "minutes"), [(PRESENCE_LIFE, 10), (ACT_LIFE, 48 * 60)])
def test_a_receipt_is_good_for_its_time(life: timedelta, minutes: int) -> None:
    receipt = BOOK.read(TEXT, token_id=TOKEN)
    assert receipt.scanned_at == NOON
    receipt.require_fresh(NOON + timedelta(minutes=minutes), life)
    with pytest.raises(Gone) as refusal:
        receipt.require_fresh(NOON + timedelta(minutes=minutes, milliseconds=1), life)
    assert refusal.value.code == "receipt_expired"
