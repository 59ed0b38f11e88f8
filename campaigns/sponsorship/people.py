"""What the ledger knows of a person: a random name, and the cause they chose. Nothing else names them."""

from collections.abc import Sequence
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.sponsorship import causes
from campaigns.sponsorship.models import Accrual, Beneficiary, LedgerName, Pledge
from campaigns.storage import hand_over

PERSON_COLUMNS = (*causes.PERSON_COLUMNS, col(LedgerName.participant_id))


def forget(session: Session, participant_id: UUID, *, surrogate: UUID) -> None:
    """Leave a person's name in the ledgers, and their choice, to nobody: acts that wait for the judge still accrue.

    So erasure changes no total, no cap and no cause (I23), and no row leads from the person to the name any more.
    """
    hand_over(session, PERSON_COLUMNS, participant_id, surrogate)


def accruals_of(session: Session, participant_id: UUID) -> Sequence[tuple[Accrual, Pledge, Beneficiary]]:
    """What a person's acts accrued, newest first, with the pledge and the cause."""
    query = (
        select(Accrual, Pledge, Beneficiary)
        .join(Pledge, col(Pledge.id) == Accrual.pledge_id)
        .join(Beneficiary, col(Beneficiary.id) == Accrual.beneficiary_id)
        .join(LedgerName, col(LedgerName.surrogate) == Accrual.surrogate)
        .where(LedgerName.participant_id == participant_id)
    )
    return session.exec(query.order_by(col(Accrual.accrued_at).desc(), col(Accrual.id).desc())).all()
