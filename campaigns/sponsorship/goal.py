"""How far a mission is towards its goal, whatever it counts: its own counters, or what its pledges unlocked."""

from collections.abc import Mapping
from dataclasses import dataclass

from babel.numbers import format_decimal
from sqlmodel import Session

from campaigns.missions import GoalMetric, Mission, counters
from campaigns.planning import Phase
from campaigns.sponsorship.money import shown
from campaigns.sponsorship.service import currency_of, unlocked


@dataclass(frozen=True)
class Progress:
    """What was reached of a goal. `currency` where it is an amount and has one."""

    done: int
    goal: int
    currency: str | None = None

    @property
    def percent(self) -> int:
        """0 to 100, rounded down."""
        return min(100, self.done * 100 // self.goal)

    def words(self, value: int, language: str) -> str:
        """A figure of it as a person reads it."""
        return shown(value, self.currency, language) if self.currency else format_decimal(value, locale=language)


def progress(
    session: Session, mission: Mission, totals: Mapping[str, int] | None = None, *, phase: str = Phase.LIVE.value
) -> Progress:
    """How far a mission is in a phase. Money is unlocked in the live phase alone (I21). `totals`: as read already."""
    if mission.goal_metric != GoalMetric.AMOUNT_MINOR:
        found = counters(session, mission.id, phase=phase) if totals is None else totals
        return Progress(found.get(mission.goal_metric, 0), mission.goal_value)
    currency = currency_of(session, mission)
    is_live = phase == Phase.LIVE and currency is not None
    return Progress(unlocked(session, mission.id, currency or "") if is_live else 0, mission.goal_value, currency)
