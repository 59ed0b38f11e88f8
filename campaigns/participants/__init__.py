"""Pseudonymous people who joined."""

from campaigns.participants.cohort import (
    cohort_link_by_id,
    cohort_link_by_secret,
    enter_cohort,
    issue_cohort_link,
    list_cohort_links,
    revoke_cohort_link,
)
from campaigns.participants.models import Cohort, CohortLink, Participant
from campaigns.participants.service import declare_age, forget, join, pseudonym_of, recognise, stand_in, take_hold

__all__ = [
    "Cohort",
    "CohortLink",
    "Participant",
    "cohort_link_by_id",
    "cohort_link_by_secret",
    "declare_age",
    "enter_cohort",
    "forget",
    "issue_cohort_link",
    "join",
    "list_cohort_links",
    "pseudonym_of",
    "recognise",
    "revoke_cohort_link",
    "stand_in",
    "take_hold",
]
