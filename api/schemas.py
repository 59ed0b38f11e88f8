"""What request schemas share: strict models, tidy text, bounded numbers, aware times, local text."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import AfterValidator, AwareDatetime, BaseModel, BeforeValidator, ConfigDict, Field

from campaigns.tokens.destinations import Utm

MAX_INT = 2**53 - 1
_FORBIDDEN = {
    "\u061c",
    "\u200e",
    "\u200f",
    "\u202a",
    "\u202b",
    "\u202c",
    "\u202d",
    "\u202e",
    "\u2066",
    "\u2067",
    "\u2068",
    "\u2069",
    "\ufeff",
}  # bidi controls and the byte order mark


class Request(BaseModel):
    """The base of every request schema."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, str_strip_whitespace=True)


def clean(text: str) -> str:
    """The text in NFC. ValueError for control, bidi-override or surrogate characters; new lines and tabs may stay."""
    for character in text:
        category = unicodedata.category(character)
        if character in _FORBIDDEN or category == "Cs" or (category == "Cc" and character not in "\n\r\t"):
            raise ValueError("control, bidi-override and surrogate characters are not accepted")
    return unicodedata.normalize("NFC", text)


def clean_tree(value: Any) -> Any:
    """A whole JSON document with every text of it clean; few of our fields are true or false."""
    if isinstance(value, bool):
        raise ValueError("true and false are not accepted here")
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [clean_tree(one) for one in value]
    if isinstance(value, dict):
        return {
            clean_tree(name): one if name in TRUTHS and isinstance(one, bool) else clean_tree(one)
            for name, one in value.items()
        }
    return value


TRUTHS = frozenset(
    ("hosted", "returning", "pass_scan_id", "continue_page", "possession")
)  # the fields that are yes or no


def _a_number(value: Any) -> Any:
    if isinstance(value, bool | str):
        raise ValueError("this is a number, without quotation marks")
    return value


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("this is a number, not true or false")
    return value


def _keep(value: Any) -> Any:
    if value is None:
        raise ValueError("this cannot be taken away, only changed")
    return value


def in_our_time(instant: datetime) -> datetime:
    """The instant in UTC. ValueError outside 2000 to 2100."""
    if not datetime(2000, 1, 1, tzinfo=UTC) <= instant < datetime(2100, 1, 1, tzinfo=UTC):
        raise ValueError("times are between 2000 and 2100")
    return instant.astimezone(UTC)


Text = Annotated[str, AfterValidator(clean)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(clean)]
ExternalId = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:-]+$")]
Instant = Annotated[AwareDatetime, AfterValidator(in_our_time)]
Number = Annotated[float, BeforeValidator(_a_number)]
Whole = Annotated[int, BeforeValidator(_a_number)]
Minor = Annotated[
    int,
    Field(strict=True, ge=1, le=MAX_INT, description="minor units of the currency: a whole JSON number, 1 to 2^53 - 1"),
]
FormNumber = Annotated[float, BeforeValidator(_no_truth)]  # forms know text only
FormWhole = Annotated[int, BeforeValidator(_no_truth)]
Kept = AfterValidator(_keep)  # for a field of a merge patch that may be left out but not be null
WRITE_ONLY: Any = {"writeOnly": True}
TagKey = Annotated[
    str,
    Field(
        pattern="^[0-9A-Fa-f]{32}$",
        description="AES-128 key, 32 hexadecimal digits; never shown again",
        json_schema_extra=WRITE_ONLY,
    ),
]
Diversifier = Annotated[
    str,
    Field(
        pattern="^([0-9A-Fa-f]{2}){1,24}$",
        description="application id and system identifier, hexadecimal: each tag has a file read key of its own, made "
        "of the one given, its UID and this (NXP AN10922)",
    ),
]
Language = Annotated[str, Field(pattern="^(fr|en)$")]
UtmTemplates = Annotated[Utm, BeforeValidator(clean_tree)]
LocalText = Name | dict[Language, Name]


class Money(Request):
    """An amount: whole minor units of an ISO 4217 currency."""

    amount_minor: Minor
    currency: str = Field(pattern="^[A-Z]{3}$")
