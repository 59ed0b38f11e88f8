"""The hot path: GET /t/{code}, its confirm and its position, as raw ASGI, reached before FastAPI.

A scan is on disk before it is answered. Enrichment never breaks the answer: a printed poster cannot be redeployed.
"""

import asyncio
import json
import logging
from datetime import datetime
from typing import Any
from urllib.parse import unquote

from sqlalchemy.exc import OperationalError
from starlette.types import Receive, Scope, Send

from api import problems
from api.dependencies import Services
from api.hosted_pages import HostedPages
from api.pages.render import Renderer
from api.scan_answers import Answers, Sighting
from api.scan_fields import position_of, read_fields, text_of
from api.scan_headers import RawHeaders, agent_of, is_prefetch, is_young, language_for, objects, printable
from campaigns import clock, scans
from campaigns.errors import CampaignError, Conflict, NotFound, StorageAway, TooMany
from campaigns.places.network import NOWHERE
from campaigns.scans import Judgement, Position, Receipt, SealedFix
from campaigns.scans.data_centres import load_networks
from campaigns.scans.group_commit import GroupCommit, LogUnavailable
from campaigns.scans.guessing import Guessing
from campaigns.scans.log import BestFix, Confirmation, PositionFix, Result, ScanRow, Spent
from campaigns.scans.proof import NOTHING, Proof, is_slow, prove
from campaigns.scans.receipt import ACT_LIFE, PRESENCE_LIFE
from campaigns.scans.visitor import VisitorKeys
from campaigns.tokens import codes
from campaigns.tokens.directory import Entry

GUESSING = "Too many unknown codes were asked for from here. Wait a minute, or scan a printed code."

log = logging.getLogger("passerelle.scan")


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
        self._answers = Answers(core, pages, renderer)

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
                await self._answers.refuse(scope, headers, send, 405, "method_not_allowed", extra=[(b"allow", allowed)])
            else:
                await self._answers.refuse(scope, headers, send, 404, "not_found")
        except CampaignError as error:
            extra = [(k.lower().encode(), v.encode()) for k, v in problems.headers_of(error).items()]
            status = problems.status_of(error)
            await self._answers.refuse(scope, headers, send, status, error.code, error.detail, extra=extra, error=error)
        except problems.STORAGE_FAULTS as fault:
            if not problems.is_passing(fault):
                raise
            log.error("the storage refused: %s", type(fault).__name__)
            await self._answers.refuse(scope, headers, send, 503, "storage_unavailable", extra=[(b"retry-after", b"5")])

    async def _scan(self, scope: Scope, headers: RawHeaders, send: Send, asked: str) -> None:
        now = self._core.clock()
        entry = self._core.directory.find(asked)
        if entry is None:
            entry = await self._find(asked)
        agent_text, agent = agent_of(headers)
        language = language_for(scope, headers, entry)
        day = clock.day_of(now)
        if not self._visitors.is_ready(day):
            try:
                await asyncio.to_thread(self._visitors.prepare, day)
            except problems.STORAGE_FAULTS as fault:  # no room for today's salt: none for the scan either
                log.error("the visitor salt could not be kept: %s", type(fault).__name__)
                await self._answers.unavailable(scope, headers, send, language, entry, LogUnavailable())
                return
        client = scope.get("client")
        address = client[0] if client else ""
        objected = objects(headers)
        campaign = entry.campaign_hex if objected and entry else ""
        visitor_key = self._visitors.key(address, agent_text, campaign)
        located = self._core.network.is_there and not objected
        proof = await self._prove(entry, scope["query_string"], now)
        wait_s = 0 if entry else self._guessing.ask(self._visitors.key(address, ""), asked, now.timestamp())
        row, judgement = scans.sight(
            entry,
            asked="" if entry else printable(asked),
            agent=agent,
            prefetch=is_prefetch(headers),
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
                await self._answers.unavailable(scope, headers, send, language, entry, error)
                return
        if wait_s:
            raise TooMany(GUESSING, code="guessing", retry_after_s=wait_s)
        if entry is None:
            await self._answers.refuse(
                scope, headers, send, 404, "unknown_code", "We do not know this code.", language=language
            )
            return
        sighting = _sighting(row, judgement, proof, stored)
        await self._answers.answer(scope, headers, send, entry, row, sighting, now)

    async def _prove(self, entry: Entry | None, query: bytes, now: datetime) -> Proof:
        if entry is None or not query:
            return NOTHING
        key = self._core.live_key
        if is_slow(entry):
            return await asyncio.to_thread(prove, entry, query, live_key=key, now=now)
        return prove(entry, query, live_key=key, now=now)

    async def _add(self, scope: Scope, headers: RawHeaders, receive: Receive, send: Send, asked: str, act: str) -> None:
        fields = await read_fields(headers, receive)
        entry = self._core.directory.find(asked) or await self._find(asked)
        if entry is None:
            self._refuse_guess(scope, asked)
            raise NotFound("We do not know this code.", code="unknown_code")
        receipt = self._core.receipts.read(text_of(fields, "receipt"), token_id=entry.token_id)
        now = self._core.clock()
        receipt.require_fresh(now, ACT_LIFE if act == "confirm" else PRESENCE_LIFE)
        confirmation = Confirmation(receipt.scan_id.hex, entry.token_hex, receipt.visitor_key, now)
        if act == "confirm":
            await self._queue.append(confirmation)
            await self._answers.done(scope, headers, send, entry, receipt, b"", 204)
            return
        if is_young(headers):  # neither kept nor used: the post says no more than that the page was seen
            await self._queue.append(confirmation)
            body = {"geofence": "none", "distance_m": None, "presence": receipt.presence}
            await self._answers.done(scope, headers, send, entry, receipt, json.dumps(body).encode(), 200)
            return
        best = await self._queue.append(self._fix(fields, entry, confirmation))
        if not isinstance(best, BestFix):
            raise Conflict("Two positions were given for this scan already.", code="conflict")
        is_here = best.geofence == "inside" and _was_open(entry, receipt)
        presence = max(receipt.presence, 1) if is_here else receipt.presence
        body = {"geofence": best.geofence, "distance_m": best.distance_m, "presence": presence}
        await self._answers.done(scope, headers, send, entry, receipt, json.dumps(body).encode(), 200)

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


def _was_open(entry: Entry, receipt: Receipt) -> bool:
    return entry.place is not None and entry.place.is_open(receipt.scanned_at)
