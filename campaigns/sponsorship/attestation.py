"""What a person's own acts brought, each with its line in the public ledger: proof for them, and nobody else's to ask.

The ledger names no person; the way from a person to their lines is their random name in it, which goes at erasure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from campaigns.ids import show
from campaigns.missions import Mission
from campaigns.sponsorship.ledger import Code, Transfer
from campaigns.sponsorship.models import Accrual, Beneficiary, LedgerLine, LedgerName, Pledge, Sponsor

OWN_SHOWN = 100
VERSION = "passerelle-attestation-1"


@dataclass(frozen=True)
class Attested:
    """An accrual of a person. `number` and `hash` of its line once it is posted, `taken_back` of what undid that."""

    accrual: Accrual
    mission: Mission
    sponsor: str
    cause: str
    number: int | None = None
    hash: str = ""
    taken_back: int | None = None

    @property
    def statement(self) -> str:
        """What is attested, in one line: the mission, the line and its hash, the amount and the cause, by tabs."""
        amount = f"{self.accrual.amount_minor}\t{self.accrual.currency}"
        return f"{VERSION}\t{show('mis', self.mission.id)}\t{self.number}\t{self.hash}\t{amount}\t{self.cause}"


def attested(session: Session, participant_ids: Sequence[UUID], *, accrual_id: UUID | None = None) -> list[Attested]:
    """What the acts of these people brought, newest first, 100 at most; or one accrual, when it is theirs."""
    query = (
        select(Accrual, Mission, col(Sponsor.name), col(Beneficiary.name))
        .join(LedgerName, col(LedgerName.surrogate) == Accrual.surrogate)
        .join(Pledge, col(Pledge.id) == Accrual.pledge_id)
        .join(Mission, col(Mission.id) == Pledge.mission_id)
        .join(Sponsor, col(Sponsor.id) == Pledge.sponsor_id)
        .join(Beneficiary, col(Beneficiary.id) == Accrual.beneficiary_id)
        .where(col(LedgerName.participant_id).in_(participant_ids))
    )
    if accrual_id is not None:
        query = query.where(col(Accrual.id) == accrual_id)
    query = query.order_by(col(Accrual.accrued_at).desc(), col(Accrual.id).desc()).limit(OWN_SHOWN)
    rows = session.execute(query).all()
    found = _lines(session, [accrual.id for accrual, *_ in rows])
    return [
        Attested(accrual, mission, sponsor, cause, *found.get(accrual.id, (None, "", None)))
        for accrual, mission, sponsor, cause in rows
    ]


def _lines(session: Session, accrual_ids: Sequence[UUID]) -> dict[UUID, tuple[int | None, str, int | None]]:
    """The line of each posting with its hash, and the line that took it back."""
    query = (
        select(col(Transfer.subject_id), col(Transfer.reverses), col(LedgerLine.number), col(LedgerLine.hash))
        .join(LedgerLine, col(LedgerLine.transfer_id) == Transfer.id)
        .where(col(Transfer.subject_id).in_(accrual_ids), col(Transfer.code) == Code.POSTING.value)
        .order_by(col(LedgerLine.number))
    )
    found: dict[UUID, tuple[int | None, str, int | None]] = {}
    for accrual_id, reverses, number, line_hash in session.execute(query):
        first, hash, _ = found.get(accrual_id, (None, "", None))
        found[accrual_id] = (number, line_hash, None) if reverses is None else (first, hash, number)
    return found
