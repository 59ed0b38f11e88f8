"""Figures people can act on: a campaign's scans by time and by where, on what and in which language."""

from campaigns.stats.frozen import canonical, freeze, hash_of, list_reports, report_by_id
from campaigns.stats.kept import (
    ALSO_WATCHED,
    AlertThreshold,
    Comparison,
    RaisedAlert,
    Report,
    TargetForecast,
)
from campaigns.stats.report import inputs_of
from campaigns.stats.service import (
    GROUPS,
    Asked,
    Line,
    acts_of,
    ask,
    bounds,
    date_of,
    key_of,
)
from campaigns.stats.source import Window
from campaigns.stats.targets import Reached, forecasts_of, part_of_flight, reached
from campaigns.stats.thresholds import (
    figures_of,
    list_raised,
    list_thresholds,
    remove_threshold,
    set_threshold,
)

__all__ = [
    "ALSO_WATCHED",
    "GROUPS",
    "AlertThreshold",
    "Asked",
    "Comparison",
    "Line",
    "RaisedAlert",
    "Reached",
    "Report",
    "TargetForecast",
    "Window",
    "acts_of",
    "ask",
    "bounds",
    "canonical",
    "date_of",
    "figures_of",
    "forecasts_of",
    "freeze",
    "hash_of",
    "inputs_of",
    "key_of",
    "list_raised",
    "list_reports",
    "list_thresholds",
    "part_of_flight",
    "reached",
    "remove_threshold",
    "report_by_id",
    "set_threshold",
]
