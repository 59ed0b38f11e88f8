"""Pseudonymous people who joined."""

from campaigns.participants.models import Cohort, Participant
from campaigns.participants.service import join, pseudonym_of, recognise

__all__ = ["Cohort", "Participant", "join", "pseudonym_of", "recognise"]
