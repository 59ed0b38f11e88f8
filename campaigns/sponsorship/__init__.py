"""Sponsor money: pledges, what acts accrue on them, payouts, and the ledger it all stands in."""

from campaigns.sponsorship.accrual import reckon, release_waiting
from campaigns.sponsorship.acts import completions_on, completions_since, is_pledged, pledged_among
from campaigns.sponsorship.merging import merge
from campaigns.sponsorship.people import PERSON_COLUMNS, accruals_of, forget
from campaigns.sponsorship.posting import POSTED_AT_ONCE, accrual_of, due_pledges, pledge_of, post_due, release, void
from campaigns.sponsorship.recount import recount
from campaigns.sponsorship.reversal import reverse

__all__ = [
    "PERSON_COLUMNS",
    "POSTED_AT_ONCE",
    "accrual_of",
    "accruals_of",
    "completions_on",
    "completions_since",
    "due_pledges",
    "forget",
    "is_pledged",
    "merge",
    "pledge_of",
    "pledged_among",
    "post_due",
    "reckon",
    "recount",
    "release",
    "release_waiting",
    "reverse",
    "void",
]
