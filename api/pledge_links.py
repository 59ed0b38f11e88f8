"""One-time links on their way to sponsors and beneficiaries: shown to who asked, once, who sends them."""

from datetime import datetime

from pydantic import BaseModel

from api.dependencies import Services
from campaigns import ids
from campaigns.sealing import new_secret
from campaigns.sponsorship import PledgeLink
from campaigns.tokens import qr

SIGNATURES, ACCEPTANCES = "signatures", "acceptances"  # where the two kinds of link lead


class PledgeLinkRead(BaseModel):
    """A one-time link, without its secret: for a sponsor to sign a pledge, or for a beneficiary to accept."""

    id: str
    pledge_id: str | None
    beneficiary_id: str | None
    is_good: bool
    created_at: datetime
    expires_at: datetime
    used_at: datetime | None
    revoked_at: datetime | None


class PledgeLinkMade(PledgeLinkRead):
    """A new link, whose address is shown once, and as a QR code: you send it."""

    url: str
    qr_svg: str


def show_link(link: PledgeLink, now: datetime) -> PledgeLinkRead:
    return PledgeLinkRead(
        id=ids.show("plk", link.id),
        pledge_id=ids.show("pld", link.pledge_id) if link.pledge_id else None,
        beneficiary_id=ids.show("ben", link.beneficiary_id) if link.beneficiary_id else None,
        is_good=link.is_good(now),
        **link.model_dump(include={"created_at", "expires_at", "used_at", "revoked_at"}),
    )


def url_of(core: Services, path: str, secret: str) -> str:
    """The address that a link's secret makes."""
    return f"{core.settings.base_url}/{path}/{secret}"


def new_link(core: Services, path: str) -> tuple[str, str, str]:
    """A secret, its address and its QR code: drawn before the transaction begins."""
    secret = new_secret()
    url = url_of(core, path, secret)
    return secret, url, qr.svg(url, error_correction=qr.ErrorCorrection.M, module_px=6).decode()
