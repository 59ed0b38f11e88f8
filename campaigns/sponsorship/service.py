"""Pledges: made, changed and withdrawn while they are drafts; found; and what their books hold.

Who makes or changes one holds its mission first, then the pledge: a mission's pledges are of one currency where its
goal is an amount, and its steps stay while a pledge names one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import delete, func
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.ids import uuid7_at
from campaigns.missions import GoalMetric, Mission, Step
from campaigns.planning import Campaign, State
from campaigns.sponsorship import terms
from campaigns.sponsorship.ledger import Account, AccountKind
from campaigns.sponsorship.models import (
    Beneficiary,
    Pledge,
    PledgeBeneficiary,
    PledgeKind,
    PledgeLink,
    PledgeState,
    Sponsor,
)
from campaigns.sponsorship.money import IN_KIND
from campaigns.sponsorship.terms import PledgePlan
from campaigns.storage import find_own, newest

# Whose promise stands or stood: what the public reads of a mission.
PROMISED = (PledgeState.ACTIVE, PledgeState.EXHAUSTED, PledgeState.ENDED, PledgeState.SETTLED)


@dataclass(frozen=True)
class Holds:
    """What a pledge's book holds, in minor units: unlocked is all that acts accrued and nothing took back.

    `paid` is what was sent to causes; what it cost to send it is fees, here as in the meter and the statement.
    """

    pending_minor: int = 0
    due_minor: int = 0
    paid_minor: int = 0
    fees_minor: int = 0

    @property
    def unlocked_minor(self) -> int:
        return self.pending_minor + self.due_minor + self.paid_minor + self.fees_minor


def promise(session: Session, mission: Mission, plan: PledgePlan, *, now: datetime) -> Pledge:
    """Write a pledge of a mission, as a draft. Invalid, with the field's pointer, for what cannot be promised.

    Conflict on an ended campaign, and for an `external_id` of the mission already used.
    """
    hold_mission(session, mission.id)
    if session.get_one(Campaign, mission.campaign_id).state == State.ENDED:
        raise Conflict("This campaign has ended; it takes no new pledge.", code="wrong_state")
    if plan.external_id and find_pledge(session, mission.id, external_id=plan.external_id):
        raise Conflict(f"A pledge with external_id {plan.external_id!r} is there already.", pointer="/external_id")
    fields = _checked(session, mission, plan, pledge_id=None, now=now)
    pledge = Pledge(
        id=uuid7_at(now),
        organisation_id=mission.organisation_id,
        campaign_id=mission.campaign_id,
        mission_id=mission.id,
        external_id=plan.external_id,
        state=PledgeState.DRAFT.value,
        created_at=now,
        changed_at=now,
        **fields,
    )
    session.add(pledge)
    session.flush()
    _name_causes(session, pledge, plan.beneficiary_ids)
    return pledge


def change_pledge(session: Session, pledge: Pledge, *, now: datetime, **changes: Any) -> Pledge:
    """Change terms of a draft, held with `hold_pledge`. Conflict (`terms_frozen`) once it is signed."""
    require_draft(pledge)
    mission = session.get_one(Mission, pledge.mission_id)
    before = PledgePlan.of(pledge, [one.id for one in causes_of(session, pledge.id)])
    if changes.get("kind", before.kind) == PledgeKind.MATCH and "unit_minor" not in changes:
        changes["unit_minor"] = None  # it follows
    plan = replace(before, **changes)
    for name, value in _checked(session, mission, plan, pledge_id=pledge.id, now=now).items():
        if getattr(pledge, name) != value:
            setattr(pledge, name, value)
    pledge.changed_at = now
    session.add(pledge)
    session.flush()
    if tuple(plan.beneficiary_ids) != tuple(before.beneficiary_ids):
        _name_causes(session, pledge, plan.beneficiary_ids)
    _follow(session, pledge, now=now)
    return pledge


def withdraw_pledge(session: Session, pledge: Pledge) -> None:
    """Delete a draft, held with `hold_pledge`, and the links to it.

    Conflict (`terms_frozen`) once it is signed, (`pledge_matched`) while another one matches it.
    """
    require_draft(pledge)
    if _matching(session, pledge.id):
        raise Conflict("Another pledge matches this one. Change or delete that one first.", code="pledge_matched")
    for link in session.exec(select(PledgeLink).where(PledgeLink.pledge_id == pledge.id).order_by(col(PledgeLink.id))):
        session.delete(link)
    session.execute(delete(PledgeBeneficiary).where(col(PledgeBeneficiary.pledge_id) == pledge.id))
    session.flush()
    session.delete(pledge)
    session.flush()


def require_draft(pledge: Pledge) -> None:
    """Conflict (`terms_frozen`) for a pledge that was signed."""
    if pledge.state != PledgeState.DRAFT:
        raise Conflict("The pledge is signed: its terms are frozen. End it, and make another one.", code="terms_frozen")


def hold_mission(session: Session, mission_id: UUID) -> None:
    """Hold a mission until the transaction ends: its pledges and its steps stay as they are read now."""
    session.exec(select(Mission.id).where(Mission.id == mission_id).with_for_update()).one()


def require_steps_free(session: Session, mission_id: UUID) -> None:
    """Conflict (`rules_frozen`) while a pledge pays a step of this mission: its steps are fixed. Holds the mission."""
    hold_mission(session, mission_id)
    bound = select(Pledge.id).where(Pledge.mission_id == mission_id, col(Pledge.step_id).is_not(None))
    if session.exec(bound.limit(1)).first() is not None:
        raise Conflict("A pledge names a step of this mission: its steps are fixed.", code="rules_frozen")


def pledge_by_id(session: Session, organisation_id: UUID, pledge_id: UUID) -> Pledge:
    """The organisation's pledge; NotFound for another's."""
    found = find_own(session, Pledge, organisation_id, pledge_id)
    if found is None:
        raise NotFound("There is no such pledge.")
    return found


def hold_pledge(session: Session, organisation_id: UUID, pledge_id: UUID) -> Pledge:
    """The same, held with its mission until the transaction ends, and read anew."""
    hold_mission(session, pledge_by_id(session, organisation_id, pledge_id).mission_id)
    found = find_own(session, Pledge, organisation_id, pledge_id, lock=True)
    if found is None:
        raise NotFound("There is no such pledge.")
    return found


def find_pledge(session: Session, mission_id: UUID, *, external_id: str) -> Pledge | None:
    return session.exec(
        select(Pledge).where(Pledge.mission_id == mission_id, Pledge.external_id == external_id)
    ).first()


def list_pledges(session: Session, mission_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Pledge]:
    """Those of a mission, newest first, older than `before`."""
    return newest(session, select(Pledge).where(Pledge.mission_id == mission_id), Pledge, before=before, limit=limit)


def list_all_pledges(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[Pledge]:
    """Those of an organisation, newest first, older than `before`."""
    mine = select(Pledge).where(Pledge.organisation_id == organisation_id)
    return newest(session, mine, Pledge, before=before, limit=limit)


def promised(session: Session, mission_id: UUID) -> Sequence[Pledge]:
    """The pledges of a mission that became active, oldest first: what the public reads."""
    mine = (Pledge.mission_id == mission_id, col(Pledge.active_at).is_not(None), col(Pledge.state).in_(PROMISED))
    return session.exec(select(Pledge).where(*mine).order_by(col(Pledge.id))).all()


def not_active(session: Session, campaign_id: UUID) -> int:
    """How many pledges of a campaign are announced but not active: drafts, and those that wait for a beneficiary."""
    waiting = col(Pledge.state).in_((PledgeState.DRAFT, PledgeState.SIGNED))
    return int(
        session.execute(columns(func.count()).where(col(Pledge.campaign_id) == campaign_id, waiting)).scalar_one()
    )


def causes_of(session: Session, pledge_id: UUID) -> Sequence[Beneficiary]:
    """The beneficiaries of a pledge in their order: the first gets what nobody chose for."""
    return causes_among(session, [pledge_id])[pledge_id]


def causes_among(session: Session, pledge_ids: Iterable[UUID]) -> dict[UUID, list[Beneficiary]]:
    """The same for several pledges."""
    rows = session.execute(
        columns(col(PledgeBeneficiary.pledge_id), Beneficiary)
        .join(Beneficiary, col(Beneficiary.id) == PledgeBeneficiary.beneficiary_id)
        .where(col(PledgeBeneficiary.pledge_id).in_(list(pledge_ids)))
        .order_by(col(PledgeBeneficiary.pledge_id), col(PledgeBeneficiary.position)),
        execution_options={"populate_existing": True},  # who holds a pledge asks who has accepted by now
    )
    found: dict[UUID, list[Beneficiary]] = defaultdict(list)
    for pledge_id, beneficiary in rows:
        found[pledge_id].append(beneficiary)
    return found


def terms_hash_of(session: Session, pledge: Pledge, *, organisation_name: str) -> str:
    """The hash of the terms as they stand: of a signed pledge, what was signed."""
    if pledge.terms_hash is not None:
        return pledge.terms_hash
    sponsor, causes = session.get_one(Sponsor, pledge.sponsor_id), causes_of(session, pledge.id)
    return terms.hash_of(terms.signed_terms(pledge, sponsor, causes, organisation_name=organisation_name))


def holds(session: Session, pledge_ids: Iterable[UUID]) -> dict[UUID, Holds]:
    """What the books of pledges hold; nothing for one that has none yet."""
    rows = session.execute(
        columns(col(Account.book_id), col(Account.kind), col(Account.balance_minor)).where(
            col(Account.book_id).in_(list(pledge_ids))
        )
    )
    found: dict[UUID, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for book_id, kind, balance in rows:
        found[book_id][kind] = int(balance)
    return {
        id: Holds(
            pending_minor=one[AccountKind.PENDING],
            due_minor=one[AccountKind.DUE],
            paid_minor=one[AccountKind.SETTLED],
            fees_minor=one[AccountKind.FEES],
        )
        for id, one in found.items()
    }


def currency_of(session: Session, mission: Mission) -> str | None:
    """The currency in which a mission counts an amount: that of its pledges, else of its campaign; None without."""
    own = select(Pledge.currency).where(Pledge.mission_id == mission.id, Pledge.currency != IN_KIND)
    found = session.exec(own.order_by(col(Pledge.id)).limit(1)).first()
    return found or session.get_one(Campaign, mission.campaign_id).currency


def unlocked(session: Session, mission_id: UUID, currency: str) -> int:
    """What the acts of a mission unlocked, pending and posted, in minor units of a currency: read from the balances."""
    amount = func.coalesce(func.sum(col(Account.balance_minor)), 0)
    gained = col(Account.kind).not_in((AccountKind.COMMITMENT,))
    query = columns(amount).join(Pledge, col(Pledge.id) == Account.book_id)
    mine = (col(Pledge.mission_id) == mission_id, col(Pledge.currency) == currency, gained)
    return int(session.execute(query.where(*mine)).scalar_one())


def _checked(
    session: Session, mission: Mission, plan: PledgePlan, *, pledge_id: UUID | None, now: datetime
) -> dict[str, Any]:
    """The terms as stored. NotFound for what is not the organisation's, Invalid for what cannot be promised."""
    _require_own(session, mission, plan)
    unit = plan.unit_minor
    if plan.kind == PledgeKind.MATCH:
        unit = _unit_of_match(session, mission, plan, pledge_id)
    terms.check(plan, unit_minor=unit or 0, now=now)
    _require_one_currency(session, mission, plan.currency, pledge_id)
    fields = {name: getattr(plan, name) for name in terms.TERMS}
    for name in ("kind", "nature", "last_slice"):
        fields[name] = getattr(plan, name).value
    return fields | {"unit_minor": unit}


