"""What request schemas share: strict models, tidy text, bounded numbers, aware times, local text."""

import unicodedata
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field

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


def _in_our_time(instant: datetime) -> datetime:
    if not datetime(2000, 1, 1, tzinfo=UTC) <= instant < datetime(2100, 1, 1, tzinfo=UTC):
        raise ValueError("times are between 2000 and 2100")
    return instant.astimezone(UTC)


Text = Annotated[str, AfterValidator(clean)]
Name = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(clean)]
ExternalId = Annotated[str, Field(min_length=1, max_length=80, pattern=r"^[A-Za-z0-9._:-]+$")]
Instant = Annotated[AwareDatetime, AfterValidator(_in_our_time)]
Language = Annotated[str, Field(pattern="^(fr|en)$")]
LocalText = Name | dict[Language, Name]
