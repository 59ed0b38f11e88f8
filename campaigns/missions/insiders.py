"""Insiders: what people of the team did, apart from what the public did, and how much of all acts is theirs.

An act is a counted check-in, or a verified completion of a step that no check-in does. Nothing here is of one employee,
and a group of fewer than five people is not shown (DOMAIN section 7).
"""

from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, select
from sqlmodel import Session, col

from campaigns.missions.models import ON_CHECK_IN, CompletionState, Mission, Step, StepCompletion
from campaigns.participants import Cohort, Participant
from campaigns.scans import CheckIn

LEAST_GROUP = 5  # people


def insider_share(session: Session, campaign_id: UUID) -> float | None:
    """Employee acts / acts of a campaign since its launch (formula insider_share/1); 0 where the team did nothing.

    None without an act, and where either group has one to four people: the share would tell of them.
    """
    acts = _acts(campaign_id, "live").subquery()
    is_insider = acts.c.cohort == Cohort.EMPLOYEE.value
    query = select(is_insider, func.count(func.distinct(acts.c.person)), func.sum(acts.c.acts)).group_by(is_insider)
    groups = {bool(insider): (people, int(number)) for insider, people, number in session.execute(query)}
    if not groups or any(people < LEAST_GROUP for people, _ in groups.values()):
        return None
    return round(groups.get(True, (0, 0))[1] / sum(number for _, number in groups.values()), 4)


def verified_acts(session: Session, campaign_id: UUID, *, phase: str) -> int:
    """How many acts a campaign has in a phase."""
    acts = _acts(campaign_id, phase).subquery()
    return int(session.execute(select(func.coalesce(func.sum(acts.c.acts), 0))).scalar_one())


def _acts(campaign_id: UUID, phase: str) -> Select[Any]:
    """(participant, cohort, acts) of each person, once for check-ins and once for completions."""
    visits: Any = (
        select(col(CheckIn.participant_id).label("person"), func.count().label("acts"))
        .where(col(CheckIn.campaign_id) == campaign_id, col(CheckIn.phase) == phase, col(CheckIn.counted))
        .group_by(col(CheckIn.participant_id))
    )
    steps: Any = (
        select(col(StepCompletion.participant_id).label("person"), func.count().label("acts"))
        .join(Step, col(Step.id) == StepCompletion.step_id)
        .join(Mission, col(Mission.id) == StepCompletion.mission_id)
        .where(
            col(Mission.campaign_id) == campaign_id,
            col(StepCompletion.phase) == phase,
            col(StepCompletion.state) == CompletionState.VERIFIED.value,
            col(Step.kind).not_in([kind.value for kind in ON_CHECK_IN]),
        )
        .group_by(col(StepCompletion.participant_id))
    )
    both = visits.union_all(steps).subquery()
    return select(both.c.person, col(Participant.cohort), both.c.acts).join(
        Participant, col(Participant.id) == both.c.person
    )
