"""Pseudonymous people who joined."""

from campaigns.participants.models import Cohort, Participant
from campaigns.participants.service import declare_age, forget, join, pseudonym_of, recognise, stand_in, take_hold

__all__ = [
    "Cohort",
    "Participant",
    "declare_age",
    "forget",
    "join",
    "pseudonym_of",
    "recognise",
    "stand_in",
    "take_hold",
]
