"""The ten characters a token is known by, sixteen of a serial: how they are drawn, read back from a person, and shown.

Nine characters are random (45 bits) and the tenth checks them; of a serial, worth something by itself, fifteen (75
bits) and the sixteenth. All are from Crockford's base 32, which has no I, L, O or U. The check is a weighted sum over
GF(2^5) with distinct weights, so every code with one wrong character and every code with two characters exchanged is
refused before any look-up.
"""

from collections.abc import Callable
from typing import Final

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH: Final = 10
SERIAL_LENGTH: Final = 16
# A typed code has 10 or 16 characters and a few separators; anything longer is not a code, and is not worth
# folding.
_LONGEST_INPUT: Final = 64
_FIELD_POLYNOMIAL: Final = 0b100101  # x^5 + x^2 + 1, irreducible over GF(2)
# The multiplicative group has 31 elements, a prime: every element but 0 and 1 is primitive. With x^2 + x + 1
# the example code of our documents, 7K3Q-9XAB-W4, is a real one.
_PRIMITIVE: Final = 0b111
# Spaces and dashes people type, paste or get from a phone's keyboard; all other characters must be the code's
# own.
_SEPARATORS: Final = " \t\r\n\u00a0\u2007\u2009\u202f-\u2010\u2011\u2012\u2013\u2014\u2015\u2212\u00ad"


def new_code(random_bytes: Callable[[int], bytes]) -> str:
    """A fresh code, 45 random bits. `random_bytes(n)` gives n bytes, as `secrets.token_bytes` does."""
    number = int.from_bytes(random_bytes(6), "big")
    data = "".join(ALPHABET[number >> shift & 31] for shift in range(40, -1, -5))
    return data + ALPHABET[_syndrome(data + "0")]


def new_serials(number: int, random_bytes: Callable[[int], bytes]) -> list[str]:
    """Fresh codes of sixteen characters, 75 random bits each. One may be drawn twice: whoever stores them tells."""
    size = SERIAL_LENGTH - 1
    drawn = random_bytes(number * size).translate(_AS_CHARACTERS).decode("ascii")
    data = (drawn[start : start + size] for start in range(0, len(drawn), size))
    return [one + ALPHABET[_long_syndrome(one + "0")] for one in data]


def normalise(text: str) -> str | None:
    """The canonical code in a text a person typed or a URL carries; None when there is none.

    Case is folded, O reads as 0, I and L as 1; spaces and dashes are ignored (Crockford's rules). Look-alikes
    from other scripts are refused, not folded. None also when the length, the alphabet or the check character
    is wrong.
    """
    if len(text) != LENGTH and len(text) != SERIAL_LENGTH:
        return _fold(text)
    try:
        return text if not _check(text) else None
    except KeyError:
        return _fold(text)


def grouped(code: str) -> str:
    """The code as people read it aloud: `7K3Q-9XAB-W4`."""
    return "-".join(code[start : start + 4] for start in range(0, len(code), 4))


def _fold(text: str) -> str | None:
    if len(text) > _LONGEST_INPUT:
        return None
    folded = text.translate(_FOLDING)
    if len(folded) not in (LENGTH, SERIAL_LENGTH):
        return None
    try:
        return folded if not _check(folded) else None
    except KeyError:
        return None


def _product(left: int, right: int) -> int:
    result = 0
    for bit in range(5):
        if right >> bit & 1:
            result ^= left << bit
    for bit in range(8, 4, -1):
        if result >> bit & 1:
            result ^= _FIELD_POLYNOMIAL << bit - 5
    return result


def _weighted_alphabets() -> list[dict[str, int]]:
    # One table per position keeps the hot path at ten dictionary look-ups. The check character, the last, weighs 1.
    tables: list[dict[str, int]] = []
    weight = 1
    for _ in range(SERIAL_LENGTH - 1):
        weight = _product(weight, _PRIMITIVE)
        tables.append({char: _product(weight, value) for value, char in enumerate(ALPHABET)})
    return [*tables, {char: value for value, char in enumerate(ALPHABET)}]


_LONG_WEIGHTS = _weighted_alphabets()
_W0, _W1, _W2, _W3, _W4, _W5, _W6, _W7, _W8, _W9 = (*_LONG_WEIGHTS[: LENGTH - 1], _LONG_WEIGHTS[-1])
_AS_CHARACTERS: Final = bytes(ord(ALPHABET[byte & 31]) for byte in range(256))

_FOLDING: Final = str.maketrans(
    {char.lower(): char for char in ALPHABET}
    | dict.fromkeys("Oo", "0")
    | dict.fromkeys("IiLl", "1")
    | dict.fromkeys(_SEPARATORS, "")
)


def _check(code: str) -> int:
    """0 for a valid code of either length; KeyError for a character outside the alphabet."""
    return _syndrome(code) if len(code) == LENGTH else _long_syndrome(code)


def _long_syndrome(sixteen: str) -> int:
    syndrome = 0
    for weights, character in zip(_LONG_WEIGHTS, sixteen, strict=True):
        syndrome ^= weights[character]
    return syndrome


def _syndrome(ten: str) -> int:
    """0 for a valid code; KeyError for a character outside the alphabet."""
    a, b, c, d, e, f, g, h, i, j = tuple(ten)
    return _W0[a] ^ _W1[b] ^ _W2[c] ^ _W3[d] ^ _W4[e] ^ _W5[f] ^ _W6[g] ^ _W7[h] ^ _W8[i] ^ _W9[j]
