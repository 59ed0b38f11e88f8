"""The organisation behind a key, and the hosts its codes may lead to."""

from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api import schemas
from api.dependencies import Core, ReadSession, Session
from api.etags import Tagged
from api.policies import Actor, may
from campaigns import identity, ids, tokens
from campaigns.identity import Organisation, Right
from campaigns.tokens.addresses import MOST_HOSTS, Limits, verified_hosts

router = APIRouter(prefix="/v1/organisation", tags=["organisation"])


class OrganisationPatch(schemas.Request):
    """JSON merge patch."""

    launch_needs_approval: Annotated[bool | None, schemas.Kept] = Field(
        None, description="a launch waits for a member other than who proposed it"
    )
    verified_hosts: Annotated[list[str] | None, schemas.Kept] = Field(
        None,
        max_length=MOST_HOSTS,
        description="hosts that codes may lead to; `*.example.com`: its sub-domains. None: any http or https URL",
    )


class OrganisationRead(BaseModel):
    """The brand a key acts for."""

    id: str
    name: str
    verified_hosts: list[str]
    launch_needs_approval: bool
    is_test: bool


def show(organisation: Organisation) -> OrganisationRead:
    hosts = organisation.verified_hosts or []
    return OrganisationRead(
        id=ids.show("org", organisation.id),
        name=organisation.name,
        verified_hosts=hosts,
        launch_needs_approval=organisation.launch_needs_approval,
        is_test=organisation.test_of_id is not None,
    )


@router.get("", dependencies=[may(Right.ORGANISATION_READ)], response_model=OrganisationRead)
def read_organisation(actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """The organisation of this key."""
    return tags.read(show(identity.organisation_by_id(session, actor.organisation_id)))


@router.patch("", dependencies=[may(Right.ORGANISATION_WRITE)])
def change_organisation(
    body: OrganisationPatch, actor: Actor, session: Session, core: Core, tags: Tagged
) -> OrganisationRead:
    """Name the hosts that codes may lead to, and nowhere else from then on; let launches need approval.

    409 (`hosts_in_use`) with the destinations that lead elsewhere already: they would stop working on printed codes.
    412 when `If-Match` names another state of it.
    """
    organisation = identity.organisation_by_id(session, actor.organisation_id, lock=True)
    tags.require(session, organisation, show)
    if body.verified_hosts is not None:
        hosts = verified_hosts(body.verified_hosts)
        tokens.require_all_within(session, organisation.id, Limits(tuple(hosts), core.settings.base_url))
        identity.verify_hosts(session, organisation, hosts)
    if body.launch_needs_approval is not None:
        identity.change_organisation(session, organisation, launch_needs_approval=body.launch_needs_approval)
    return tags.changed(show(organisation))
