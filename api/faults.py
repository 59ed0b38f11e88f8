"""What is wrong with a field, in words for whoever sent it: the validator's own, without its jargon."""

from collections.abc import Mapping
from typing import Any, Final

_PATTERNS: Final = {
    "^[A-Z]{3}$": "A currency is three capital letters, such as EUR.",
    r"^[A-Za-z0-9._:-]+$": "This is written with letters without accents, figures and . _ : - alone.",
}
_KINDS: Final = {"timezone_aware": "Give this time with its offset: 2026-10-25T18:04:00+02:00."}


def words_of(fault: Mapping[str, Any]) -> str:
    """The words for one fault of a `ValidationError`; what was sent is not in them."""
    told = str(fault["msg"]).removeprefix("Value error, ")
    pattern = str((fault.get("ctx") or {}).get("pattern"))
    return _PATTERNS.get(pattern) or _KINDS.get(fault["type"]) or told[:1].upper() + told[1:]
