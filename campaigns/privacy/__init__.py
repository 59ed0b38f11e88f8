"""What is kept of people, for how long, and how they are forgotten."""

from campaigns.privacy.holdings import holdings, kept_until
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.privacy.report import Held, report
from campaigns.privacy.retention import JOB_LIFE, RULES
from campaigns.privacy.rules import CHUNK, Kind, Rule
from campaigns.privacy.service import (
    REFERENCES,
    TOUCHED,
    declare_young,
    due_people,
    erase,
    erase_due,
    note_swept,
    people_of,
    replay,
    unswept,
)

__all__ = [
    "CHUNK",
    "JOB_LIFE",
    "REFERENCES",
    "RULES",
    "TOUCHED",
    "Erasure",
    "ErasureLog",
    "Held",
    "Kind",
    "Rule",
    "declare_young",
    "due_people",
    "erase",
    "erase_due",
    "holdings",
    "kept_until",
    "note_swept",
    "people_of",
    "replay",
    "report",
    "unswept",
]
