"""Sponsors, beneficiaries, and the one-time links that are sent to them."""

from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import AfterValidator, BaseModel, Field
from starlette.responses import Response

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.etags import Tagged
from api.pagination import Cursor, Limit, Page, before, page
from api.pledge_links import ACCEPTANCES, PledgeLinkMade, new_link, show_link
from api.policies import Actor, may
from campaigns import ids, sponsorship
from campaigns.identity import Right
from campaigns.sponsorship import Beneficiary, Sponsor

router = APIRouter(prefix="/v1", tags=["sponsorship"])


def _web(url: str) -> str:
    if not url.startswith(("https://", "http://")) or any(one in url for one in " \t\n@"):
        raise ValueError("an address begins with https:// or http://, and names no user")
    return url


Url = Annotated[str, Field(min_length=8, max_length=500), AfterValidator(schemas.clean), AfterValidator(_web)]
LegalId = Annotated[str, Field(min_length=1, max_length=60), AfterValidator(schemas.clean)]


class SponsorCreate(schemas.Request):
    """Who gives."""

    name: schemas.Name
    legal_id: LegalId | None = Field(None, description="SIREN, VAT number or the like")
    url: Url | None = None
    external_id: schemas.ExternalId | None = None


class SponsorPatch(schemas.Request):
    """JSON merge patch. Name and legal id stay once a pledge is signed."""

    name: Annotated[schemas.Name | None, schemas.Kept] = None
    legal_id: LegalId | None = None
    url: Url | None = None


class BeneficiaryCreate(schemas.Request):
    """Who receives. It accepts the use of its name, by its one-time link, before a pledge to it is active."""

    name: schemas.Name
    legal_id: LegalId = Field(description="RNA, SIREN or the like")
    url: Url | None = None
    external_id: schemas.ExternalId | None = None


class BeneficiaryPatch(schemas.Request):
    """JSON merge patch. Name and legal id stay once it accepted, or a pledge that names it is signed."""

    name: Annotated[schemas.Name | None, schemas.Kept] = None
    legal_id: Annotated[LegalId | None, schemas.Kept] = None
    url: Url | None = None


class SponsorRead(BaseModel):
    """A sponsor as stored."""

    id: str
    external_id: str | None
    name: str
    legal_id: str | None
    url: str | None
    created_at: datetime


class BeneficiaryRead(SponsorRead):
    """A beneficiary as stored; `accepted_by` is the name that was typed."""

    accepted_at: datetime | None
    accepted_by: str | None


def show_sponsor(party: Sponsor) -> SponsorRead:
    return SponsorRead(
        id=ids.show("spo", party.id),
        **party.model_dump(include={"external_id", "name", "legal_id", "url", "created_at"}),
    )


def show_beneficiary(party: Beneficiary) -> BeneficiaryRead:
    named = {"external_id", "name", "legal_id", "url", "created_at", "accepted_at", "accepted_by"}
    return BeneficiaryRead(id=ids.show("ben", party.id), **party.model_dump(include=named))


@router.post("/sponsors", dependencies=[may(Right.PLEDGES_WRITE)], status_code=201)
def register_sponsor(body: SponsorCreate, actor: Actor, session: Session, now: Now) -> SponsorRead:
    """Register a sponsor. 409 for an `external_id` already used."""
    return show_sponsor(sponsorship.register(session, Sponsor, actor.organisation_id, now=now, **body.model_dump()))


