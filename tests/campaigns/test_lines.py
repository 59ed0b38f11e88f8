"""The check of a public ledger, against those who know how it works: without a database."""

import io
import re
from collections.abc import Sequence
from typing import Any

import pytest

from campaigns.errors import Invalid
from campaigns.sponsorship.lines import COLUMNS, GENESIS, Head, Line, check, hash_of, plain, read
from tests.conftest import ROOT

HOUR = "2026-10-14T10:00Z"


def ledger(number: int = 6) -> list[list[str]]:
    """The rows of a ledger that is right; the last one takes the second back."""
    rows = [
        [str(n), HOUR, "posting", "pld_1", "A", "B", "pending", "due", "0.10", "10", "EUR", f"{n:016x}", ""]
        for n in range(1, number + 1)
    ]
    rows[-1][6:8], rows[-1][12] = ["due", "pending"], "2"
    return chained(rows)


def chained(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """The rows with new hashes, each over the one before."""
    found, previous = [], GENESIS
    for row in rows:
        texts = [*row[:13], previous]
        previous = hash_of(texts)
        found.append([*texts, previous])
    return found


def text_of(rows: Sequence[Sequence[str]]) -> str:
    return "\r\n".join(",".join(row) for row in [list(COLUMNS), *rows]) + "\r\n"


def script() -> Any:
    """The function of the README's script."""
    programs = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    (one,) = [text for text in programs if "def fault" in text]
    space: dict[str, Any] = {"__name__": "check"}
    exec(compile(one, "README.md", "exec"), space)  # noqa: S102  # our own README
    return space["fault"]


def faults(rows: Sequence[Sequence[str]], head: str = "") -> tuple[str, str]:
    """What the command and the script say is wrong."""
    text = text_of(rows)
    found = check(read(io.StringIO(text)), head=Head.of(head) if head else None)
    return found.broken, script()(io.StringIO(text), head)


def test_a_ledger_that_is_right_passes_both() -> None:
    rows = ledger()
    assert faults(rows) == ("", "")
    assert faults(rows, f"6:{rows[-1][14]}") == ("", "")
    assert faults(rows, f"4:{rows[3][14]}") == ("", "")
    assert check(map(Line._make, rows)).unlocked_minor == {"EUR": 40}


def test_a_line_whose_own_hash_was_made_anew_is_caught_by_the_next() -> None:
    rows = ledger()
    rows[2][9] = "90"
    rows[2][14] = hash_of(rows[2][:14])
    for said in faults(rows):
        assert "4" in said
        assert "follow" in said


def test_a_line_that_was_dropped_is_caught_when_all_hashes_were_made_anew() -> None:
    rows = ledger()
    for place in range(5):
        for said in faults(chained([*rows[:place], *rows[place + 1 :]])):
            assert "missing" in said


def test_a_ledger_written_anew_is_caught_by_a_head_alone() -> None:
    rows = ledger()
    forged = [row[:] for row in rows]
    forged[1][9], forged[1][8] = "20", "0.20"
    forged = chained(forged)
    assert faults(forged) == ("", "")
    for said in faults(forged, f"5:{rows[4][14]}"):
        assert "published" in said


def test_a_cut_end_is_caught_by_a_head_alone() -> None:
    rows = ledger()
    assert faults(rows[:4]) == ("", "")
    for said in faults(rows[:4], f"6:{rows[5][14]}"):
        assert "4" in said


def test_a_line_takes_back_only_what_came_before() -> None:
    for wrong in ("6", "7", "0", "x"):
        rows = ledger()
        rows[-1][12] = wrong
        assert "takes back" in check(map(Line._make, chained(rows))).broken, wrong


@pytest.mark.parametrize("amount", ["", "ten", "1.5", "-10", "0", "\u0661", "1" * 5000])
def test_an_amount_that_is_no_whole_number_is_a_fault_though_its_hash_is_right(amount: str) -> None:
    rows = ledger()
    rows[3][9] = amount
    assert "Line 4" in check(map(Line._make, chained(rows))).broken


@pytest.mark.parametrize(
    "row", ['"1" x,2', '"never closed', "1," + "x" * 200_000, "[" * 100_000], ids=["quote", "open", "long", "deep"]
)
def test_what_cannot_be_read_as_a_row_is_refused_and_no_traceback(row: str) -> None:
    header = ",".join(COLUMNS)
    for text in (f"{header}\r\n{row}\r\n", f"{{}}\n{row}\n"):
        with pytest.raises(Invalid):
            check(read(io.StringIO(text)))


def test_quotes_and_commas_in_names_are_hashed_as_they_read() -> None:
    rows = ledger(3)
    rows[0][4] = 'Moulins, "fils" & Cie'
    rows = chained(rows)
    text = text_of([[f'"{cell.replace(chr(34), chr(34) * 2)}"' for cell in row] for row in rows])
    assert check(read(io.StringIO(text))).broken == ""
    assert script()(io.StringIO(text)) == ""


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("Moulins", "Moulins"),
        ("=1+1", "'=1+1"),
        ("@cmd", "'@cmd"),
        ("+33", "'+33"),
        ("-1", "'-1"),
        ("\t=1", "'=1"),
        ("a\tb\r\nc\u2028d", "a b c d"),
    ],
)
def test_a_name_is_one_line_and_no_formula(name: str, shown: str) -> None:
    assert plain(name) == shown


@pytest.mark.parametrize("text", ["", "12", "12:abc", "x:" + "0" * 64, "-1:" + "0" * 64])
def test_what_is_no_head_is_refused(text: str) -> None:
    with pytest.raises(Invalid):
        Head.of(text)