def _unit_of_match(session: Session, mission: Mission, plan: PledgePlan, pledge_id: UUID | None) -> int:
    """What a match adds to a whole unit of what it matches. Invalid for what cannot be matched by it."""
    at = "/matches_id"
    other = find_own(session, Pledge, mission.organisation_id, plan.matches_id) if plan.matches_id else None
    if other is None or other.mission_id != mission.id or other.id == pledge_id:
        raise Invalid("A match names another pledge of its mission.", pointer=at)
    if other.kind != PledgeKind.PER_ACT:
        raise Invalid("Only a pledge per act can be matched: not a match, a threshold or things.", pointer=at)
    if other.currency != plan.currency:
        raise Invalid(f"The pledge it matches is in {other.currency}.", pointer="/currency")
    if plan.match_percent is None:
        raise Invalid("Say how many per cent a match adds.", pointer="/match_percent")
    unit = terms.matched_unit(other.unit_minor, plan.match_percent)
    if plan.unit_minor not in (None, unit):
        raise Invalid(f"The unit of a match follows: {unit}. Leave it out.", pointer="/unit_minor")
    if unit < 1:
        raise Invalid("So small a part of so small a unit is nothing.", pointer="/match_percent")
    return unit


def _require_own(session: Session, mission: Mission, plan: PledgePlan) -> None:
    if find_own(session, Sponsor, mission.organisation_id, plan.sponsor_id) is None:
        raise NotFound("There is no such sponsor.", pointer="/sponsor_id")
    for at, id in enumerate(plan.beneficiary_ids):
        if find_own(session, Beneficiary, mission.organisation_id, id) is None:
            raise NotFound("There is no such beneficiary.", pointer=f"/beneficiary_ids/{at}")
    if plan.matches_id is not None and find_own(session, Pledge, mission.organisation_id, plan.matches_id) is None:
        raise NotFound("There is no such pledge.", pointer="/matches_id")
    if plan.step_id is not None:
        _require_step(session, mission, plan.step_id)


