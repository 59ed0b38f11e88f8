"""What a person gave to causes by their coupons, each with its line in the public ledger.

A gift names nobody; the way from a person to theirs is the coupon, which is nobody's any more once they are erased.
"""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

from sqlalchemy import func, select
from sqlmodel import Session, col

from campaigns.identity import Organisation
from campaigns.ids import show
from campaigns.missions import Mission
from campaigns.rewards.models import Coupon, Redemption
from campaigns.sponsorship.attestation import NO_LINE, OWN_SHOWN, Attested, lines_for
from campaigns.sponsorship.gifts import ROLLED_BACK
from campaigns.sponsorship.ledger import Code
from campaigns.sponsorship.models import AccrualState, Beneficiary, Gift


def gifts_of(session: Session, participant_ids: Sequence[UUID]) -> Sequence[tuple[Gift, Beneficiary]]:
    """What these people gave, newest first, with the cause."""
    query = select(Gift, Beneficiary).join(Beneficiary, col(Beneficiary.id) == Gift.beneficiary_id)
    rows = session.execute(_theirs(query, participant_ids).order_by(col(Gift.id).desc())).all()
    return [(gift, cause) for gift, cause in rows]


def attested_gifts(session: Session, participant_ids: Sequence[UUID], *, gift_id: UUID | None = None) -> list[Attested]:
    """What these people gave in public, newest first, 100 at most; or one gift, when it is theirs."""
    brand = func.coalesce(func.nullif(col(Organisation.legal_name), ""), col(Organisation.name))
    query = (
        select(Gift, Mission, brand, col(Beneficiary.name), col(Redemption.civil_day))
        .join(Mission, col(Mission.id) == Gift.mission_id)
        .join(Organisation, col(Organisation.id) == Gift.organisation_id)
        .join(Beneficiary, col(Beneficiary.id) == Gift.beneficiary_id)
        .where(func.coalesce(col(Gift.reason), "") != ROLLED_BACK)
    )
    if gift_id is not None:
        query = query.where(col(Gift.id) == gift_id)
    rows = session.execute(_theirs(query, participant_ids).order_by(col(Gift.id).desc()).limit(OWN_SHOWN)).all()
    found = lines_for(session, [gift.id for gift, *_ in rows], Code.GIFT)
    return [
        Attested(
            show("gft", gift.id),
            mission,
            issuer,
            cause,
            gift.amount_minor,
            gift.currency,
            (AccrualState.POSTED if gift.undone_at is None else AccrualState.REVERSED).value,
            day,
            None,
            True,
            *found.get(gift.id, NO_LINE),
        )
        for gift, mission, issuer, cause, day in rows
    ]


def _theirs(query: Any, participant_ids: Sequence[UUID]) -> Any:
    uses = query.join(Redemption, col(Redemption.id) == Gift.id).join(Coupon, col(Coupon.id) == Redemption.coupon_id)
    return uses.where(col(Coupon.participant_id).in_(participant_ids))
