"""Campaigns: objective, targets, flight and state."""

from campaigns.planning.models import KPIS, Campaign, Objective, State, Target, target_problem
from campaigns.planning.service import (
    ChecklistItem,
    LaunchFacts,
    campaign_by_id,
    campaign_by_name,
    change_campaign,
    checklist,
    end,
    find_campaign,
    launch,
    list_campaigns,
    list_targets,
    pause,
    plan_campaign,
    resume,
    set_targets,
)

__all__ = [
    "KPIS",
    "Campaign",
    "ChecklistItem",
    "LaunchFacts",
    "Objective",
    "State",
    "Target",
    "campaign_by_id",
    "campaign_by_name",
    "change_campaign",
    "checklist",
    "end",
    "find_campaign",
    "launch",
    "list_campaigns",
    "list_targets",
    "pause",
    "plan_campaign",
    "resume",
    "set_targets",
    "target_problem",
]
