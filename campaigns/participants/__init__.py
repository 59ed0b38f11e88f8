"""Pseudonymous people who joined."""

from campaigns.participants.cohort import (
    cohort_link_by_id,
    cohort_link_by_secret,
    enter_cohort,
    issue_cohort_link,
    list_cohort_links,
    revoke_cohort_link,
)
from campaigns.participants.merging import PERSON_COLUMNS, Merge, by_age, former_ids, hold_both, may_merge, merge
from campaigns.participants.models import Cohort, CohortLink, Participant
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
    "CohortLink",
    "Merge",
    "Participant",
    "add_key",
    "by_age",
    "cohort_link_by_id",
    "cohort_link_by_secret",
    "declare_age",
    "enter_cohort",
    "forget",
    "former_ids",
    "give_back_try",
    "has_code",
    "hold_both",
    "issue_code",
    "issue_cohort_link",
    "join",
    "list_cohort_links",
    "may_merge",
    "merge",
    "owner_of",
    "pseudonym_of",
    "recognise",
    "revoke_cohort_link",
    "stand_in",
    "take_hold",
    "take_try",
    "use_code",
]
