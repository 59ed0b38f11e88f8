"""What keeps floods out: how many texts a person may write, and how many links a text may have."""

import re
import unicodedata
from datetime import datetime, timedelta

from sqlmodel import Session, col

from campaigns import clock
from campaigns.community.models import TextCount
from campaigns.errors import Invalid, TooMany
from campaigns.participants import Participant
from campaigns.storage import changed, upsert

FIRST_HOUR = timedelta(hours=1)  # after joining
IN_FIRST_HOUR = 3  # texts of a newcomer
A_DAY = 20  # texts of anybody, by the UTC day
LINKS = 1  # in one text
# An address with or without its scheme; a shop's own name with a dot in it is rare enough.
_LINK = re.compile(
    r"(?:https?://|www\.)\S+|\b[\w-]{2,}\.(?:com|net|org|fr|eu|io|info|biz|shop|xyz|ru|cn|be|ch)\b", re.I
)
_FILLERS = "\u115f\u1160\u3164\uffa0\u2800"  # letters and signs by their class that draw nothing


def take_turn(session: Session, person: Participant, *, now: datetime) -> None:
    """Count a text of a person. TooMany beyond three in their first hour, and beyond twenty a day.

    One conditional statement each: of texts that race, no more go in.
    """
    ends_first = person.created_at + FIRST_HOUR
    if now < ends_first:
        _count(session, person, "first", ends_first, IN_FIRST_HOUR, now)
    day = clock.day_of(now)
    _count(session, person, str(day), clock.EPOCH + timedelta(days=day + 1), A_DAY, now)


def is_visible(text: str) -> bool:
    """Whether there is anything to read: zero-width characters and fillers alone are an empty text."""
    return any(unicodedata.category(one)[0] in "LNPS" and one not in _FILLERS for one in text)


def check_links(text: str) -> None:
    """Invalid for a text with more than one link."""
    if len(_LINK.findall(text)) > LINKS:
        raise Invalid("A text has at most one link.", pointer="/text", code="one_link")


def _count(session: Session, person: Participant, window: str, ends_at: datetime, most: int, now: datetime) -> None:
    insert = upsert(session, TextCount).values(participant_id=person.id, window=window, texts=1, ends_at=ends_at)
    more = insert.on_conflict_do_update(
        index_elements=["participant_id", "window"],
        set_={"texts": col(TextCount.texts) + 1},
        where=col(TextCount.texts) < most,
    )
    if not changed(session, more):
        left = max(1, int((ends_at - now).total_seconds()))
        words = "You have written enough for now. Come back a little later: your words are still here."
        raise TooMany(words, code="too_many_texts", retry_after_s=left)
