"""Missions: a shared goal, its steps, and who did them."""

from campaigns.missions.acts import StepOutcome, complete, count_idea, period_of, require_open, take_part
from campaigns.missions.check_ins import CheckedIn, Ground, check_in, ground_of
from campaigns.missions.models import MODES, GoalMetric, Membership, Mission, Mode, Repeat, Step, StepKind
from campaigns.missions.people import PERSON_COLUMNS, forget, recognise, recognise_or_join
from campaigns.missions.recount import differences, recount
from campaigns.missions.service import (
    Standing,
    StepPlan,
    change_mission,
    counters,
    find_mission,
    list_missions,
    mission_by_id,
    mission_by_name,
    mission_of,
    set_steps,
    standing,
    start_mission,
    steps_of,
)

__all__ = [
    "MODES",
    "PERSON_COLUMNS",
    "CheckedIn",
    "GoalMetric",
    "Ground",
    "Membership",
    "Mission",
    "Mode",
    "Repeat",
    "Standing",
    "Step",
    "StepKind",
    "StepOutcome",
    "StepPlan",
    "change_mission",
    "check_in",
    "complete",
    "count_idea",
    "counters",
    "differences",
    "find_mission",
    "forget",
    "ground_of",
    "list_missions",
    "mission_by_id",
    "mission_by_name",
    "mission_of",
    "period_of",
    "recognise",
    "recognise_or_join",
    "recount",
    "require_open",
    "set_steps",
    "standing",
    "start_mission",
    "steps_of",
    "take_part",
]
