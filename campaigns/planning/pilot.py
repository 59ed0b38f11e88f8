"""The pilot: own people first, at a few places, up to a ceiling; what it must show is declared before it begins."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import audit, places
from campaigns.announcements import announce
from campaigns.errors import Conflict, Forbidden, Invalid
from campaigns.ids import parse, show, uuid7_at
from campaigns.participants import Cohort, Merge, Participant
from campaigns.planning.models import Campaign, Criterion, Pilot, PilotPerson, PilotWaiver, State
from campaigns.storage import changed, hand_over, insert_once

MOST_PEOPLE = 10_000
MOST_PLACES = 50
REASON_LIMIT = 500  # characters of why a threshold is waived
PERSON_COLUMNS = (col(PilotPerson.participant_id),)


@dataclass(frozen=True)
class PilotPlan:
    """A pilot as a marketer describes it: places by id or as `ext_...`, criteria with their value."""

    place_ids: Sequence[str]
    max_people: int
    thresholds: dict[str, float]


@dataclass(frozen=True)
class PilotFacts:
    """What a pilot came to, by criterion: read by who sits above, and passed in. A share of nothing is None.

    `is_small`: fewer than five people took part, whose figures are not shown.
    """

    found: dict[str, float | None] = field(default_factory=dict)
    is_small: bool = False


@dataclass(frozen=True)
class Threshold:
    """A threshold, what the pilot came to, and by which waiver it was let go, if it was."""

    criterion: str
    wanted: float
    found: float | None
    waiver: PilotWaiver | None
    is_hidden: bool = False

    @property
    def is_met(self) -> bool:
        """Whether what was found reaches it. Open cases may be that many at most."""
        if self.found is None:
            return False
        return self.found <= self.wanted if self.criterion == Criterion.OPEN_CASES else self.found >= self.wanted

    @property
    def shown(self) -> float | None:
        """What was found, where it tells of no few people."""
        return None if self.is_hidden else self.found

    @property
    def is_passed(self) -> bool:
        return self.is_met or self.waiver is not None


def declare_pilot(session: Session, campaign: Campaign, plan: PilotPlan | None, *, now: datetime) -> Pilot | None:
    """Declare a draft's pilot, change it, or take it away (None). Conflict once the campaign is no draft any more."""
    if campaign.state != State.DRAFT:
        raise Conflict("What a pilot must show is declared before it begins.", code="pilot_declared")
    found = find_pilot(session, campaign.id)
    if plan is None:
        if found is not None:
            session.delete(found)
            session.flush()
        return None
    fields = _checked(session, campaign, plan)
    if found is None:
        found = Pilot(
            id=uuid7_at(now),
            organisation_id=campaign.organisation_id,
            campaign_id=campaign.id,
            declared_at=now,
            **fields,
        )
    for name, value in fields.items():
        setattr(found, name, value)
    session.add(found)
    session.flush()
    return found


def find_pilot(session: Session, campaign_id: UUID) -> Pilot | None:
    """What was declared of a campaign's pilot; None where there is none."""
    return session.exec(select(Pilot).where(Pilot.campaign_id == campaign_id)).first()


def require_declared(session: Session, campaign_id: UUID) -> Pilot:
    """The declared pilot; Conflict (`no_pilot`) without one."""
    found = find_pilot(session, campaign_id)
    if found is None:
        raise Conflict("Declare the pilot first: its places, its ceiling and what it must show.", code="no_pilot")
    return found


def pilot_places(pilot: Pilot) -> list[UUID]:
    """The places a pilot is held at."""
    return [parse("plc", name) for name in pilot.place_ids]


