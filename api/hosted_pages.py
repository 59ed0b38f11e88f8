"""The hosted page of a campaign: the same for everybody but for code and receipt, so made once a second at most."""

import asyncio
import logging
import time
from contextlib import suppress
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy.exc import OperationalError
from sqlmodel import Session

from api.dependencies import Services
from api.pages import views
from api.pages.refusals import MESSAGES
from api.pages.render import Spliced
from api.pages.ways import spots_of, ways_here
from campaigns import missions
from campaigns.missions import Mission
from campaigns.planning import State
from campaigns.tokens.directory import Entry

PAGE_LIFE_S = 1.0  # a hosted page is made again at most once a second
PAGE_LIMIT = 5_000

log = logging.getLogger("passerelle.hosted_pages")


class Aside(NamedTuple):
    """What is shown instead of the campaign's page: where the code leads on to, or why it does not.

    `hosts` may be several when a position would tell which; `successor` is the code that replaced this one.
    """

    hosts: tuple[str, ...] = ()
    asks_position: bool = False
    closure: str = ""
    successor: str = ""


_Key = tuple[str, str | None, State, str, bool, Aside | None]  # campaign, place, state, language, whether held out


class HostedPages:
    """The hosted page of each campaign, place, state and language: made in a thread, kept a second, served stale."""

    def __init__(self, core: Services) -> None:
        self._core = core
        self._pages: dict[_Key, tuple[float, Spliced, UUID]] = {}  # with the organisation, whose name is on it
        self._making: dict[_Key, asyncio.Task[Spliced]] = {}
        self._heard = 0  # announcements: a page that one overtook while it was made is shown once and not kept
        self._urls: dict[str, str] = {}  # campaign -> its mission's page, whose address never changes

    async def page(self, entry: Entry, state: State, language: str, aside: Aside | None = None) -> Spliced:
        """The page to splice a visitor's form into."""
        key = (entry.campaign_hex, entry.place_hex, state, language, entry.is_held_out, aside)
        kept = self._pages.get(key)
        if kept is not None and self._core.database.is_away:
            return kept[1]
        if kept is not None and (time.monotonic() - kept[0] < PAGE_LIFE_S or key in self._making):
            return kept[1]
        task = self._making.get(key)
        if task is None:
            task = asyncio.create_task(self._make(key, entry, state, language))
            task.add_done_callback(_note_failure)
            self._making[key] = task
        return kept[1] if kept is not None else await asyncio.shield(task)

    async def url_of(self, entry: Entry) -> str:
        """The page of the campaign's mission, or the front page: where a scan leads when its own page cannot be had."""
        if entry.is_held_out:
            return "/"
        known = self._urls.get(entry.campaign_hex)
        return known if known is not None else await asyncio.to_thread(self._read_url, entry)

    def _read_url(self, entry: Entry) -> str:
        if not self._core.database.is_away:
            with suppress(OperationalError), self._core.database.snapshot() as session:
                mission = missions.mission_of(session, entry.campaign.id)
                return self._keep_url(entry, mission.slug) if mission else "/"
        return "/"

    def _keep_url(self, entry: Entry, slug: str) -> str:
        if len(self._urls) >= PAGE_LIMIT:
            self._urls.pop(next(iter(self._urls)), None)
        return self._urls.setdefault(entry.campaign_hex, f"/m/{slug}")

    def hear(self, kind: str, id: UUID) -> None:
        """Drop the pages of a campaign, place or organisation that changed; no page depends on a token."""
        if kind in ("token", "code"):
            return
        self._heard += 1
        for key, (_, _, owner) in list(self._pages.items()):
            if kind == "everything" or id.hex in key[:2] or id == owner:
                self._pages.pop(key, None)

    async def _make(self, key: _Key, entry: Entry, state: State, language: str) -> Spliced:
        heard = self._heard
        try:
            aside = key[-1]
            if aside is None:
                page = await asyncio.to_thread(self.render, entry, state, language)
            else:
                page = await asyncio.to_thread(self._render_aside, entry, language, aside)
            if heard == self._heard:
                self._pages[key] = (time.monotonic(), page, entry.campaign.organisation_id)
            if len(self._pages) > PAGE_LIMIT:
                self._pages.pop(next(iter(self._pages)))
            return page
        finally:
            self._making.pop(key, None)

    def render(
        self, entry: Entry, state: State, language: str, *, till_error: str = "", till_value: str = ""
    ) -> Spliced:
        """Read what the page shows and make it. With an error it stands at another address than the scan's."""
        renderer = self._core.renderer
        with self._core.database.snapshot() as session:
            mission = _mission_of(session, entry)
            view = None
            among = [entry.place.id] if entry.place else None
            spots = spots_of(session, entry.campaign.id, among=among, now=self._core.clock())
            shown: dict[str, Any] = {"renderer": renderer, "language": language, "spots": spots}
            if mission is not None:
                self._keep_url(entry, mission.slug)
                ideas = views.IDEAS_ON_SCAN_PAGE
                phase = "draft" if state is State.DRAFT else "live"  # what a pilot did is shown to its team alone
                view = views.mission_view(session, mission, phase=phase, ideas=ideas, **shown)
            house = views.house(session, entry.campaign.organisation_id)
        return renderer.spliced(
            "scan.html",
            language,
            **house,
            rules_url=f"/m/{mission.slug}/rules" if mission else "",
            js=renderer.script("shopper.js"),
            state=state.value,
            preview=state is State.DRAFT,
            place=entry.place,
            mission=view,
            accepts_position=entry.place is not None and entry.place.lat is not None,
            accepts_till_code=entry.place is not None,
            further_ways=ways_here(renderer, language, spots) if entry.place else [],
            outcome="",
            till_error=till_error,
            till_value=till_value,
            other_lang_url=f"{f'/t/{entry.code}' if till_error else ''}?lang={'en' if language == 'fr' else 'fr'}",
        )

    def _render_aside(self, entry: Entry, language: str, aside: Aside) -> Spliced:
        renderer = self._core.renderer
        with self._core.database.snapshot() as session:
            house = views.house(session, entry.campaign.organisation_id)
            mission = _mission_of(session, entry)
        title, message, step = MESSAGES[aside.closure] if aside.closure else ("", "", "")
        return renderer.spliced(
            "aside.html",
            language,
            **house,
            rules_url=f"/m/{mission.slug}/rules" if mission else "",
            js=renderer.script("shopper.js") if aside.asks_position else "",
            place=entry.place,
            title=renderer.word(language, title) if title else "",
            message=renderer.word(language, message) if message else "",
            next_step=renderer.word(language, step) if step else "",
            mission_url=f"/m/{mission.slug}" if mission else "",
            **aside._asdict(),
        )


def _mission_of(session: Session, entry: Entry) -> Mission | None:
    """The campaign's mission; a held-out code shows the plain page, without it."""
    return None if entry.is_held_out else missions.mission_of(session, entry.campaign.id)


def _note_failure(task: asyncio.Task[Spliced]) -> None:
    """A page that could not be made while an older one was served: nobody waits for it."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("a hosted page could not be made: %s", type(error).__name__)
