"""Figures people can act on: a campaign's scans by time and by where, on what and in which language."""

from campaigns.scans.rollups import first_day_of
from campaigns.stats.service import (
    GROUPS,
    Asked,
    Line,
    Window,
    acts_of,
    ask,
    bounds,
    date_of,
)

__all__ = [
    "GROUPS",
    "Asked",
    "Line",
    "Window",
    "acts_of",
    "ask",
    "bounds",
    "date_of",
    "first_day_of",
]
