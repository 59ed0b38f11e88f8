"""Figures people can act on: a campaign's scans by time and by where, on what and in which language; its funnel."""

from campaigns.stats.cohorts import COHORT_FORMULA, Cohort, cohorts
from campaigns.stats.funnel import DROP_OFF_FORMULA, FUNNEL_FORMULA, STEPS, DropOff, Funnel, Reached, funnel, is_whole
from campaigns.stats.people import BRIDGE_FORMULA, SAMPLE, bridge_rate
from campaigns.stats.service import (
    GROUPS,
    Asked,
    Line,
    acts_of,
    ask,
    bounds,
    key_of,
)
from campaigns.stats.source import Window

__all__ = [
    "BRIDGE_FORMULA",
    "COHORT_FORMULA",
    "DROP_OFF_FORMULA",
    "FUNNEL_FORMULA",
    "GROUPS",
    "SAMPLE",
    "STEPS",
    "Asked",
    "Cohort",
    "DropOff",
    "Funnel",
    "Line",
    "Reached",
    "Window",
    "acts_of",
    "ask",
    "bounds",
    "bridge_rate",
    "cohorts",
    "funnel",
    "is_whole",
    "key_of",
]
