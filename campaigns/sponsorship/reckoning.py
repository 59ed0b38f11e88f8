"""What an act is worth to a pledge: pure rules over what is known of both. No database.

An act is worth something once it is verified, live, within the pledge's window and presence; one that rests on a scan
waits for the judge, and then for a verdict that earns (DOMAIN section 4). How much is a matter of the room that the
caps leave, and of the rule for the last slice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import Enum
from uuid import UUID

from campaigns.missions.models import CompletionState
from campaigns.planning import Campaign, Phase, State
from campaigns.scans import STRONG, Verdict
from campaigns.sponsorship.models import LastSlice, Pledge, PledgeKind, PledgeState

DRAWN_ON = (PledgeState.ACTIVE.value, PledgeState.EXHAUSTED.value, PledgeState.ENDED.value)  # by acts of their window
SIGNED = (*DRAWN_ON, PledgeState.SETTLED.value)  # those that acts may have accrued on


class Worth(Enum):
    """Whether an act is to be paid: yes, no, or not known yet."""

    YES = "yes"
    NO = "no"
    OPEN = "open"


@dataclass(frozen=True)
class Act:
    """A completion as it stands, with the scan under it: `verdict` is None while the judge has not counted it.

    `scan_id` is None for an online act, and for one that the staff of a place witnessed.
    """

    id: UUID
    mission_id: UUID
    step_id: UUID
    is_offline: bool
    participant_id: UUID
    phase: str
    state: str
    presence: int
    completed_at: datetime
    reason: str | None
    scan_id: UUID | None
    verdict: str | None
    place_id: UUID | None
    civil_day: date


@dataclass
class Room:
    """What the caps of a pledge leave: in all, and where it names them a person and a day. Minor units."""

    total: int
    person_cap: int | None = None
    day_cap: int | None = None
    people: dict[UUID, int] = field(default_factory=dict)  # what each drew
    days: dict[date, int] = field(default_factory=dict)

    def slice(self, wanted: int, surrogate: UUID, day: date, last_slice: str) -> int:
        """What an act gets of `wanted`: all of it, what is left of it, or nothing."""
        left = [self.total]
        if self.person_cap is not None:
            left.append(self.person_cap - self.people.get(surrogate, 0))
        if self.day_cap is not None:
            left.append(self.day_cap - self.days.get(day, 0))
        most = max(0, min(left))
        if wanted <= most:
            return wanted
        return most if last_slice == LastSlice.PAY_REMAINDER else 0

    def take(self, amount: int, surrogate: UUID, day: date) -> None:
        """Draw an amount."""
        self.total -= amount
        self.people[surrogate] = self.people.get(surrogate, 0) + amount
        self.days[day] = self.days.get(day, 0) + amount


def moves_money(campaign: Campaign, *, now: datetime) -> bool:
    """Whether acts of a campaign accrue and are posted now (I20): while it is paused they wait. Undoing never waits."""
    return campaign.state_at(now) is not State.PAUSED


def counts(pledge: Pledge, act: Act) -> bool:
    """Whether it is an act of the step, or the steps, that a pledge pays."""
    if pledge.mission_id != act.mission_id:
        return False
    return act.is_offline if pledge.step_id is None else pledge.step_id == act.step_id


def worth(pledge: Pledge, act: Act) -> tuple[Worth, str]:
    """Whether a pledge pays an act that it counts, and why not."""
    if act.state == CompletionState.REVERSED:
        return Worth.NO, act.reason or "reversed"
    if act.state != CompletionState.VERIFIED:
        return Worth.OPEN, act.state
    if act.phase != Phase.LIVE:
        return Worth.NO, "phase"
    if not _is_within(pledge, act.completed_at):
        return Worth.NO, "window"
    if act.presence < pledge.min_presence:
        return Worth.NO, "presence"
    if act.scan_id is None:
        return Worth.YES, ""
    if act.verdict is None:
        return Worth.OPEN, "not_judged"
    is_earned = act.verdict == Verdict.VALID or (act.verdict == Verdict.PROVISIONAL and act.presence >= STRONG)
    return (Worth.YES, "") if is_earned else (Worth.NO, act.verdict)


def wanted(pledge: Pledge, matched: int) -> int:
    """What an act is to get of a pledge with room enough; `matched` is what the matched pledge gave it, if any."""
    if pledge.kind == PledgeKind.MATCH:
        return matched * (pledge.match_percent or 0) // 100
    return pledge.unit_minor


def least(pledge: Pledge, matched: Pledge | None) -> int:
    """The least that any further act could get of a pledge: with less room it is exhausted."""
    if pledge.last_slice == LastSlice.PAY_REMAINDER:
        return 1
    if matched is None:
        return pledge.unit_minor
    least_matched = 1 if matched.last_slice == LastSlice.PAY_REMAINDER else matched.unit_minor
    return max(1, wanted(pledge, least_matched))


def reached(pledge: Pledge, acts: int) -> int:
    """How many units so many acts have reached, of a threshold pledge."""
    return acts // (pledge.threshold or 1)


def is_over(pledge: Pledge, *, now: datetime) -> bool:
    """Whether the window of a pledge is behind us."""
    return any(end is not None and now >= end for end in (pledge.ends_at, pledge.ended_at))


def cause_of(causes: Mapping[UUID, int], chosen: UUID | None) -> UUID:
    """The cause an act funds: the one its person chose, where the pledge names it, else the pledge's first."""
    if chosen is not None and chosen in causes:
        return chosen
    return min(causes, key=lambda one: causes[one])


def _is_within(pledge: Pledge, at: datetime) -> bool:
    if pledge.active_at is None or at < pledge.active_at:
        return False
    if pledge.starts_at is not None and at < pledge.starts_at:
        return False
    return not is_over(pledge, now=at)
