"""Where a scan leads when its code has more to say than one address: its rules, asked for one visitor.

The page of a `continue_page` names the host and leads on with a form. Its form may be answered with a redirect to any
site, which browsers hold against `form-action`, wherever that site sends them on to; so this page alone allows it.
"""

from contextlib import suppress
from typing import NamedTuple

from sqlalchemy.exc import OperationalError

from api.dependencies import Services
from api.hosted_pages import Aside
from campaigns import ids, scans
from campaigns.places.geofence import Geofence
from campaigns.scans import Receipt
from campaigns.scans.agents import Agent
from campaigns.scans.log import ScanRow
from campaigns.scans.returning import Returns
from campaigns.scans.verdict import Verdict
from campaigns.tokens.addresses import host_of
from campaigns.tokens.destinations import Routing, Visit

FENCES = (Geofence.INSIDE, Geofence.OUTSIDE)


class Lead(NamedTuple):
    """Where a scan leads, None for the hosted page; and what is shown first, if anything."""

    destination: str | None
    aside: Aside | None = None


class Onward:
    """Asks the rules of a code. Only codes with a routing come here."""

    def __init__(self, core: Services) -> None:
        self._core = core
        self._returns = Returns()

    def of_scan(self, routing: Routing, row: ScanRow, agent: Agent, language: str, *, counts: bool) -> Lead:
        """Where a scan leads now. `language` is the phone's first choice; a HEAD or a robot is not remembered."""
        visit = self._visit(routing, row.id, row.visitor_key, agent, language, row.country)
        if counts and routing.asks_returning and row.verdict != Verdict.BOT:
            self._returns.note(routing.token, row.visitor_key, row.id)
        destination = routing.lead(visit, row.id)
        if not routing.continue_page:
            return Lead(destination)
        ways = [destination]
        if routing.asks_position:
            ways += [routing.lead(visit._replace(fence=fence), row.id) for fence in FENCES]
        hosts = tuple(dict.fromkeys(host_of(way) for way in ways if way))
        return Lead(destination, Aside(hosts, routing.asks_position) if hosts else None)

    def of_receipt(self, routing: Routing, receipt: Receipt, agent: Agent, language: str, address: str) -> str | None:
        """Where the button of the page leads: the same, with the position that was given meanwhile. Reads it."""
        country = self._core.network.of(address).country if address else None
        visit = self._visit(routing, receipt.scan_id.hex, receipt.visitor_key, agent, language, country)
        if routing.asks_position and not self._core.database.is_away:
            with suppress(OperationalError), self._core.database.snapshot() as session:
                fix = scans.best_fix(session, receipt.scan_id)
                visit = visit._replace(fence=fix.geofence if fix else None)
        return routing.lead(visit, receipt.scan_id.hex)

    def _visit(
        self, routing: Routing, scan_hex: str, visitor_key: int, agent: Agent, language: str, country: str | None
    ) -> Visit:
        scanned_at = ids.instant_of_hex(scan_hex)
        returning = routing.asks_returning and self._returns.is_returning(routing.token, visitor_key, scan_hex)
        local = routing.local(scanned_at)
        return Visit(routing.token, visitor_key, local, language, agent.platform, country, None, returning)


def first_language(accept_language: str, otherwise: str) -> str:
    """The phone's first choice (RFC 9110, section 12.5.4: browsers list them in order), in lower case."""
    first = accept_language.split(",")[0].split(";")[0].strip().lower()
    return first if first and first != "*" else otherwise
