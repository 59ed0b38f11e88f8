"""The lines of a public ledger, and the check that anybody can do of them: no database, only text and SHA-256.

A line is fifteen texts, in the order of `COLUMNS`. Its hash is the SHA-256 of the fourteen before it, joined by tabs,
in UTF-8; the last of those is the hash of the line before. So whoever changes, drops, swaps or adds a line changes all
hashes behind it. All forms of the file (CSV, CSV for a French spreadsheet, NDJSON) hold the same texts.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from itertools import chain
from typing import NamedTuple

from campaigns.errors import Invalid

GENESIS = "0" * 64  # what stands for the hash before the first line
_AMOUNT = re.compile(r"[1-9][0-9]{0,15}")  # in minor units: 2^53 - 1 has sixteen figures
BOM = "\ufeff"  # without it French spreadsheets read a UTF-8 file as another encoding
_FORMULAS = (
    "=",
    "+",
    "-",
    "@",
)  # what a spreadsheet takes for the start of a formula; no text has tabs or breaks


class Line(NamedTuple):
    """A line as every file shows it."""

    number: str  # 1, 2, 3 ...: no number is missing
    recorded_at: str  # UTC, to the hour
    code: str
    pledge: str
    sponsor: str
    beneficiary: str
    from_account: str
    to_account: str
    amount: str  # decimal, by the exponent of the currency
    amount_minor: str
    currency: str
    reference: str  # random, of this line alone
    reverses: str  # the number of the line it takes back, or nothing
    previous_hash: str
    hash: str


COLUMNS = Line._fields


@dataclass
class Checked:
    """What a check found: how many lines are whole, the hash of the last of them, and what is wrong with the next."""

    lines: int = 0
    hash: str = GENESIS
    broken: str = ""
    unlocked_minor: Counter[str] = field(default_factory=Counter)  # by currency: posted, less what was taken back
    given_minor: Counter[str] = field(default_factory=Counter)  # by coupons, less what was taken back
    paid_minor: Counter[str] = field(default_factory=Counter)  # of both; fees are none of it


class Head(NamedTuple):
    """The number and hash of the last line there was at some time, as it was published."""

    number: int
    hash: str

    @classmethod
    def of(cls, text: str) -> "Head":
        """The head written `NUMBER:HASH`. Invalid for anything else."""
        number, _, hash = text.strip().partition(":")
        if not number.isdecimal() or len(hash) != 64:
            raise Invalid("A head is written NUMBER:HASH, its hash with 64 hexadecimal digits.")
        return cls(int(number), hash.lower())


def hash_of(texts: Iterable[str]) -> str:
    """The hash of a line from its fourteen texts before it, the hash of the line before last."""
    return sha256("\t".join(texts).encode()).hexdigest()


def plain(name: str) -> str:
    """A name as a line holds it: on one line, and no formula to a spreadsheet. The hash is over this text."""
    text = " ".join("".join(one if one.isprintable() else " " for one in name).split())
    return f"'{text}" if text.startswith(_FORMULAS) else text


def check(lines: Iterable[Line], *, head: Head | None = None) -> Checked:
    """Recompute a ledger from its first line on, and compare it with a published head. Stops at the first fault."""
    found = Checked()
    for line in lines:
        found.broken = _fault(line, found, head)
        if found.broken:
            return found
        found.lines, found.hash = found.lines + 1, line.hash
        _add_up(line, found)
    if head is not None and found.lines < head.number:
        found.broken = f"The file ends with line {found.lines}, and the head that was published is line {head.number}."
    return found


def read(text: Iterable[str]) -> Iterator[Line]:
    """The lines of a file: CSV, either dialect, or NDJSON. Invalid when it is no ledger of ours."""
    rows = iter(text)
    first = next(rows, "").removeprefix(BOM)
    if first.startswith("{"):
        return _from_json(chain([first], rows))
    separator = ";" if first.startswith("number;") else ","
    if tuple(first.strip().split(separator)) != COLUMNS:
        raise Invalid("This is no public ledger: its first line does not name the columns.")
    return _from_csv(rows, separator)


def _fault(line: Line, found: Checked, head: Head | None) -> str:
    due = found.lines + 1
    if line.number != str(due):
        return f"Line {due} is due, and number {line.number!r} follows: a line is missing, added or elsewhere."
    if line.previous_hash != found.hash:
        return f"Line {due} does not follow the one before it: its previous hash is another."
    if hash_of(line[:-1]) != line.hash:
        return f"Line {due} was altered: its hash is not that of its texts."
    if not _AMOUNT.fullmatch(line.amount_minor):
        return f"Line {due} has an amount that is no whole number above zero."
    if line.reverses and not (line.reverses.isdecimal() and 0 < int(line.reverses) < due):
        return f"Line {due} takes back line {line.reverses}, which is not before it."
    if head is not None and due == head.number and line.hash != head.hash:
        return f"Line {due} is not the one whose hash was published: the ledger was written anew."
    return ""


def _add_up(line: Line, found: Checked) -> None:
    sign = -1 if line.reverses else 1
    if line.code == "posting":
        found.unlocked_minor[line.currency] += sign * int(line.amount_minor)
    elif line.code == "gift":
        found.given_minor[line.currency] += sign * int(line.amount_minor)
    elif line.code == "payout":
        found.paid_minor[line.currency] += sign * int(line.amount_minor)


def _from_csv(rows: Iterable[str], separator: str) -> Iterator[Line]:
    number = 0
    try:
        for number, row in enumerate(csv.reader(rows, delimiter=separator, strict=True), 1):
            if len(row) != len(COLUMNS):
                raise Invalid(f"Row {number} has {len(row)} columns, not {len(COLUMNS)}.")
            line = Line(*row)
            yield line._replace(amount=line.amount.replace(",", ".")) if separator == ";" else line
    except csv.Error as error:
        raise Invalid(f"Row {number + 1} is no CSV: {error}.") from error


def _from_json(rows: Iterable[str]) -> Iterator[Line]:
    for number, row in enumerate(rows, 1):
        try:
            one = json.loads(row)
            texts = ["" if one[name] is None else str(one[name]) for name in COLUMNS]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise Invalid(f"Row {number} is no line of a ledger.") from error
        yield Line(*texts)
