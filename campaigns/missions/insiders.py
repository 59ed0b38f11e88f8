"""Insiders: what people of the team did, apart from what the public did, and how much of all acts is theirs.

An act is a counted check-in, or a verified completion of a step that no check-in does. Nothing here is of one employee,
and a group of fewer than five people is not shown (DOMAIN section 7).
"""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import Select, func, literal_column, select
from sqlmodel import Session, col

from campaigns.missions.models import ON_CHECK_IN, CompletionState, Mission, Step, StepCompletion
from campaigns.participants import Cohort, Participant
from campaigns.planning import Campaign, Phase
from campaigns.scans import CheckIn

LEAST_GROUP = 5  # people


def insider_share(session: Session, campaign_id: UUID) -> float | None:
    """Employee acts / acts of a campaign since its launch (formula insider_share/1); 0 where the team did nothing.

    None without an act, and where either group has one to four people: the share would tell of them.
    """
    total = verified_acts(session, campaign_id, phase="live")
    insiders = _insiders(campaign_id)
    theirs = sum(_number(session, one.where(person.in_(insiders))) for one, person in _acts(campaign_id, "live"))
    of_team, of_public = (lambda person: person.in_(insiders)), (lambda person: person.not_in(insiders))
    if not total or any(_is_small(session, campaign_id, group) for group in (of_team, of_public)):
        return None
    return round(theirs / total, 4)


def verified_acts(session: Session, campaign_id: UUID, *, phase: str) -> int:
    """How many acts a campaign has in a phase."""
    return sum(_number(session, one) for one, _ in _acts(campaign_id, phase))


def _number(session: Session, acts: Select[Any]) -> int:
    return int(session.execute(acts.with_only_columns(func.count())).scalar_one())


def _is_small(session: Session, campaign_id: UUID, is_in: Callable[[Any], Any]) -> bool:
    """Whether a group has people, but fewer than are shown. A few of each kind of act are enough to tell."""
    people: set[UUID] = set()
    for acts, person in _acts(campaign_id, "live"):
        few = acts.with_only_columns(person).where(is_in(person)).group_by(person).limit(LEAST_GROUP)
        people.update(session.scalars(few))
    return 0 < len(people) < LEAST_GROUP


def _insiders(campaign_id: UUID) -> Select[Any]:
    ours = select(col(Campaign.organisation_id)).where(col(Campaign.id) == campaign_id).scalar_subquery()
    return select(col(Participant.id)).where(
        col(Participant.organisation_id) == ours, col(Participant.cohort) == literal_column(f"'{Cohort.EMPLOYEE}'")
    )


def _acts(campaign_id: UUID, phase: str) -> list[tuple[Select[Any], Any]]:
    """Counted check-ins, and verified completions of other steps; each with the column of who did it."""
    # The phase as the index of check-ins says it: a bound one would keep SQLite from counting in it.
    here: Any = literal_column(f"'{Phase(phase)}'")
    visits = select(CheckIn).where(
        col(CheckIn.campaign_id) == campaign_id, col(CheckIn.phase) == here, col(CheckIn.counted)
    )
    steps = (
        select(StepCompletion)
        .join(Step, col(Step.id) == StepCompletion.step_id)
        .join(Mission, col(Mission.id) == StepCompletion.mission_id)
        .where(
            col(Mission.campaign_id) == campaign_id,
            col(StepCompletion.phase) == phase,
            col(StepCompletion.state) == CompletionState.VERIFIED.value,
            col(Step.kind).not_in([kind.value for kind in ON_CHECK_IN]),
        )
    )
    return [(visits, col(CheckIn.participant_id)), (steps, col(StepCompletion.participant_id))]
