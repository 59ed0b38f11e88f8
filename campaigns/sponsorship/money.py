"""Amounts of money: whole minor units of an ISO 4217 currency, and how a person reads them."""

import re
from decimal import Decimal
from functools import cache

from babel.core import get_global
from babel.numbers import format_currency, get_territory_currencies

from campaigns.errors import Invalid
from campaigns.sponsorship.ledger import MOST_MINOR

IN_KIND = "XXX"  # ISO 4217: no currency
# ISO 4217, list one: those that do not have two decimals. CLDR's figures are those of everyday use, and say 0 for IQD.
_EXPONENTS = {
    **dict.fromkeys(
        ("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG", "RWF", "UGX", "VND", "VUV", "XAF", "XOF"), 0
    ),
    **dict.fromkeys(("XPF", IN_KIND), 0),
    **dict.fromkeys(("BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"), 3),
}

_TYPED = re.compile(r"(?P<whole>[0-9]{1,16})(?:[.,](?P<decimals>[0-9]+))?")


def exponent(currency: str) -> int:
    """How many decimals a currency has: 2 for most, 0 for JPY, 3 for KWD."""
    return _EXPONENTS.get(currency, 2)


def require_currency(currency: str, *, pointer: str = "/currency") -> None:
    """Invalid for a currency that is legal tender nowhere today: a mistyped one, or one that is gone."""
    if currency not in _tender():
        raise Invalid(f"{currency[:10]!r} is no currency in use (ISO 4217).", pointer=pointer)


def require_amount(amount_minor: object, *, pointer: str) -> None:
    """Invalid for what is no whole number of minor units, 1 to 2^53 - 1."""
    is_whole = isinstance(amount_minor, int) and not isinstance(amount_minor, bool)
    if not is_whole or not 1 <= amount_minor <= MOST_MINOR:  # type: ignore[operator]  # it is whole
        raise Invalid("An amount is a whole number of minor units, 1 to 2^53 - 1.", pointer=pointer)


def typed(text: str, currency: str, *, pointer: str) -> int:
    """An amount as a person types it, in minor units: `1.50`, `1,50`, `1 234,5`; nothing typed is zero.

    Invalid for a sign, an exponent, and more decimals than the currency has.
    """
    bare, digits = "".join(text.split()), exponent(currency)
    if not bare:
        return 0
    found = _TYPED.fullmatch(bare)
    if found is None or len(found["decimals"] or "") > digits:
        raise Invalid(f"An amount in {currency} is written like {1234 / 10**digits}.", pointer=pointer)
    return int(found["whole"] + (found["decimals"] or "").ljust(digits, "0"))


def shown(amount_minor: int, currency: str, language: str) -> str:
    """An amount in words: `0.10 EUR`, `5,000 EUR` and `0,10 EUR`; decimals only where there are any."""
    digits = exponent(currency)
    amount = Decimal(amount_minor).scaleb(-digits)
    decimals = "." + "0" * digits if digits and amount_minor % 10**digits else ""
    return format_currency(amount, currency, f"#,##0{decimals} ¤¤", locale=language, currency_digits=False)


@cache
def _tender() -> frozenset[str]:
    return frozenset(
        code for territory in get_global("territory_currencies") for code in get_territory_currencies(territory)
    )
