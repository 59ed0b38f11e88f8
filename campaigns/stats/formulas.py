"""The formulas of figures: what each id means, in both languages. /docs/figures is made from this list.

A figure that is reckoned carries the id of its formula. One that is reckoned otherwise gets another version here, and
the old one stays for as long as an answer may carry it.
"""

from campaigns.stats.formula import Formula
from campaigns.stats.formulas_counted import PEOPLE, SCANS, TARGETS
from campaigns.stats.formulas_money import MONEY

# By what they are about, in the order of the page.
GROUPS: dict[str, tuple[Formula, ...]] = {"scans": SCANS, "people": PEOPLE, "targets": TARGETS, "money": MONEY}
FORMULAS: dict[str, Formula] = {one.id: one for group in GROUPS.values() for one in group}
