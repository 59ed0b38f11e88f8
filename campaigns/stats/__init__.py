"""Figures people can act on: a campaign's scans by time and by where, on what and in which language; and its board."""

from campaigns.stats.board import Board, read_board, scope_of_campaign, scope_of_place
from campaigns.stats.headline import Count, Headline, Scope, read_headline
from campaigns.stats.service import (
    GROUPS,
    Asked,
    Line,
    Window,
    acts_of,
    ask,
    bounds,
    fresh_sums,
    key_of,
)

__all__ = [
    "GROUPS",
    "Asked",
    "Board",
    "Count",
    "Headline",
    "Line",
    "Scope",
    "Window",
    "acts_of",
    "ask",
    "bounds",
    "fresh_sums",
    "key_of",
    "read_board",
    "read_headline",
    "scope_of_campaign",
    "scope_of_place",
]
