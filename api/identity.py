"""The organisation behind a key: what it says of itself for the law, and the hosts its codes may lead to."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field, field_validator

from api import schemas
from api.dependencies import Core, Now, ReadSession, Session
from api.etags import Tagged
from api.policies import Actor, may
from campaigns import identity, ids, tokens
from campaigns.identity import LegalData, Organisation, Right
from campaigns.identity.legal_data import Hosting
from campaigns.tokens.addresses import MOST_HOSTS, Limits, verified_hosts
from campaigns.tokens.notices import require_printable

router = APIRouter(prefix="/v1/organisation", tags=["organisation"])


class OrganisationPatch(LegalData):
    """JSON merge patch: null takes a field of the legal data away."""

    launch_needs_approval: Annotated[bool | None, schemas.Kept] = Field(
        None, description="a launch waits for a member other than who proposed it"
    )
    verified_hosts: Annotated[list[str] | None, schemas.Kept] = Field(
        None,
        max_length=MOST_HOSTS,
        description="hosts that codes may lead to; `*.example.com`: its sub-domains. None: any http or https URL",
    )

    @field_validator(*LegalData.model_fields, mode="before")
    @classmethod
    def _clean(cls, value: Any) -> Any:
        return schemas.clean_tree(value)


class OrganisationRead(BaseModel):
    """The brand a key acts for. `missing_legal_data` are the fields its legal pages cannot do without."""

    id: str
    name: str
    verified_hosts: list[str]
    launch_needs_approval: bool
    is_test: bool
    legal_name: str | None
    legal_form: str | None
    address: str | None
    registration: str | None
    publication_director: str | None
    contact_email: str | None
    contact_phone: str | None
    privacy_contact: str | None
    hosting: Hosting | None
    mandatory_notice: str | dict[str, str] | None
    missing_legal_data: list[str]


def show(organisation: Organisation) -> OrganisationRead:
    notice = organisation.mandatory_notice
    legal = organisation.model_dump(include=set(LegalData.model_fields) - {"mandatory_notice"})
    return OrganisationRead(
        id=ids.show("org", organisation.id),
        name=organisation.name,
        verified_hosts=organisation.verified_hosts or [],
        mandatory_notice=notice.get("", notice) if notice else None,
        missing_legal_data=organisation.missing_legal_data,
        launch_needs_approval=organisation.launch_needs_approval,
        is_test=organisation.test_of_id is not None,
        **legal,
    )


@router.get("", dependencies=[may(Right.ORGANISATION_READ)], response_model=OrganisationRead)
def read_organisation(actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """The organisation of this key."""
    return tags.read(show(identity.organisation_by_id(session, actor.organisation_id)))


@router.patch("", dependencies=[may(Right.ORGANISATION_WRITE)])
def change_organisation(
    body: OrganisationPatch, actor: Actor, session: Session, core: Core, now: Now, tags: Tagged
) -> OrganisationRead:
    """Change what the legal pages say, which hosts codes may lead to, and whether a launch needs approval.

    `/legal`, `/privacy` and `/m/{mission}/rules` are made from it and keep their versions; `mandatory_notice` stands on
    every shopper page and sheet. 422 where the notice has letters that paper cannot show. Destinations are limited to
    the verified hosts from then on: 409 (`hosts_in_use`) with those that lead elsewhere already, which would stop
    working on printed codes. 412 when `If-Match` names another state of it.
    """
    legal = body.stored()
    require_printable(legal.get("mandatory_notice"))
    organisation = identity.organisation_by_id(session, actor.organisation_id, lock=True)
    tags.require(session, organisation, show)
    if body.verified_hosts is not None:
        hosts = verified_hosts(body.verified_hosts)
        tokens.require_all_within(session, organisation.id, Limits(tuple(hosts), core.settings.base_url))
        identity.verify_hosts(session, organisation, hosts)
    if body.launch_needs_approval is not None:
        identity.change_organisation(session, organisation, launch_needs_approval=body.launch_needs_approval)
    if legal:
        identity.describe(session, organisation, now=now, **legal)
    return tags.changed(show(organisation))
