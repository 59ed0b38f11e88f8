"""The hot path: GET /t/{code}, its confirm and its position, as raw ASGI, reached before FastAPI.

A scan is on disk before it is answered. Enrichment never breaks the answer: a printed poster cannot be redeployed.
"""

import asyncio
import json
import logging
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

from sqlalchemy.exc import OperationalError
from starlette.types import Receive, Scope, Send

from api import problems
from api.dependencies import Services
from api.hosted_pages import Aside, HostedPages
from api.onward import Onward, first_language
from api.pages.render import Renderer, act_form, kept_language, language_of
from api.scan_fields import position_of, read_fields, text_of
from campaigns import clock, ids, missions, scans
from campaigns.errors import CampaignError, Conflict, NotFound, StorageAway, TooMany
from campaigns.missions import Mission
from campaigns.places.network import NOWHERE
from campaigns.planning import State
from campaigns.scans import Judgement, Position, Receipt, SealedFix
from campaigns.scans.agents import LONGEST_AGENT, Agent, classify
from campaigns.scans.data_centres import load_networks
from campaigns.scans.group_commit import GroupCommit, LogUnavailable
from campaigns.scans.guessing import Guessing
from campaigns.scans.log import BestFix, Confirmation, PositionFix, Result, ScanRow, Spent
from campaigns.scans.proof import NOTHING, Proof, is_slow, prove
from campaigns.scans.receipt import ACT_LIFE, PRESENCE_LIFE
from campaigns.scans.visitor import VisitorKeys
from campaigns.tokens import codes
from campaigns.tokens.destinations import Routing
from campaigns.tokens.directory import Entry

