"""Pseudonymous people who joined."""

from campaigns.participants.merging import PERSON_COLUMNS, Merge, by_age, former_ids, hold_both, may_merge, merge
from campaigns.participants.models import Cohort, Participant
from campaigns.participants.recovery import (
    add_key,
    give_back_try,
    has_code,
    issue_code,
    owner_of,
    take_try,
    use_code,
)
from campaigns.participants.service import declare_age, forget, join, pseudonym_of, recognise, stand_in, take_hold

__all__ = [
    "PERSON_COLUMNS",
    "Cohort",
    "Merge",
    "Participant",
    "add_key",
    "by_age",
    "declare_age",
    "forget",
    "former_ids",
    "give_back_try",
    "has_code",
    "hold_both",
    "issue_code",
    "join",
    "may_merge",
    "merge",
    "owner_of",
    "pseudonym_of",
    "recognise",
    "stand_in",
    "take_hold",
    "take_try",
    "use_code",
]
