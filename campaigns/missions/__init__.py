"""Missions: a shared goal, its steps, and who did them."""

from campaigns.missions.acts import StepOutcome, complete, count_idea, count_votes, period_of, require_open, take_part
from campaigns.missions.check_ins import CheckedIn, Ground, check_in, ground_of
from campaigns.missions.codes import Witnessed, code_of, name_friend, show_code, validate
from campaigns.missions.kinds import checked_params, repeat_of
from campaigns.missions.models import MODES, GoalMetric, Membership, Mission, Mode, Repeat, Step, StepKind
from campaigns.missions.online import find_public_code, public_code, require_presence, require_step, share, tell
from campaigns.missions.people import PERSON_COLUMNS, forget, recognise, recognise_or_join
from campaigns.missions.recount import differences, recount
from campaigns.missions.reversal import least_presence, reverse
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
    "Witnessed",
    "change_mission",
    "check_in",
    "checked_params",
    "code_of",
    "complete",
    "count_idea",
    "count_votes",
    "counters",
    "differences",
    "find_mission",
    "find_public_code",
    "forget",
    "ground_of",
    "least_presence",
    "list_missions",
    "mission_by_id",
    "mission_by_name",
    "mission_of",
    "name_friend",
    "period_of",
    "public_code",
    "recognise",
    "recognise_or_join",
    "recount",
    "repeat_of",
    "require_open",
    "require_presence",
    "require_step",
    "reverse",
    "set_steps",
    "share",
    "show_code",
    "standing",
    "start_mission",
    "steps_of",
    "take_part",
    "tell",
    "validate",
]
