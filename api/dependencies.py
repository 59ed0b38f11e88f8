"""What endpoints ask for: the Annotated aliases and the services one server process shares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlmodel import Session as DbSession

from api.pages.render import Renderer
from campaigns import identity
from campaigns.errors import Forbidden
from campaigns.places.network import NetworkMap
from campaigns.places.service import Geocode
from campaigns.privacy import ErasureLog
from campaigns.scans import ReceiptBook
from campaigns.sealing import Keyring
from campaigns.settings import Settings
from campaigns.storage import Database
from campaigns.tokens.directory import Directory
from campaigns.tokens.gallery import Gallery
from campaigns.tokens.screens import Screens
from campaigns.tokens.workshop import Workshop


@dataclass(frozen=True)
class Services:
    """What every request of this process shares. Made by `create_app`."""

    settings: Settings
    database: Database
    keyring: Keyring
    receipts: ReceiptBook
    directory: Directory
    gallery: Gallery
    workshop: Workshop
    renderer: Renderer
    geocode: Geocode | None
    network: NetworkMap
    till_key: bytes
    live_key: bytes
    screens: Screens
    erasures: ErasureLog
    clock: Callable[[], datetime]


@dataclass(frozen=True)
class Acting:
    """Who acts: the organisation of the key, and the key. Never read from a body."""

    organisation_id: UUID
    key_id: UUID


def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Core = Annotated[Services, Depends(get_services)]


def open_session(core: Core) -> Iterator[DbSession]:
    with core.database.transaction() as session:
        yield session


def open_snapshot(core: Core) -> Iterator[DbSession]:
    with core.database.snapshot() as session:
        yield session


# With FastAPI's default scope the commit would run after the answer, and one that fails would still say 200.
Session = Annotated[DbSession, Depends(open_session, scope="function")]
ReadSession = Annotated[DbSession, Depends(open_snapshot, scope="function")]


def read_now(core: Core) -> datetime:
    return core.clock()


Now = Annotated[datetime, Depends(read_now)]


def authenticate(request: Request, core: Core) -> Acting:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Forbidden("Send `Authorization: Bearer psr_live_...`.", code="unauthenticated")
    with core.database.snapshot() as session:
        found = identity.key_by_secret(session, key.strip())
        return Acting(found.organisation_id, found.id)


Actor = Annotated[Acting, Depends(authenticate)]
