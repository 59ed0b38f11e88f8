"""Who may use a route. Every route names one policy; a route without one stops the start.

`may(Right.X)` asks for a key whose role and scopes have the right. `PUBLIC` is for everybody, `STAFF` for a shop's
phone that is signed in, `MEMBER` for a member signed in to the console: their routes read the cookie themselves.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.params import Depends as DependsParam
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from sqlmodel import Session as DbSession
from starlette.routing import BaseRoute

from api.dependencies import Acting, Core, Services, authenticate
from campaigns.errors import Forbidden
from campaigns.identity import Right

_DESCRIPTION = "/openapi.json"  # the framework's own route, for everybody


@dataclass(frozen=True)
class Open:
    """A policy that asks for no key: for everybody, or for whom the route itself asks after their cookie."""

    whom: str

    async def __call__(self) -> None:
        """Nothing to ask."""


@dataclass(frozen=True)
class May:
    """A policy that asks a key for a right. `placed`: the route itself keeps a key to its places."""

    right: Right
    placed: bool = False

    @property
    def whom(self) -> str:
        return self.right.value

    def __call__(self, request: Request, core: Core) -> None:
        """Forbidden for a key without the right, or one bound to places where the route does not know places."""
        with core.database.snapshot() as session:
            self.ask(request, core, session)

    def ask(self, request: Request, core: Services, session: DbSession) -> Acting:
        """The same in a session that is open; who acts."""
        acting = authenticate(request, core, session)
        if self.right not in acting.rights:
            raise Forbidden(f"This key may not do that: it needs the right {self.right}.", code="right_missing")
        if acting.place_ids is not None and not self.placed:
            raise Forbidden("This key is bound to places, and this is not of one place.", code="right_missing")
        return acting


async def acting_of(request: Request) -> Acting:
    """Who acts, as the policy of the route found."""
    found: Acting = request.state.acting
    return found


def may(right: Right, *, placed: bool = False) -> Any:
    """The policy of a route that asks a key for a right."""
    return Depends(May(right, placed))


PUBLIC: Any = Depends(Open("everybody"))
STAFF: Any = Depends(Open("a shop's phone"))
MEMBER: Any = Depends(Open("a member"))

Actor = Annotated[Acting, Depends(acting_of)]


def policy_of(route: RouteContext) -> Open | May:
    """The one policy of a route. RuntimeError, which stops the start, for none and for two."""
    named = [one.dependency for one in route.dependencies if isinstance(one, DependsParam)]
    found = [one for one in named if isinstance(one, Open | May)]
    if len(found) != 1:
        raise RuntimeError(f"{sorted(route.methods or ())} {route.path} names {len(found)} policies, and needs one")
    return found[0]


def name_policies(routes: Iterable[BaseRoute]) -> None:
    """Ask every route for its policy, and write it into the API's description."""
    for route in each_route(routes):
        own = route.original_route
        if isinstance(own, APIRoute):
            own.openapi_extra = {**(own.openapi_extra or {}), "x-policy": policy_of(route).whom}


def each_route(routes: Iterable[BaseRoute]) -> Iterator[RouteContext]:
    """Every route, those of included routers too. RuntimeError for a kind of route that can name no policy."""
    for route in iter_route_contexts(list(routes)):
        if isinstance(route.original_route, APIRoute):
            yield route
        elif route.path != _DESCRIPTION:
            raise RuntimeError(f"{route.path} is no route of FastAPI's, and can name no policy")
