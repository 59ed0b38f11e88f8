"""Figures people can act on: a campaign's scans by time and by where, what it cost, and what it returned."""

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
from campaigns.stats.holdouts import MOST_EXPOSURES, drawable, list_exposures, set_exposures
from campaigns.stats.lift import Estimate, Unit
from campaigns.stats.models import MOST_MINOR, Conversion, CostItem, CostKind
from campaigns.stats.money import FORMULAS as MONEY_FORMULAS
from campaigns.stats.money import Lack, Money, Results, Return, money_of
from campaigns.stats.money import Verdict as MoneyVerdict
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
    "MONEY_FORMULAS",
    "MOST_EXPOSURES",
    "MOST_MINOR",
    "Asked",
    "Clerk",
    "Conversion",
    "ConversionRow",
    "CostItem",
    "CostKind",
    "Costs",
    "Estimate",
    "Fate",
    "Lack",
    "Line",
    "Money",
    "MoneyVerdict",
    "Results",
    "Return",
    "Taken",
    "Told",
    "Unit",
    "Window",
    "acts_of",
    "add_cost",
    "ask",
    "bounds",
    "change_cost",
    "conversion_by_id",
    "conversion_rows",
    "cost_by_name",
    "drawable",
    "key_of",
    "list_conversions",
    "list_costs",
    "list_exposures",
    "money_of",
    "note_import",
    "recount",
    "remove_cost",
    "set_exposures",
    "set_margin",
]
