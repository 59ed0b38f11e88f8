"""Feeds that anybody may read in their own reader: what happens in a mission, and its ideas. No account, no person.

Neither pseudonyms nor anything hidden is in them: what a reader has fetched nobody can take back.
"""

from collections.abc import Callable
from typing import Annotated, Literal

from fastapi import APIRouter, Path, Request
from fastapi.responses import Response
from sqlmodel import Session as DbSession

from api.dependencies import Core, Now, ReadSession, Services
from api.etags import Tagged
from api.pages import idea_views, views
from api.pages.feed_formats import ATOM, JSON_FEED, Entry, Feed, as_atom, as_json, shortened
from api.pages.phone import MissionName, Tongue, language_for, mission_named
from api.policies import PUBLIC
from campaigns import ids
from campaigns.community.news import News, NewsKind, Shown, ideas_shown, news_of
from campaigns.missions import Mission
from campaigns.missions.models import text_in

router = APIRouter(tags=["phones"], dependencies=[PUBLIC])
ENTRIES = 50
KEPT = "public, max-age=300"  # a reader asks again within minutes; with its ETag it is told that nothing is new
Format = Annotated[Literal["atom", "json"], Path(description="`atom` (RFC 4287) or `json` (JSON Feed 1.1)")]


@router.get("/m/{mission}/feed.{format}")
def mission_feed(
    request: Request,
    core: Core,
    session: ReadSession,
    now: Now,
    tags: Tagged,
    mission: MissionName,
    format: Format,
    lang: Tongue = None,
) -> Response:
    """What happens in a mission: votes that open and close, decisions about ideas with their reasons, answers."""
    found, language = mission_named(session, mission), language_for(request, lang)
    news = news_of(session, found.id, limit=ENTRIES, now=now)
    entries = [_news_entry(core, found, one, language) for one in news]
    return _answer(core, session, tags, found, "feed", format, language, entries, "")


@router.get("/m/{mission}/ideas.{format}")
def ideas_feed(
    request: Request,
    core: Core,
    session: ReadSession,
    tags: Tagged,
    mission: MissionName,
    format: Format,
    lang: Tongue = None,
) -> Response:
    """The newest ideas of a mission, each with what became of it."""
    found, language = mission_named(session, mission), language_for(request, lang)
    entries = [_idea_entry(core, found, one, language) for one in ideas_shown(session, found.id, limit=ENTRIES)]
    name = core.renderer.word(language, "Ideas")
    return _answer(core, session, tags, found, "ideas", format, language, entries, name)


def _answer(
    core: Services,
    session: DbSession,
    tags: Tagged,
    mission: Mission,
    name: str,
    format: str,
    language: str,
    entries: list[Entry],
    subject: str,
) -> Response:
    page, title = f"{core.settings.base_url}/m/{mission.slug}", text_in(mission.title, language)
    feed = Feed(
        id=f"urn:uuid:{mission.id}" if name == "feed" else f"urn:uuid:{mission.id}#ideas",
        url=f"{page}/{name}.{format}?lang={language}",
        page_url=f"{page}?lang={language}",
        title=f"{title} · {subject}" if subject else title,
        subtitle=text_in(mission.promise, language),
        author=views.brand(session, mission.organisation_id),
        language=language,
        updated=max((one.updated for one in entries), default=mission.created_at),
        entries=entries,
    )
    write: Callable[[Feed], bytes] = as_atom if format == "atom" else as_json
    answer = tags.file(write(feed), ATOM if format == "atom" else JSON_FEED, KEPT)
    answer.headers["Vary"] = "Accept-Language"
    return answer


def _idea_entry(core: Services, mission: Mission, shown: Shown, language: str) -> Entry:
    idea = shown.idea
    became = state_words(core, language, idea.state)
    return Entry(
        id=f"urn:uuid:{idea.id}",
        url=f"{core.settings.base_url}{idea_views.url_of(mission, idea.id)}?lang={language}",
        title=shortened(idea.text),
        text=f"{idea.text}\n\n{became}" if became else idea.text,
        published=idea.created_at,
        updated=shown.changed_at,
    )


def _news_entry(core: Services, mission: Mission, news: News, language: str) -> Entry:
    base = core.settings.base_url
    if news.idea is None:
        opened = news.kind is NewsKind.VOTE_OPENED
        title = (
            core.renderer.word(language, "The vote is open")
            if opened
            else core.renderer.word(language, "The vote is closed")
        )
        url, text = f"{base}/m/{mission.slug}/rounds/{ids.show('rnd', news.id)}?lang={language}", title
    else:
        if news.kind is NewsKind.ANSWERED:
            what = core.renderer.word(language, "Official answer")
        elif news.state_before == "merged":
            what = core.renderer.word(language, "Set apart again")
        else:
            what = state_words(core, language, news.state) or core.renderer.word(language, "Open again")
        title = shortened(f"{what} – {news.idea.text}")
        url = f"{base}{idea_views.url_of(mission, news.idea.id)}?lang={language}"
        text = f"{news.text}\n\n{news.idea.text}"
    part = f"#{news.kind.value}" if news.idea is None else ""
    return Entry(f"urn:uuid:{news.id}{part}", url, title, text, news.at, news.at)


def state_words(core: Services, language: str, state: str) -> str:
    """What became of an idea in words; empty for one that is only published."""
    return {
        "shortlisted": core.renderer.word(language, "Shortlisted"),
        "selected": core.renderer.word(language, "Selected"),
        "not_selected": core.renderer.word(language, "Not selected"),
        "funded": core.renderer.word(language, "Funded"),
        "delivered": core.renderer.word(language, "Delivered"),
        "merged": core.renderer.word(language, "Merged into another idea"),
    }.get(state, "")
