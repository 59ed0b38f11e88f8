"""Letters to people who left an e-mail address and confirmed it: an answer, the result of a vote, a mission done."""

from campaigns.letters.contacts import (
    CONFIRM_WITHIN,
    PERSON_COLUMNS,
    UNDER_AGE,
    ask,
    confirm,
    contact_by_link,
    contact_of,
    forget,
    merge,
    remove,
    stop,
)
from campaigns.letters.models import Contact, Letter, LetterKind
from campaigns.letters.writing import untold_rounds, write, write_answers, write_done, write_results

__all__ = [
    "CONFIRM_WITHIN",
    "PERSON_COLUMNS",
    "UNDER_AGE",
    "Contact",
    "Letter",
    "LetterKind",
    "ask",
    "confirm",
    "contact_by_link",
    "contact_of",
    "forget",
    "merge",
    "remove",
    "stop",
    "untold_rounds",
    "write",
    "write_answers",
    "write_done",
    "write_results",
]
