"""The organisation behind a key."""

from fastapi import APIRouter
from pydantic import BaseModel

from api.dependencies import Actor, ReadSession
from campaigns import identity, ids
from campaigns.identity import Organisation

router = APIRouter(prefix="/v1/organisation", tags=["organisation"])


class OrganisationRead(BaseModel):
    """The brand a key acts for."""

    id: str
    name: str


def show(organisation: Organisation) -> OrganisationRead:
    return OrganisationRead(id=ids.show("org", organisation.id), name=organisation.name)


@router.get("")
def read_organisation(actor: Actor, session: ReadSession) -> OrganisationRead:
    """The organisation of this key."""
    return show(identity.organisation_by_id(session, actor.organisation_id))
