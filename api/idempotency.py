"""`Idempotency-Key` on every POST and PUT of the API: the same key and body gets the stored answer for 24 hours."""

from uuid import UUID

from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import problems
from api.dependencies import Services
from api.edge import again, refuse, whole
from campaigns import idempotency, identity
from campaigns.errors import CampaignError, Invalid
from campaigns.idempotency import IdempotentAnswer

KEY_LIMIT = 200  # characters


class Idempotency:
    """Claims the key, runs the request once, keeps what it answered. Answers of 500 and above are not kept."""

    def __init__(self, app: ASGIApp, services: Services) -> None:
        self._app = app
        self._services = services

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = dict(scope.get("headers", ()))
        key = headers.get(b"idempotency-key")
        if key is None or scope["type"] != "http" or scope["method"] not in ("POST", "PUT"):
            await self._app(scope, receive, send)
            return
        if not scope["path"].startswith("/v1/"):
            await self._app(scope, receive, send)
            return
        body = await whole(receive)
        if body is None:  # a cut upload claims nothing: the whole request may come again
            return
        bearer = headers.get(b"authorization", b"").decode("latin-1").partition(" ")[2].strip()
        try:
            if not 0 < len(key) <= KEY_LIMIT or not key.isascii():
                raise Invalid("An Idempotency-Key has 1 to 200 ASCII characters.")
            claim = await run_in_threadpool(self._claim, bearer, key.decode(), scope, body)
        except CampaignError as error:
            if error.code == "unauthenticated":  # the endpoint itself says so, with its headers
                await self._app(scope, again(body, receive), send)
            else:
                await refuse(send, problems.status_of(error), error.code, error.detail, scope["path"])
            return
        except problems.STORAGE_FAULTS as error:
            if not problems.is_passing(error):
                raise
            detail = problems.PROBLEMS["storage_unavailable"][1]
            await refuse(send, 503, "storage_unavailable", detail, scope["path"], [(b"retry-after", b"5")])
            return
        organisation_id, kept = claim
        if kept is not None:
            await _replay(send, kept, self._services.keyring.open_answer(kept.body or b""))
            return
        answer = _Recorder()
        try:
            await self._app(scope, again(body, receive), answer)
        finally:
            await run_in_threadpool(self._keep, organisation_id, key.decode(), answer)
            for message in answer.messages:
                await send(message)

    def _claim(self, bearer: str, key: str, scope: Scope, body: bytes) -> tuple[UUID, IdempotentAnswer | None]:
        with self._services.database.snapshot() as session:
            caller = identity.key_by_secret(session, bearer, now=self._services.clock())
        path = scope["path"] + "?" + scope["query_string"].decode("latin-1")
        # Its own: what an owner's key was answered is not for a key of the same organisation that may do less.
        print_ = idempotency.fingerprint(scope["method"], path, body, caller.id)
        with self._services.database.transaction() as session:
            kept = idempotency.begin(session, caller.organisation_id, key, print_, now=self._services.clock())
        return caller.organisation_id, kept

    def _keep(self, organisation_id: UUID, key: str, answer: "_Recorder") -> None:
        with self._services.database.transaction() as session:
            if answer.status == 0 or answer.status >= 500:
                idempotency.abandon(session, organisation_id, key)
                return
            idempotency.finish(
                session,
                organisation_id,
                key,
                status=answer.status,
                body=self._services.keyring.seal_answer(answer.body),  # some answers show a secret once
                content_type=answer.header(b"content-type"),
                location=answer.header(b"location"),
            )


class _Recorder:
    """Holds an answer back until it is kept: whoever has it may send the request again at once."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self._headers: dict[bytes, bytes] = {}
        self.status = 0
        self.body = b""

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._headers = dict(message["headers"])
        else:
            self.body += message.get("body", b"")
        self.messages.append(message)

    def header(self, name: bytes) -> str | None:
        value = self._headers.get(name)
        return value.decode("latin-1") if value else None


async def _replay(send: Send, kept: IdempotentAnswer, body: bytes) -> None:
    headers = [
        (b"content-length", str(len(body)).encode()),
        (b"idempotency-replayed", b"true"),
    ]
    if kept.content_type:
        headers.append((b"content-type", kept.content_type.encode("latin-1")))
    if kept.location:
        headers.append((b"location", kept.location.encode("latin-1")))
    await send({"type": "http.response.start", "status": kept.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
