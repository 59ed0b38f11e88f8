"""The organisation behind a key."""

from typing import Any

from fastapi import APIRouter
from pydantic import BaseModel

from api.dependencies import Actor, ReadSession
from api.etags import Tagged
from campaigns import identity, ids
from campaigns.identity import Organisation

router = APIRouter(prefix="/v1/organisation", tags=["organisation"])


class OrganisationRead(BaseModel):
    """The brand a key acts for."""

    id: str
    name: str


def show(organisation: Organisation) -> OrganisationRead:
    return OrganisationRead(id=ids.show("org", organisation.id), name=organisation.name)


@router.get("", response_model=OrganisationRead)
def read_organisation(actor: Actor, session: ReadSession, tags: Tagged) -> Any:
    """The organisation of this key."""
    return tags.read(show(identity.organisation_by_id(session, actor.organisation_id)))
