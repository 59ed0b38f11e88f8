"""Figures people can act on: scans by time and by where, the funnel, targets, what it cost and what it returned."""

from campaigns.stats.board import Board, read_board, scope_of_campaign, scope_of_place
from campaigns.stats.cohorts import COHORT_FORMULA, Cohort, cohorts
from campaigns.stats.conversion_sheet import ConversionRow
from campaigns.stats.conversion_sheet import rows_of as conversion_rows
from campaigns.stats.conversions import (
    Clerk,
    Fate,
    Taken,
    Told,
    conversion_by_id,
    list_conversions,
    note_import,
    recount,
)
from campaigns.stats.costs import (
    Costs,
    add_cost,
    change_cost,
    cost_by_name,
    list_costs,
    remove_cost,
    set_margin,
)
from campaigns.stats.frozen import canonical, freeze, hash_of, list_reports, report_by_id
from campaigns.stats.funnel import DROP_OFF_FORMULA, FUNNEL_FORMULA, STEPS, DropOff, Funnel, Reached, funnel, is_whole
from campaigns.stats.headline import Count, Headline, Scope, read_headline
from campaigns.stats.holdouts import MOST_EXPOSURES, drawable, list_exposures, set_exposures
from campaigns.stats.kept import (
    ALSO_WATCHED,
    AlertThreshold,
    Comparison,
    RaisedAlert,
    Report,
    TargetForecast,
)
from campaigns.stats.lift import Estimate, Unit
from campaigns.stats.models import MOST_MINOR, Conversion, CostItem, CostKind
from campaigns.stats.money import FORMULAS as MONEY_FORMULAS
from campaigns.stats.money import Lack, Money, Results, Return, money_of
from campaigns.stats.money import Verdict as MoneyVerdict
from campaigns.stats.people import BRIDGE_FORMULA, SAMPLE, bridge_rate
from campaigns.stats.report import inputs_of
from campaigns.stats.service import (
    GROUPS,
    Asked,
    Line,
    acts_of,
    ask,
    bounds,
    date_of,
    fresh_sums,
    key_of,
)
from campaigns.stats.source import Window
from campaigns.stats.targets import TargetStanding, forecasts_of, part_of_flight, reached
from campaigns.stats.thresholds import (
    figures_of,
    list_raised,
    list_thresholds,
    remove_threshold,
    set_threshold,
)
from campaigns.stats.whole import whole_of

__all__ = [
    "ALSO_WATCHED",
    "BRIDGE_FORMULA",
    "COHORT_FORMULA",
    "DROP_OFF_FORMULA",
    "FUNNEL_FORMULA",
    "GROUPS",
    "MONEY_FORMULAS",
    "MOST_EXPOSURES",
    "MOST_MINOR",
    "SAMPLE",
    "STEPS",
    "AlertThreshold",
    "Asked",
    "Board",
    "Clerk",
    "Cohort",
    "Comparison",
    "Conversion",
    "ConversionRow",
    "CostItem",
    "CostKind",
    "Costs",
    "Count",
    "DropOff",
    "Estimate",
    "Fate",
    "Funnel",
    "Headline",
    "Lack",
    "Line",
    "Money",
    "MoneyVerdict",
    "RaisedAlert",
    "Reached",
    "Report",
    "Results",
    "Return",
    "Scope",
    "Taken",
    "TargetForecast",
    "TargetStanding",
    "Told",
    "Unit",
    "Window",
    "acts_of",
    "add_cost",
    "ask",
    "bounds",
    "bridge_rate",
    "canonical",
    "change_cost",
    "cohorts",
    "conversion_by_id",
    "conversion_rows",
    "cost_by_name",
    "date_of",
    "drawable",
    "figures_of",
    "forecasts_of",
    "freeze",
    "fresh_sums",
    "funnel",
    "hash_of",
    "inputs_of",
    "is_whole",
    "key_of",
    "list_conversions",
    "list_costs",
    "list_exposures",
    "list_raised",
    "list_reports",
    "list_thresholds",
    "money_of",
    "note_import",
    "part_of_flight",
    "reached",
    "read_board",
    "read_headline",
    "recount",
    "remove_cost",
    "remove_threshold",
    "report_by_id",
    "scope_of_campaign",
    "scope_of_place",
    "set_exposures",
    "set_margin",
    "set_threshold",
    "whole_of",
]
