"""What a person's own acts and gifts brought, each with its line in the public ledger: proof for them alone to ask.

The ledger names no person; the way from a person to their lines is their random name in it, which goes at erasure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from campaigns.ids import show
from campaigns.missions import Mission
from campaigns.sponsorship.ledger import Code, Transfer
from campaigns.sponsorship.models import Accrual, Beneficiary, LedgerLine, LedgerName, Pledge, Sponsor

OWN_SHOWN = 100
OwnLine = tuple[int | None, str, int | None]  # number, hash, and the number of the line that took it back
NO_LINE: OwnLine = (None, "", None)
VERSION = "passerelle-attestation-1"


@dataclass(frozen=True)
class Attested:
    """An accrual of a person, or a gift of theirs; `name` is its id as it is shown.

    `state` is an accrual's; a gift is posted at once. `sponsor`: who pays; of a gift the brand whose coupon it was.
    `number` and `hash` of its line once there is one, `taken_back` of what undid that.
    """

    name: str
    mission: Mission
    sponsor: str
    cause: str
    amount_minor: int
    currency: str
    state: str
    day: date
    review_until: datetime | None = None
    is_gift: bool = False
    number: int | None = None
    hash: str = ""
    taken_back: int | None = None

    @property
    def statement(self) -> str:
        """What is attested, in one line: the mission, the line and its hash, the amount and the cause, by tabs."""
        amount = f"{self.amount_minor}\t{self.currency}"
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
    found = lines_for(session, [accrual.id for accrual, *_ in rows], Code.POSTING)
    return [
        Attested(
            show("acr", one.id),
            mission,
            sponsor,
            cause,
            one.amount_minor,
            one.currency,
            one.state,
            one.civil_day,
            one.review_until,
            False,
            *found.get(one.id, NO_LINE),
        )
        for one, mission, sponsor, cause in rows
    ]


def lines_for(session: Session, subject_ids: Sequence[UUID], code: Code) -> dict[UUID, OwnLine]:
    """The line of each posting, or gift, with its hash, and the line that took it back."""
    query = (
        select(col(Transfer.subject_id), col(Transfer.reverses), col(LedgerLine.number), col(LedgerLine.hash))
        .join(LedgerLine, col(LedgerLine.transfer_id) == Transfer.id)
        .where(col(Transfer.subject_id).in_(subject_ids), col(Transfer.code) == code.value)
        .order_by(col(LedgerLine.number))
    )
    found: dict[UUID, OwnLine] = {}
    for subject_id, reverses, number, line_hash in session.execute(query):
        first, hash, _ = found.get(subject_id, NO_LINE)
        found[subject_id] = (number, line_hash, None) if reverses is None else (first, hash, number)
    return found