ASKED_LIMIT = 64  # characters of an unknown code that are kept
LONGEST_LANGUAGES = 200  # characters of Accept-Language that are read
OBJECTIONS = frozenset((b"sec-gpc", b"dnt"))
GUESSING = "Too many unknown codes were asked for from here. Wait a minute, or scan a printed code."
PURPOSES = frozenset((b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"))

Headers = list[tuple[bytes, bytes]]

log = logging.getLogger("passerelle.scan")


class Sighting(NamedTuple):
    """What a visitor is answered about: the scan, what was thought of it, and the presence it proved by itself."""

    scan_hex: str
    visitor_key: int
    judgement: Judgement
    presence: int
    window_back: int = 0


class ScanPath:
    """An ASGI application for `/t/{code}`, `/t/{code}/confirm` and `/t/{code}/position`."""

    def __init__(
        self, core: Services, queue: GroupCommit, visitors: VisitorKeys, pages: HostedPages, renderer: Renderer
    ) -> None:
        self._guessing = Guessing()
        self._data_centres = load_networks(core.settings.datacentre_file)
        self._core = core
        self._queue = queue
        self._visitors = visitors
        self._pages = pages
        self._renderer = renderer
        self._fixed = [(name.lower().encode(), value.encode()) for name, value in renderer.headers.items()]
        self._redirect = lru_cache(4096)(self._redirect_headers)
        self._html: Headers = [*self._fixed, (b"content-type", b"text/html; charset=utf-8")]
        self._gzip: Headers = [*self._html, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        self._onward = Onward(core)
        self._leaving = renderer.leaving_policy.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        code, _, act = scope["path"][3:].partition("/")
        headers = dict(scope["headers"])
        try:
            if act == "" and scope["method"] in ("GET", "HEAD"):
                await self._scan(scope, headers, send, code)
            elif act in ("confirm", "position") and scope["method"] == "POST":
                await self._add(scope, headers, receive, send, code, act)
            elif act in ("", "confirm", "position"):
                allowed = b"GET, HEAD" if act == "" else b"POST"
                await self._refuse(scope, headers, send, 405, "method_not_allowed", extra=[(b"allow", allowed)])
            else:
                await self._refuse(scope, headers, send, 404, "not_found")
        except CampaignError as error:
            extra = [(k.lower().encode(), v.encode()) for k, v in problems.headers_of(error).items()]
            status = problems.status_of(error)
            await self._refuse(scope, headers, send, status, error.code, error.detail, extra=extra, error=error)
        except problems.STORAGE_FAULTS as fault:
            if not problems.is_passing(fault):
                raise
            log.error("the storage refused: %s", type(fault).__name__)
            await self._refuse(scope, headers, send, 503, "storage_unavailable", extra=[(b"retry-after", b"5")])

    async def _scan(self, scope: Scope, headers: dict[bytes, bytes], send: Send, asked: str) -> None:
        now = self._core.clock()
        entry = self._core.directory.find(asked)
        if entry is None:
            entry = await self._find(asked)
        agent_text, agent = _agent(headers.get(b"user-agent", b"")[:LONGEST_AGENT])
        language = _language(scope, headers, entry)
        day = clock.day_of(now)
        if not self._visitors.is_ready(day):
            try:
                await asyncio.to_thread(self._visitors.prepare, day)
            except problems.STORAGE_FAULTS as fault:  # no room for today's salt: none for the scan either
                log.error("the visitor salt could not be kept: %s", type(fault).__name__)
                await self._unavailable(scope, headers, send, language, entry, LogUnavailable())
                return
        client = scope.get("client")
        address = client[0] if client else ""
        objected = not OBJECTIONS.isdisjoint(headers) and _objects(headers)
        campaign = entry.campaign_hex if objected and entry else ""
        visitor_key = self._visitors.key(address, agent_text, campaign)
        located = self._core.network.is_there and not objected
        proof = await self._prove(entry, scope["query_string"], now)
        wait_s = 0 if entry else self._guessing.ask(self._visitors.key(address, ""), asked, now.timestamp())
        row, judgement = scans.sight(
            entry,
            asked="" if entry else _printable(asked),
            agent=agent,
            prefetch=_is_prefetch(headers),
            visitor_key=visitor_key,
            language=language,
            now=now,
            whereabouts=self._core.network.of(address) if located else NOWHERE,
            data_centre=self._data_centres.hold(address),
            enumeration=wait_s > 0,
            objected=objected,
            unproved=proof.unproved,
        )
        stored: Result = None
        if scope["method"] != "HEAD":
            try:
                stored = await self._queue.append(scans.to_store(row, proof))
            except LogUnavailable as error:
                await self._unavailable(scope, headers, send, language, entry, error)
                return
        if wait_s:
            raise TooMany(GUESSING, code="guessing", retry_after_s=wait_s)
        if entry is None:
            await self._refuse(
                scope, headers, send, 404, "unknown_code", "We do not know this code.", language=language
            )
            return
        sighting = _sighting(row, judgement, proof, stored)
        await self._answer(scope, headers, send, entry, row, sighting, now)

    async def _answer(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        send: Send,
        entry: Entry,
        row: ScanRow,
        sighting: Sighting,
        now: datetime,
    ) -> None:
        state = entry.state_at(now)
        destination, aside = entry.destination, None
        if (closed := entry.closed_at(now)) is not None:
            destination, aside = None, Aside(closure=closed, successor=entry.successor)
        elif entry.routing is not None and state is State.LIVE:
            destination, aside = self._lead(entry, entry.routing, scope, headers, row)
        if b"application/json" in headers.get(b"accept", b""):
            body = await asyncio.to_thread(self._as_json, entry, sighting, destination, closed)
            await self._send(scope, send, 200, body, b"application/json")
        elif destination and state is State.LIVE and aside is None:
            await self._send_on(send, entry, destination)
        else:
            try:
                page = await self._pages.page(entry, state, row.language, aside)
            except OperationalError:  # the scan is in the spool; its page was not needed before
                if aside and destination:
                    await self._send_on(send, entry, destination)
                    return
                html = self._renderer.message(row.language, closed or "page_away")
                await self._send(scope, send, 200, html.encode(), b"text/html; charset=utf-8")
                return
            form = b"" if closed else self._form(headers, entry, row, sighting, aside)
            is_gzip = b"gzip" in headers.get(b"accept-encoding", b"")
            fields = self._gzip if is_gzip else self._html
            body = page.gzipped(form) if is_gzip else page.plain(form)
            await self._send_page(scope, send, body, self._letting_go(fields) if aside and not closed else fields)

    async def _send_on(self, send: Send, entry: Entry, destination: str) -> None:
        # With a scan's id in it an address is of one scan alone: not worth remembering.
        made = self._redirect if entry.routing is None else self._redirect_headers
        await send({"type": "http.response.start", "status": 302, "headers": made(destination)})
        await send({"type": "http.response.body", "body": b""})

    def _form(
        self, headers: dict[bytes, bytes], entry: Entry, row: ScanRow, sighting: Sighting, aside: Aside | None
    ) -> bytes:
        kept = _kept_language(row.language, headers.get(b"accept-language", b"")[:LONGEST_LANGUAGES])
        return act_form(entry.code, self._receipt(entry, sighting), kept, "confirm" if aside else "check-in")

    def _lead(
        self, entry: Entry, routing: Routing, scope: Scope, headers: dict[bytes, bytes], row: ScanRow
    ) -> tuple[str | None, Aside | None]:
        language = _first_language(headers, row.language, entry.language)
        is_kept = scope["method"] != "HEAD"
        _, agent = _agent(headers.get(b"user-agent", b"")[:LONGEST_AGENT])
        return self._onward.of_scan(routing, row, agent, language, counts=is_kept)

    async def _way_on(self, scope: Scope, headers: dict[bytes, bytes], entry: Entry, receipt: Receipt) -> str:
        """Where a form of this code leads on to: with a continue page the destination, else the mission's page."""
        now, routing = self._core.clock(), entry.routing
        is_open = entry.state_at(now) is State.LIVE and entry.closed_at(now) is None
        if is_open and routing is not None and routing.continue_page:
            _, agent = _agent(headers.get(b"user-agent", b"")[:LONGEST_AGENT])
            language = _first_language(headers, _language(scope, headers, entry), entry.language)
            address = "" if _objects(headers) else (scope.get("client") or ("",))[0]
            lead = self._onward.of_receipt
            found = await asyncio.to_thread(lead, routing, receipt, agent, language, address)
            if found:
                return found
        return await self._pages.url_of(entry)

    def _letting_go(self, fields: Headers) -> Headers:
        """The headers of a page whose form may be answered with a redirect to another site."""
        name = b"content-security-policy"
        return [(one, self._leaving if one == name else value) for one, value in fields]

    async def _prove(self, entry: Entry | None, query: bytes, now: datetime) -> Proof:
        if entry is None or not query:
            return NOTHING
        key = self._core.live_key
        if is_slow(entry):
            return await asyncio.to_thread(prove, entry, query, live_key=key, now=now)
        return prove(entry, query, live_key=key, now=now)

    def _receipt(self, entry: Entry, sighting: Sighting) -> bytes:
        """Minted only for who gets it: a redirect carries none."""
        scan_hex, visitor_key, judgement, presence, back = sighting
        return self._core.receipts.mint(
            scan_hex, entry.token_id, entry.place_id, visitor_key, judgement.verdict, judgement.score, presence, back
        )

    def _redirect_headers(self, destination: str) -> Headers:
        return [*self._fixed, (b"location", destination.encode("ascii")), (b"content-length", b"0")]

    async def _send_page(self, scope: Scope, send: Send, body: bytes, fields: Headers) -> None:
        sized = [*fields, (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": sized})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})

    async def _add(
        self, scope: Scope, headers: dict[bytes, bytes], receive: Receive, send: Send, asked: str, act: str
    ) -> None:
        fields = await read_fields(headers, receive)
        entry = self._core.directory.find(asked) or await self._find(asked)
        if entry is None:
            self._refuse_guess(scope, asked)
            raise NotFound("We do not know this code.", code="unknown_code")
        receipt = self._core.receipts.read(text_of(fields, "receipt"), token_id=entry.token_id)
        now = self._core.clock()
        receipt.require_fresh(now, ACT_LIFE if act == "confirm" else PRESENCE_LIFE)
        confirmation = Confirmation(receipt.scan_id.hex, entry.token_hex, receipt.visitor_key, now)
        wants_json = _wants_json(headers)
        if act == "confirm":
            await self._queue.append(confirmation)
            await self._done(scope, headers, send, entry, receipt, b"" if wants_json else None, 204)
            return
        best = await self._queue.append(self._fix(fields, entry, confirmation))
        if not isinstance(best, BestFix):
            raise Conflict("Two positions were given for this scan already.", code="conflict")
        is_here = best.geofence == "inside" and _was_open(entry, receipt)
        presence = max(receipt.presence, 1) if is_here else receipt.presence
        body = {"geofence": best.geofence, "distance_m": best.distance_m, "presence": presence}
        await self._done(scope, headers, send, entry, receipt, json.dumps(body).encode() if wants_json else None, 200)

    def _refuse_guess(self, scope: Scope, asked: str) -> None:
        client = scope.get("client")
        key = self._visitors.key(client[0] if client else "", "")
        wait_s = self._guessing.ask(key, asked, self._core.clock().timestamp())
        if wait_s:
            raise TooMany(GUESSING, code="guessing", retry_after_s=wait_s)

    def _fix(self, fields: dict[str, Any], entry: Entry, confirmation: Confirmation) -> PositionFix:
        position = position_of(fields)
        fence, distance = position.fence(entry.place)
        sealed = seal_position(self._core, position)
        accuracy = scans.accuracy_up(position.accuracy_m)
        return PositionFix(confirmation, fence.value, distance, accuracy, *sealed, cell=position.cell)

    async def _find(self, asked: str) -> Entry | None:
        code = codes.normalise(unquote(asked))
        if code is None or self._core.directory.is_unknown(code):
            return None
        return self._core.directory.find(code) or await asyncio.to_thread(self._load, code)

    def _load(self, code: str) -> Entry | None:
        if self._core.database.is_away:  # nobody knows whether there is such a code: neither answered nor logged
            raise StorageAway
        try:
            return self._read(code)
        except OperationalError as error:
            raise StorageAway from error

    def _read(self, code: str) -> Entry | None:
        with self._core.database.snapshot() as session:
            return self._core.directory.load(session, code)

    def _as_json(self, entry: Entry, sighting: Sighting, destination: str | None, closed: str | None) -> bytes:
        mission = self._mission(entry)
        body = {
            "scan_id": f"scn_{sighting.scan_hex}",
            "receipt": self._receipt(entry, sighting).decode(),
            "verdict": sighting.judgement.verdict,
            "reasons": list(sighting.judgement.reasons),
            "presence": sighting.presence,
            "state": closed or "active",
            "replaced_by": entry.successor or None,
            "destination": destination,
            "mission": {"id": ids.show("mis", mission.id), "slug": mission.slug} if mission else None,
        }
        return json.dumps(body).encode()

    def _mission(self, entry: Entry) -> Mission | None:
        """The campaign's mission; None also while the database is away, for the scan is stored all the same."""
        if self._core.database.is_away:
            return None
        with suppress(OperationalError), self._core.database.snapshot() as session:
            return missions.mission_of(session, entry.campaign.id)
        return None

    async def _unavailable(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        send: Send,
        language: str,
        entry: Entry | None,
        error: LogUnavailable,
    ) -> None:
        """The declared 503: a page with a link to where the scan leads, so the visitor still arrives."""
        extra = [(b"retry-after", str(error.context["retry_after_s"]).encode())]
        if entry is None or _wants_json(headers):
            await self._refuse(scope, headers, send, 503, error.code, error.detail, extra=extra, language=language)
            return
        html = self._renderer.page(
            "message.html",
            language,
            title=self._renderer.word(language, "Please try again in a moment"),
            message=self._renderer.word(
                language, "Too many people are scanning at once, and we do not want to lose your scan."
            ),
            next_step="",
            action_url=(entry.destination if entry.closure is None else None) or await self._pages.url_of(entry),
            action_label=self._renderer.word(language, "Continue"),
            mission=None,
            other_lang_url="",
        )
        await self._send(scope, send, 503, html.encode(), b"text/html; charset=utf-8", extra)

    async def _refuse(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        send: Send,
        status: int,
        code: str,
        detail: str = "",
        *,
        extra: list[tuple[bytes, bytes]] | None = None,
        language: str = "",
        error: CampaignError | None = None,
    ) -> None:
        if b"text/html" in headers.get(b"accept", b""):
            asked = scope["path"][3:].partition("/")[0][:ASKED_LIMIT] if code == "unknown_code" else ""
            html = self._renderer.message(language or _language(scope, headers, None), code, detail, asked=asked)
            await self._send(scope, send, status, html.encode(), b"text/html; charset=utf-8", extra)
            return
        pointer = error.context.get("pointer") if error else None
        faults = [{"pointer": pointer, "detail": detail}] if pointer else []
        detail = detail or problems.PROBLEMS.get(code, ("", ""))[1]
        body = problems.problem(status, code, detail, instance=_printable(scope["path"]), faults=faults)
        await self._send(scope, send, status, body, b"application/problem+json", extra)

    async def _done(
        self,
        scope: Scope,
        headers: dict[bytes, bytes],
        send: Send,
        entry: Entry,
        receipt: Receipt,
        body: bytes | None,
        status: int,
    ) -> None:
        """JSON as it is; a form is sent on."""
        if body is not None:
            await self._send(scope, send, status, body, b"application/json" if body else None)
            return
        url = await self._way_on(scope, headers, entry, receipt)
        await self._send(scope, send, 303, b"", None, [(b"location", url.encode())])

    async def _send(
        self,
        scope: Scope,
        send: Send,
        status: int,
        body: bytes,
        content_type: bytes | None,
        extra: list[tuple[bytes, bytes]] | None = None,
    ) -> None:
        fields = [*self._fixed, *(extra or ())]
        if content_type is not None:
            fields.append((b"content-type", content_type))
        if status != 204:
            fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})


def seal_position(core: Services, position: Position) -> SealedFix:
    """The precise fix, encrypted, and the keyed hash of its point: both are dropped after 72 hours."""
    plain = json.dumps([position.lat, position.lon, position.accuracy_m, position.age_s])
    return SealedFix(core.keyring.seal_position(plain.encode()), core.keyring.point(position.lat, position.lon))


def is_scan_path(path: str) -> bool:
    """Whether a path belongs here: `/t/...` or `/T/...`, check-in excepted."""
    return path[:3] in ("/t/", "/T/") and not path.endswith("/check-in")


def _sighting(row: ScanRow, judgement: Judgement, proof: Proof, stored: Result) -> Sighting:
    """What the scan is worth once it is stored: with a tap, what its counter was."""
    if isinstance(stored, Spent):
        return Sighting(stored.scan_id, row.visitor_key, stored.judgement or judgement, stored.presence)
    presence = 0 if proof.tap else proof.presence  # a robot's tap spends nothing, and proves nothing
    return Sighting(row.id, row.visitor_key, judgement, presence, proof.window_back)


def _wants_json(headers: dict[bytes, bytes]) -> bool:
    accept = headers.get(b"accept", b"")
    return b"application/json" in accept or (
        b"application/json" in headers.get(b"content-type", b"") and b"text/html" not in accept
    )


@lru_cache(4096)
def _agent(sent: bytes) -> tuple[str, Agent]:
    text = sent.decode("latin-1")
    return text, classify(text)


def _is_prefetch(headers: dict[bytes, bytes]) -> bool:
    if PURPOSES.isdisjoint(headers):
        return False
    stated = b" ".join(headers.get(name, b"") for name in PURPOSES).lower()
    return b"prefetch" in stated or b"preview" in stated or b"prerender" in stated


def _objects(headers: dict[bytes, bytes]) -> bool:
    """Sec-GPC and DNT are one objection (W3C Global Privacy Control)."""
    return any(headers.get(name, b"").strip() == b"1" for name in OBJECTIONS)


def _language(scope: Scope, headers: dict[bytes, bytes], entry: Entry | None) -> str:
    query = scope["query_string"]
    asked = None
    if b"lang=" in query:
        with suppress(ValueError):  # more fields than anyone sends
            asked = parse_qs(query[:500].decode("latin-1"), max_num_fields=20).get("lang", [""])[0]
    default = entry.language if entry else "en"
    return _chosen_language(asked, headers.get(b"accept-language", b"")[:LONGEST_LANGUAGES], default)


@lru_cache(1024)
def _chosen_language(asked: str | None, accepted: bytes, default: str) -> str:
    return language_of(asked, accepted.decode("latin-1"), default)


def _first_language(headers: dict[bytes, bytes], shown: str, default: str) -> str:
    """What a rule about languages is held against: the phone's first choice, unless the page's was chosen by hand."""
    accepted = headers.get(b"accept-language", b"")[:LONGEST_LANGUAGES]
    by_itself = _chosen_language(None, accepted, default)
    return first_language(accepted.decode("latin-1"), shown) if shown == by_itself else shown


@lru_cache(1024)
def _kept_language(language: str, accepted: bytes) -> str:
    return kept_language(language, accepted.decode("latin-1"))


def _printable(text: str) -> str:
    return "".join(c if " " <= c <= "~" else "?" for c in text[:ASKED_LIMIT])


def _was_open(entry: Entry, receipt: Receipt) -> bool:
    return entry.place is not None and entry.place.is_open(receipt.scanned_at)
