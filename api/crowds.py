"""Acts of a crowd, and uses at tills, given to their endpoints past the framework's routing and dependencies.

FastAPI takes 0.6 ms of a request to find a route among three hundred and to solve what it depends on, a third of what
an act costs; here a path is matched and the endpoint called. The routes stay where they are: they name the policies and
write the API's description, and what is not matched here takes the way through them.
"""

import json
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastapi import FastAPI, Request, Response
from fastapi.routing import RouteContext
from pydantic import BaseModel
from sqlmodel import Session
from starlette.concurrency import run_in_threadpool
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from api.dependencies import Acting, Services
from api.edge import again, whole
from api.policies import PUBLIC, May, each_route, policy_of

LONGEST_NAME = 80  # of a code or a mission in a path; a longer one is the framework's to refuse
# An endpoint that asks for the request, the services, and the one name in its path.
Endpoint = Callable[[Request, Services, str], Awaitable[Response]]


class Keyed(NamedTuple):
    """A key's act at a path without a name: the endpoint of its route, the form of its body, and what does it at once.

    `act` runs in a thread, and asks in its own transaction who acts and whether they may. A body that is not plainly of
    this form, and a request with an `Idempotency-Key`, take the way through the framework.
    """

    endpoint: Callable[..., Any]
    form: type[BaseModel]
    act: Callable[[Services, Any, Callable[[Session], Acting]], Response]

    def read(self, scope: Scope, body: bytes) -> BaseModel | None:
        """What was sent; None where the framework shall say what is wrong with it."""
        headers = dict(scope["headers"])
        if headers.get(b"content-type") != b"application/json" or b"idempotency-key" in headers:
            return None
        try:
            return self.form.model_validate(json.loads(body))
        except (ValueError, RecursionError):
            return None


class Act(NamedTuple):
    """A path of one name, `before` + name + `after`, and its endpoint."""

    before: str
    after: str
    parameter: str
    endpoint: Endpoint

    def name_in(self, path: str) -> str | None:
        """The name in a path of this act; None in another's."""
        if not (path.startswith(self.before) and path.endswith(self.after)):
            return None
        name = path[len(self.before) : -len(self.after)]
        return name if 0 < len(name) <= LONGEST_NAME and "/" not in name else None


class Crowds:
    """Calls the endpoint of an act of a crowd; everything else goes on to the application."""

    def __init__(
        self,
        app: ASGIApp,
        inner: FastAPI,
        services: Services,
        endpoints: Sequence[Endpoint],
        keyed: Sequence[Keyed] = (),
    ) -> None:
        self._app = app
        self._inner = inner
        self._services = services
        self._acts = [_act_of(route) for route in each_route(inner.routes) if route.endpoint in endpoints]
        self._keyed = dict(_ways_of(each_route(inner.routes), keyed))
        refusals: Any = {kind: how for kind, how in inner.exception_handlers.items() if kind is not Exception}
        self._act = ExceptionMiddleware(self._call, refusals)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["method"] == "POST":
            for act in self._acts:
                name = act.name_in(scope["path"])
                if name is not None:
                    found = {"app": self._inner, "endpoint": act.endpoint, "path_params": {act.parameter: name}}
                    await self._act({**scope, **found}, receive, send)
                    return
            way = self._keyed.get(scope["path"])
            if way is not None:
                await self._at_once(*way, scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _at_once(self, one: Keyed, policy: May, scope: Scope, receive: Receive, send: Send) -> None:
        body = await whole(receive)
        if body is None:  # the client left before the end of its request
            return
        given = one.read(scope, body)
        if given is None:
            await self._app(scope, again(body, receive), send)
            return

        async def endpoint(request: Request, services: Services) -> Response:
            return await run_in_threadpool(one.act, services, given, partial(policy.ask, request, services))

        await self._act({**scope, "app": self._inner, "endpoint": endpoint, "path_params": {}}, receive, send)

    async def _call(self, scope: Scope, receive: Receive, send: Send) -> None:
        names = scope["path_params"].values()
        answer = await scope["endpoint"](Request(scope, receive, send), self._services, *names)
        await answer(scope, receive, send)


def _ways_of(routes: Iterable[RouteContext], keyed: Sequence[Keyed]) -> Iterator[tuple[str, tuple[Keyed, May]]]:
    """The act and the policy of each path of these. RuntimeError, which stops the start, for one that asks no key."""
    for route in routes:
        for one in keyed:
            if route.endpoint is one.endpoint:
                policy = policy_of(route)
                if not isinstance(policy, May):
                    raise RuntimeError(f"{route.path} asks no key for a right")
                yield str(route.path), (one, policy)


def _act_of(route: Any) -> Act:
    """The act of a route. RuntimeError, which stops the start, for one that is not for everybody."""
    if policy_of(route) is not PUBLIC.dependency:
        raise RuntimeError(f"{route.path} is not for everybody: it takes the way through the framework")
    before, _, rest = route.path.partition("{")
    parameter, _, after = rest.partition("}")
    return Act(before, after, parameter, route.endpoint)
