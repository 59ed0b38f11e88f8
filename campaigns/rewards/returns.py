"""The return rate: how many coupons of people who act online come back to a shop; the mirror of the bridge rate."""

from uuid import UUID

from sqlmodel import Session

from campaigns import missions

RETURN_FORMULA = "return_rate/1"  # coupons redeemed in a shop / coupons issued, to people who had acted online


def return_rate(session: Session, campaign_id: UUID) -> float | None:
    """Coupons redeemed / coupons issued to people who had acted online in the campaign, 0 to 1, since its launch.

    A rolled back use is none, a revoked coupon was never issued. Read from the totals of the campaign's missions. None
    while no coupon was issued to anybody who had acted online.
    """
    issued = redeemed = 0
    for mission in missions.list_missions(session, campaign_id):
        totals = missions.counters(session, mission.id)
        issued += totals.get("online_coupons_issued", 0)
        redeemed += totals.get("online_coupons_redeemed", 0)
    return round(redeemed / issued, 4) if issued else None