def _require_step(session: Session, mission: Mission, step_id: UUID) -> None:
    """NotFound for a step of nobody's and of another organisation's, Invalid for one of another mission."""
    own = select(Step.mission_id).join(Mission, col(Mission.id) == Step.mission_id)
    mine = (Step.id == step_id, Mission.organisation_id == mission.organisation_id)
    found = session.exec(own.where(*mine)).first()
    if found is None:
        raise NotFound("There is no such step.", pointer="/step_id")
    if found != mission.id:
        raise Invalid("This step is of another mission.", pointer="/step_id")


def _require_one_currency(session: Session, mission: Mission, currency: str, pledge_id: UUID | None) -> None:
    """Where the goal is an amount, it is one of one currency."""
    if mission.goal_metric != GoalMetric.AMOUNT_MINOR or currency == IN_KIND:
        return
    others = select(Pledge.currency).where(Pledge.mission_id == mission.id, Pledge.currency.not_in((currency, IN_KIND)))  # type: ignore[attr-defined]  # a column
    if pledge_id is not None:
        others = others.where(Pledge.id != pledge_id)
    found = session.exec(others.limit(1)).first()
    if found is not None:
        raise Invalid(f"The goal is an amount, and this mission's pledges are in {found}.", pointer="/currency")


def _name_causes(session: Session, pledge: Pledge, beneficiary_ids: Sequence[UUID]) -> None:
    session.execute(delete(PledgeBeneficiary).where(col(PledgeBeneficiary.pledge_id) == pledge.id))
    for position, id in enumerate(beneficiary_ids, 1):
        session.add(PledgeBeneficiary(pledge_id=pledge.id, beneficiary_id=id, position=position))
    session.flush()


def _matching(session: Session, pledge_id: UUID) -> Sequence[Pledge]:
    """The pledges that match this one; they are drafts as long as it is."""
    query = select(Pledge).where(Pledge.matches_id == pledge_id).order_by(col(Pledge.id))
    return session.exec(query.with_for_update().execution_options(populate_existing=True)).all()


def _follow(session: Session, pledge: Pledge, *, now: datetime) -> None:
    """Keep what matches this draft in step with it. Invalid when it could not be promised any more."""
    mission = session.get_one(Mission, pledge.mission_id)
    for match in _matching(session, pledge.id):
        plan = PledgePlan.of(match, [one.id for one in causes_of(session, match.id)])
        try:
            unit = _checked(session, mission, plan, pledge_id=match.id, now=now)["unit_minor"]
        except Invalid as error:
            told = f"A pledge matches this one, and could not any more: {error.detail}"
            raise Conflict(told, code="pledge_matched") from error
        if match.unit_minor != unit:
            match.unit_minor = unit
            session.add(match)
    session.flush()
