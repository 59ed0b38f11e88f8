"""Figures people can act on: a campaign's scans by time and by where, on what and in which language."""

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
    "GROUPS",
    "Asked",
    "Line",
    "Window",
    "acts_of",
    "ask",
    "bounds",
    "key_of",
]
