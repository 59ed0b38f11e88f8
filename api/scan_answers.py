"""What a scan is answered: a redirect, the hosted page, what stands before it, JSON, or why there is nothing.

Every answer carries the security headers and is never kept. Nothing here is logged or counted: that was done before.
"""

import asyncio
import json
from contextlib import suppress
from datetime import datetime
from functools import lru_cache
from typing import NamedTuple

from sqlalchemy.exc import OperationalError
from starlette.types import Scope, Send

from api import problems
from api.dependencies import Services
from api.hosted_pages import Aside, HostedPages
from api.onward import Onward
from api.pages.render import Renderer, act_form, report_form
from api.scan_headers import (
    ASKED_LIMIT,
    RawHeaders,
    agent_of,
    language_for,
    language_of_rules,
    language_to_keep,
    objects,
    printable,
    wants_json,
)
from campaigns import ids
from campaigns.errors import CampaignError
from campaigns.missions import Mission
from campaigns.planning import State
from campaigns.scans import Judgement, Receipt
from campaigns.scans.group_commit import LogUnavailable
from campaigns.scans.log import ScanRow
from campaigns.tokens.destinations import Routing
from campaigns.tokens.directory import Entry

Headers = list[tuple[bytes, bytes]]
_LEADING = (State.LIVE, State.PILOT)  # states whose codes lead to their destination


class Sighting(NamedTuple):
    """What a visitor is answered about: the scan, what was thought of it, and the presence it proved by itself."""

    scan_hex: str
    visitor_key: int
    judgement: Judgement
    presence: int
    window_back: int = 0


class Answers:
    """Answers of the scan path, sent as raw ASGI messages."""

    def __init__(self, core: Services, pages: HostedPages, renderer: Renderer) -> None:
        self._core = core
        self._pages = pages
        self._renderer = renderer
        self._fixed = [(name.lower().encode(), value.encode()) for name, value in renderer.headers.items()]
        self._redirect = lru_cache(4096)(self._redirect_headers)
        self._html: Headers = [*self._fixed, (b"content-type", b"text/html; charset=utf-8")]
        self._gzip: Headers = [*self._html, (b"content-encoding", b"gzip"), (b"vary", b"accept-encoding")]
        self._onward = Onward(core)
        self._leaving = renderer.leaving_policy.encode()

    async def answer(
        self,
        scope: Scope,
        headers: RawHeaders,
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
        elif entry.routing is not None and state in _LEADING:
            destination, aside = self._lead(entry, entry.routing, scope, headers, row)
        if b"application/json" in headers.get(b"accept", b""):
            body = await asyncio.to_thread(self._as_json, entry, sighting, destination, closed)
            await self._send(scope, send, 200, body, b"application/json")
        elif destination and state in _LEADING and aside is None:
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
            form = self._form(headers, entry, row, sighting, aside)
            is_gzip = b"gzip" in headers.get(b"accept-encoding", b"")
            fields = self._gzip if is_gzip else self._html
            body = page.gzipped(form) if is_gzip else page.plain(form)
            await self._send_page(scope, send, body, self._letting_go(fields) if aside and not closed else fields)

    async def _send_on(self, send: Send, entry: Entry, destination: str) -> None:
        # With a scan's id in it an address is of one scan alone: not worth remembering.
        made = self._redirect if entry.routing is None else self._redirect_headers
        await send({"type": "http.response.start", "status": 302, "headers": made(destination)})
        await send({"type": "http.response.body", "body": b""})

    def _form(self, headers: RawHeaders, entry: Entry, row: ScanRow, sighting: Sighting, aside: Aside | None) -> bytes:
        kept = language_to_keep(headers, row.language)
        if aside and aside.closure:
            return report_form(entry.code, kept)
        return act_form(entry.code, self._receipt(entry, sighting), kept, "confirm" if aside else "check-in")

    def _lead(
        self, entry: Entry, routing: Routing, scope: Scope, headers: RawHeaders, row: ScanRow
    ) -> tuple[str | None, Aside | None]:
        language = language_of_rules(headers, row.language, entry.language)
        is_kept = scope["method"] != "HEAD"
        _, agent = agent_of(headers)
        return self._onward.of_scan(routing, row, agent, language, counts=is_kept)

    async def _way_on(self, scope: Scope, headers: RawHeaders, entry: Entry, receipt: Receipt) -> str:
        """Where a form of this code leads on to: with a continue page the destination, else the mission's page."""
        now, routing = self._core.clock(), entry.routing
        is_open = entry.state_at(now) in _LEADING and entry.closed_at(now) is None
        if is_open and routing is not None and routing.continue_page:
            _, agent = agent_of(headers)
            language = language_of_rules(headers, language_for(scope, headers, entry), entry.language)
            address = "" if objects(headers) else (scope.get("client") or ("",))[0]
            lead = self._onward.of_receipt
            found = await asyncio.to_thread(lead, routing, receipt, agent, language, address)
            if found:
                return found
        return await self._pages.url_of(entry)

    def _letting_go(self, fields: Headers) -> Headers:
        """The headers of a page whose form may be answered with a redirect to another site."""
        name = b"content-security-policy"
        return [(one, self._leaving if one == name else value) for one, value in fields]

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
        """The campaign's mission; None for a held-out code, and while the database is away: the scan is kept."""
        if self._core.database.is_away or entry.is_held_out:
            return None
        with suppress(OperationalError):
            return self._core.rules.led_to(self._core.database, entry.campaign.id).mission
        return None

    async def unavailable(
        self,
        scope: Scope,
        headers: RawHeaders,
        send: Send,
        language: str,
        entry: Entry | None,
        error: LogUnavailable,
    ) -> None:
        """The declared 503: a page with a link to where the scan leads, so the visitor still arrives."""
        extra = [(b"retry-after", str(error.context["retry_after_s"]).encode())]
        if entry is None or wants_json(headers):
            await self.refuse(scope, headers, send, 503, error.code, error.detail, extra=extra, language=language)
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

    async def refuse(
        self,
        scope: Scope,
        headers: RawHeaders,
        send: Send,
        status: int,
        code: str,
        detail: str = "",
        *,
        extra: Headers | None = None,
        language: str = "",
        error: CampaignError | None = None,
    ) -> None:
        if b"text/html" in headers.get(b"accept", b""):
            asked = scope["path"][3:].partition("/")[0][:ASKED_LIMIT] if code == "unknown_code" else ""
            html = self._renderer.message(language or language_for(scope, headers, None), code, detail, asked=asked)
            await self._send(scope, send, status, html.encode(), b"text/html; charset=utf-8", extra)
            return
        pointer = error.context.get("pointer") if error else None
        faults = [{"pointer": pointer, "detail": detail}] if pointer else []
        detail = detail or problems.PROBLEMS.get(code, ("", ""))[1]
        body = problems.problem(status, code, detail, instance=printable(scope["path"]), faults=faults)
        await self._send(scope, send, status, body, b"application/problem+json", extra)

    async def done(
        self,
        scope: Scope,
        headers: RawHeaders,
        send: Send,
        entry: Entry,
        receipt: Receipt,
        body: bytes,
        status: int,
    ) -> None:
        """JSON as it is; a form is sent on."""
        if wants_json(headers):
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
        extra: Headers | None = None,
    ) -> None:
        fields = [*self._fixed, *(extra or ())]
        if content_type is not None:
            fields.append((b"content-type", content_type))
        if status != 204:
            fields.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