def admit(session: Session, campaign_id: UUID, person: Participant, *, now: datetime) -> None:
    """Let a person of the team take part in a pilot; once in, always in.

    Forbidden (`pilot_only`) for anybody else, Conflict (`pilot_full`) at the ceiling: of people who race for the last
    place the conditional UPDATE lets one in.
    """
    if person.cohort != Cohort.EMPLOYEE:
        raise Forbidden(
            "The shop's own team tries this first. It opens to everybody afterwards: come back soon.",
            code="pilot_only",
        )
    pilot = require_declared(session, campaign_id)
    if not insert_once(session, PilotPerson, pilot_id=pilot.id, participant_id=person.id, admitted_at=now):
        return
    room = update(Pilot).where(col(Pilot.id) == pilot.id, col(Pilot.people) < col(Pilot.max_people))
    taken = room.values(people=col(Pilot.people) + 1).execution_options(synchronize_session=False)
    if not changed(session, taken):
        raise Conflict(f"The pilot has its {pilot.max_people} people already.", code="pilot_full")


def require_pilot_place(session: Session, campaign_id: UUID, place_id: UUID | None) -> None:
    """Forbidden (`pilot_elsewhere`) for an act at a place the pilot is not held at."""
    if place_id not in pilot_places(require_declared(session, campaign_id)):
        raise Forbidden("The pilot is held in other places.", code="pilot_elsewhere")


def thresholds_of(session: Session, pilot: Pilot, facts: PilotFacts) -> list[Threshold]:
    """Each threshold with what was found, in the order of the criteria."""
    waived = {one.criterion: one for one in waivers_of(session, pilot)}
    return [
        Threshold(
            one,
            pilot.thresholds[one],
            facts.found.get(one),
            waived.get(one),
            facts.is_small and one is not Criterion.OPEN_CASES,
        )
        for one in Criterion
        if one in pilot.thresholds
    ]


def waivers_of(session: Session, pilot: Pilot) -> Sequence[PilotWaiver]:
    """The waivers of a pilot, the first first."""
    return session.exec(select(PilotWaiver).where(PilotWaiver.pilot_id == pilot.id).order_by(col(PilotWaiver.id))).all()


def require_passed(session: Session, campaign_id: UUID, facts: PilotFacts | None) -> None:
    """Conflict (`pilot_unmet`, with `unmet`) while a declared threshold is neither met nor waived."""
    pilot = find_pilot(session, campaign_id)
    if pilot is None:
        return
    open_ones = [one for one in thresholds_of(session, pilot, facts or PilotFacts()) if not one.is_passed]
    if open_ones:
        listed = "; ".join(f"{one.criterion} {_number(one.shown)} of {_number(one.wanted)}" for one in open_ones)
        unmet = [{"criterion": one.criterion, "wanted": one.wanted, "found": one.shown} for one in open_ones]
        raise Conflict(f"The pilot has not shown what was declared: {listed}.", code="pilot_unmet", unmet=unmet)


def waive(
    session: Session, campaign: Campaign, criterion: str, *, reason: str, member_id: UUID, now: datetime
) -> PilotWaiver:
    """Let a threshold go, as a named member, for a reason. Who proposed the launch before this proposes it anew.

    Invalid for a threshold that was not declared, and without a reason; Conflict when it was waived already, and after
    the launch.
    """
    campaign.require(State.DRAFT, State.PILOT)
    pilot = require_declared(session, campaign.id)
    why = " ".join(reason.split())
    if criterion not in pilot.thresholds:
        raise Invalid("Choose one of the declared thresholds.", pointer="/criterion")
    if not 1 <= len(why) <= REASON_LIMIT:
        raise Invalid(f"Say why, in 1 to {REASON_LIMIT} characters.", pointer="/reason")
    id = uuid7_at(now)
    fields: dict[str, Any] = {
        "organisation_id": campaign.organisation_id,
        "pilot_id": pilot.id,
        "criterion": criterion,
        "member_id": member_id,
        "reason": why,
        "waived_at": now,
    }
    if not insert_once(session, PilotWaiver, id=id, **fields):
        raise Conflict("This threshold was waived already.", code="waived_already")
    audit.note_new(session, "pilot_waiver", id, fields, now=now)
    campaign.changed_at = now
    session.add(campaign)
    announce(session, "campaign", campaign.id)
    return session.get_one(PilotWaiver, id)


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave a person's place in a pilot to nobody: it stays taken."""
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def hold(session: Session, merge: Merge) -> None:
    """Hold the pilots that either name has a place in: whoever enters one holds it before all else of their act."""
    theirs = select(PilotPerson.pilot_id).where(col(PilotPerson.participant_id).in_(merge.ids))
    held = select(Pilot.id).where(col(Pilot.id).in_(theirs)).order_by(col(Pilot.id)).with_for_update()
    session.exec(held).all()