@router.get("/sponsors", dependencies=[may(Right.PLEDGES_READ)])
def list_sponsors(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Sponsors of the organisation, newest first."""
    asked: Any = {"before": before(cursor), "limit": limit + 1}
    rows = sponsorship.list_parties(session, Sponsor, actor.organisation_id, **asked)
    return page(rows, limit, show_sponsor, lambda one: one.id)


@router.get("/sponsors/{sponsor_id}", dependencies=[may(Right.PLEDGES_READ)], response_model=SponsorRead)
def read_sponsor(sponsor_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One sponsor, by id or `ext_<external_id>`."""
    return tags.read(show_sponsor(sponsorship.party_by_name(session, Sponsor, actor.organisation_id, sponsor_id)))


@router.patch("/sponsors/{sponsor_id}", dependencies=[may(Right.PLEDGES_WRITE)], response_model=SponsorRead)
def change_sponsor(sponsor_id: str, body: SponsorPatch, actor: Actor, session: Session, now: Now, tags: Tagged) -> Any:
    """Change a sponsor. 409 `terms_frozen` for the name or legal id of one that signed a pledge."""
    found = sponsorship.party_by_name(session, Sponsor, actor.organisation_id, sponsor_id, lock=True)
    tags.require(session, found, show_sponsor)
    changed = sponsorship.change_party(session, found, now=now, **body.model_dump(exclude_unset=True))
    return tags.changed(show_sponsor(changed))


@router.post("/beneficiaries", dependencies=[may(Right.PLEDGES_WRITE)], status_code=201)
def register_beneficiary(body: BeneficiaryCreate, actor: Actor, session: Session, now: Now) -> BeneficiaryRead:
    """Register a beneficiary. 409 for an `external_id` already used."""
    made = sponsorship.register(session, Beneficiary, actor.organisation_id, now=now, **body.model_dump())
    return show_beneficiary(made)


@router.get("/beneficiaries", dependencies=[may(Right.PLEDGES_READ)])
def list_beneficiaries(actor: Actor, session: ReadSession, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """Beneficiaries of the organisation, newest first."""
    asked: Any = {"before": before(cursor), "limit": limit + 1}
    rows = sponsorship.list_parties(session, Beneficiary, actor.organisation_id, **asked)
    return page(rows, limit, show_beneficiary, lambda one: one.id)


@router.get("/beneficiaries/{beneficiary_id}", dependencies=[may(Right.PLEDGES_READ)], response_model=BeneficiaryRead)
def read_beneficiary(beneficiary_id: str, actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """One beneficiary, by id or `ext_<external_id>`."""
    found = sponsorship.party_by_name(session, Beneficiary, actor.organisation_id, beneficiary_id)
    return tags.read(show_beneficiary(found))


@router.patch(
    "/beneficiaries/{beneficiary_id}", dependencies=[may(Right.PLEDGES_WRITE)], response_model=BeneficiaryRead
)
def change_beneficiary(
    beneficiary_id: str, body: BeneficiaryPatch, actor: Actor, session: Session, now: Now, tags: Tagged
) -> Any:
    """Change a beneficiary. 409 `terms_frozen` for the name or legal id of one that accepted, or is in signed terms."""
    found = sponsorship.party_by_name(session, Beneficiary, actor.organisation_id, beneficiary_id, lock=True)
    tags.require(session, found, show_beneficiary)
    changed = sponsorship.change_party(session, found, now=now, **body.model_dump(exclude_unset=True))
    return tags.changed(show_beneficiary(changed))


@router.post("/beneficiaries/{beneficiary_id}/acceptance", dependencies=[may(Right.PLEDGES_WRITE)], status_code=201)
def ask_for_acceptance(beneficiary_id: str, actor: Actor, session: Session, core: Core, now: Now) -> PledgeLinkMade:
    """Make the one-time link by which a beneficiary accepts the use of its name; an earlier one is taken back.

    You send it: it is good once, for 14 days. 409 when it has accepted already.
    """
    secret, url, drawn = new_link(core, ACCEPTANCES)
    found = sponsorship.party_by_name(session, Beneficiary, actor.organisation_id, beneficiary_id, lock=True)
    link, _ = sponsorship.issue_acceptance_link(session, found, secret=secret, now=now)
    return PledgeLinkMade(**show_link(link, now).model_dump(), url=url, qr_svg=drawn)


@router.get("/pledge-links", dependencies=[may(Right.PLEDGES_READ)])
def list_pledge_links(actor: Actor, session: ReadSession, now: Now, limit: Limit = 25, cursor: Cursor = None) -> Page:
    """The links to sponsors and beneficiaries, newest first."""
    rows = sponsorship.list_links(session, actor.organisation_id, before=before(cursor), limit=limit + 1)
    return page(rows, limit, lambda one: show_link(one, now), lambda one: one.id)


@router.post("/pledge-links/{pledge_link_id}/revocation", dependencies=[may(Right.PLEDGES_WRITE)], status_code=204)
def revoke_pledge_link(pledge_link_id: str, actor: Actor, session: Session, now: Now) -> Response:
    """Take a link back. Twice is once; 409 for one that was used."""
    link = sponsorship.link_by_id(session, actor.organisation_id, ids.parse("plk", pledge_link_id))
    sponsorship.revoke_link(session, link, now=now)
    return Response(status_code=204)
