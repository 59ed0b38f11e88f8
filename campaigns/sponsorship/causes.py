"""The cause a participant's acts fund, where a pledge of the mission names several."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.errors import Conflict, Invalid
from campaigns.missions import Mission
from campaigns.participants import Participant
from campaigns.participants.merging import Merge
from campaigns.sponsorship.models import Beneficiary, CauseChoice, Pledge, PledgeState
from campaigns.sponsorship.service import causes_among
from campaigns.storage import hand_over, upsert

PERSON_COLUMNS = (col(CauseChoice.participant_id),)


def open_causes(session: Session, mission_id: UUID) -> list[Beneficiary]:
    """The causes a participant may choose among: those of active pledges that name several, each once."""
    active = select(Pledge.id).where(Pledge.mission_id == mission_id, Pledge.state == PledgeState.ACTIVE)
    pledges = session.exec(active.order_by(col(Pledge.id))).all()
    found = causes_among(session, pledges)
    several = [found[id] for id in pledges if len(found[id]) > 1]
    return list({one.id: one for causes in several for one in causes}.values())


def choose(
    session: Session, mission: Mission, person: Participant, beneficiary_id: UUID | None, *, now: datetime
) -> Beneficiary:
    """Let a participant's acts in a mission fund this cause from now on; the last choice stands.

    Conflict (`no_cause`) where no pledge leaves a choice, Invalid for what is not one of the causes.
    """
    causes = {one.id: one for one in open_causes(session, mission.id)}
    if not causes:
        raise Conflict("No pledge of this mission leaves a choice of causes now.", code="no_cause")
    if beneficiary_id not in causes:
        raise Invalid("Choose one of the causes of this mission.", pointer="/beneficiary_id", code="cause_missing")
    row = {"mission_id": mission.id, "participant_id": person.id, "beneficiary_id": beneficiary_id, "chosen_at": now}
    insert = upsert(session, CauseChoice).values(**row)
    chosen = {name: insert.excluded[name] for name in ("beneficiary_id", "chosen_at")}
    session.execute(insert.on_conflict_do_update(index_elements=["mission_id", "participant_id"], set_=chosen))
    return causes[beneficiary_id]


def chosen_cause(session: Session, mission_id: UUID, participant_id: UUID) -> UUID | None:
    """The cause this person chose in a mission, if any."""
    mine = (CauseChoice.mission_id == mission_id, CauseChoice.participant_id == participant_id)
    return session.exec(select(CauseChoice.beneficiary_id).where(*mine)).first()


def choices_of(session: Session, participant_id: UUID) -> Sequence[tuple[CauseChoice, Beneficiary, Mission]]:
    """What a person chose, in each mission, newest first."""
    query = (
        select(CauseChoice, Beneficiary, Mission)
        .join(Beneficiary, col(Beneficiary.id) == CauseChoice.beneficiary_id)
        .join(Mission, col(Mission.id) == CauseChoice.mission_id)
        .where(CauseChoice.participant_id == participant_id)
    )
    return session.exec(query.order_by(col(CauseChoice.chosen_at).desc())).all()


def merge(session: Session, merge: Merge) -> None:
    """Let the older name have the newer's choices: of two in one mission the later one stands."""
    older, newer = merge.ids
    mine = select(CauseChoice).where(col(CauseChoice.participant_id).in_(merge.ids))
    rows = session.exec(mine.order_by(col(CauseChoice.mission_id), col(CauseChoice.chosen_at))).all()
    last = {row.mission_id: row for row in rows}
    dropped = [row for row in rows if last[row.mission_id] is not row]
    for row in dropped:
        session.delete(row)
    session.flush()
    hand_over(session, PERSON_COLUMNS, newer, older)