def merge(session: Session, merge: Merge) -> None:
    """Give the older name the newer one's place in a pilot; of two the second is free again."""
    older, newer = merge.ids
    has = select(PilotPerson.pilot_id).where(PilotPerson.participant_id == older)
    twice = (col(PilotPerson.participant_id) == newer, col(PilotPerson.pilot_id).in_(has))
    for pilot_id in sorted(session.exec(select(PilotPerson.pilot_id).where(*twice)).all()):
        gone = delete(PilotPerson).where(
            col(PilotPerson.participant_id) == newer, col(PilotPerson.pilot_id) == pilot_id
        )
        session.execute(gone.execution_options(synchronize_session=False))
        free = update(Pilot).where(col(Pilot.id) == pilot_id).values(people=col(Pilot.people) - 1)
        session.execute(free.execution_options(synchronize_session=False))
    hand_over(session, PERSON_COLUMNS, newer, older)


def recount(session: Session) -> list[str]:
    """The people that pilots count against those who took part, in words."""
    took_part = columns(func.count()).where(col(PilotPerson.pilot_id) == Pilot.id).scalar_subquery()
    wrong = columns(col(Pilot.id), col(Pilot.people), took_part).where(col(Pilot.people) != took_part)
    rows = session.execute(wrong.order_by(col(Pilot.id)))
    return [f"people of the pilot {id}: {stored} stored, {counted} counted" for id, stored, counted in rows]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:g}"


def _checked(session: Session, campaign: Campaign, plan: PilotPlan) -> dict[str, Any]:
    if not 1 <= len(plan.place_ids) <= MOST_PLACES:
        raise Invalid(f"A pilot is held at 1 to {MOST_PLACES} places.", pointer="/pilot/place_ids")
    if not 1 <= plan.max_people <= MOST_PEOPLE:
        raise Invalid(f"A pilot has 1 to {MOST_PEOPLE:,} people.", pointer="/pilot/max_people")
    found = {places.place_by_name(session, campaign.organisation_id, name).id for name in plan.place_ids}
    if not plan.thresholds:
        raise Invalid("Declare at least one threshold.", pointer="/pilot/thresholds")
    for name, value in plan.thresholds.items():
        _check_threshold(name, value, plan.max_people, len(found))
    return {
        "place_ids": [show("plc", id) for id in sorted(found)],
        "max_people": plan.max_people,
        "thresholds": dict(plan.thresholds),
    }


def _check_threshold(name: str, value: float, max_people: int, number_of_places: int) -> None:
    where = f"/pilot/thresholds/{name[:60]}"
    if name not in set(Criterion):
        raise Invalid(f"A threshold is one of {', '.join(Criterion)}.", pointer=where)
    if name == Criterion.VERIFIED_SHARE:
        if not 0 < value <= 1:
            raise Invalid("verified_share is a share above 0 and up to 1.", pointer=where)
        return
    least = 0 if name == Criterion.OPEN_CASES else 1
    most = {Criterion.PEOPLE: max_people, Criterion.PLACES: number_of_places}.get(Criterion(name), 2**53 - 1)
    if value != int(value) or not least <= value <= most:
        raise Invalid(f"{name} is a whole number from {least} to {most}.", pointer=where)
