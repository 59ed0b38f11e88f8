"""What endpoints ask for: the Annotated aliases and the services one server process shares."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import Depends, Request
from sqlmodel import Session as DbSession

from api.activity import Activity
from api.mail import Postman
from api.pages.render import Renderer
from api.rules_in_force import RulesInForce
from campaigns import identity
from campaigns.audit import Author, AuthorKind
from campaigns.errors import Forbidden, NotFound
from campaigns.identity import ApiKey, Right
from campaigns.letters.sending import Mailer
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
    pin_key: bytes
    activity: Activity
    screens: Screens
    postman: Postman | None
    mailer: Mailer | None
    rules: RulesInForce
    erasures: ErasureLog
    clock: Callable[[], datetime]


@dataclass(frozen=True)
class Acting:
    """Who acts: the organisation of the key, the key, and what it may do. Never read from a body."""

    organisation_id: UUID
    key: ApiKey
    rights: frozenset[Right]
    place_ids: frozenset[UUID] | None

    @property
    def key_id(self) -> UUID:
        return self.key.id

    @property
    def author(self) -> Author:
        return Author(AuthorKind.KEY, self.key.id)

    def require_place(self, place_id: UUID | None, what: str = "place") -> None:
        """NotFound for a place that a key bound to others asks for, and for a thing of such a place or of none."""
        if self.place_ids is not None and place_id not in self.place_ids:
            raise NotFound(f"There is no such {what}.")


# A plain function would be sent to a thread and back for each request.
async def get_services(request: Request) -> Services:
    services: Services = request.app.state.services
    return services


Core = Annotated[Services, Depends(get_services)]


def open_session(request: Request, core: Core) -> Iterator[DbSession]:
    with core.database.transaction(author=lambda: getattr(request.state, "author", None)) as session:
        yield session


def open_snapshot(core: Core) -> Iterator[DbSession]:
    with core.database.snapshot() as session:
        yield session


# With FastAPI's default scope the commit would run after the answer, and one that fails would still say 200.
Session = Annotated[DbSession, Depends(open_session, scope="function")]
ReadSession = Annotated[DbSession, Depends(open_snapshot, scope="function")]


async def read_now(core: Core) -> datetime:
    return core.clock()


Now = Annotated[datetime, Depends(read_now)]


def authenticate(request: Request, core: Services, session: DbSession) -> Acting:
    """Who sends a request, by its bearer key. Forbidden (401) without a live one. Notes who acts, for the audit log."""
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not key:
        raise Forbidden("Send `Authorization: Bearer psr_live_...`.", code="unauthenticated")
    now = core.clock()
    found = identity.key_by_secret(session, key.strip(), now=now)
    if identity.is_use_due(found, now):
        core.activity.note(lambda session: identity.note_use(session, found.id, now=now))
    acting = Acting(found.organisation_id, found, found.rights, found.places)
    request.state.acting, request.state.author = acting, acting.author
    return acting
