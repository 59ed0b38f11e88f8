"""The public ledger of a mission: a page, the file to check, the heads that were published, and the meter."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, time
from typing import Annotated, Literal

from babel.dates import format_date
from fastapi import APIRouter, Path, Query, Request
from fastapi.encoders import jsonable_encoder
from fastapi.responses import HTMLResponse, Response, StreamingResponse
from sqlmodel import Session as DbSession

from api import exports
from api.dependencies import Core, ReadSession, Services
from api.etags import Tagged, Tags
from api.exports import Dialect
from api.pages import views
from api.pages.feed_formats import ATOM, JSON_FEED, Entry, Feed, as_atom, as_json
from api.pages.money_views import amount, money_body, money_view
from api.pages.phone import MissionName, Tongue, language_for, mission_named
from api.policies import PUBLIC
from campaigns import ids
from campaigns.missions import Mission
from campaigns.missions.models import text_in
from campaigns.sponsorship import chain, meter
from campaigns.sponsorship.lines import COLUMNS, Line
from campaigns.sponsorship.models import LedgerHead

router = APIRouter(prefix="/m", tags=["phones"], dependencies=[PUBLIC])
LINES_SHOWN = 12
HEADS_SHOWN = 30
FRESH = "public, no-cache"  # ask each time: with its tag the answer is 304 as long as nothing came
FileDialect = Annotated[Dialect, Query(description="`excel-fr` for a French spreadsheet; its hashes are the same")]
Format = Annotated[Literal["atom", "json"], Path(description="`atom` (RFC 4287) or `json` (JSON Feed 1.1)")]


@dataclass(frozen=True)
class LineView:
    """A line for people."""

    number: int
    day: str
    code: str
    amount: str
    beneficiary: str
    sponsor: str
    reverses: str


@dataclass(frozen=True)
class HeadView:
    """A head as the page shows it."""

    day: str
    number: int
    hash: str


@router.get("/{mission}/ledger", response_class=HTMLResponse)
def ledger_page(
    request: Request, core: Core, session: ReadSession, mission: MissionName, lang: Tongue = None
) -> HTMLResponse:
    """The money of a mission for people: sums, the last lines, how to check them, the heads of the last 30 days."""
    found, language = mission_named(session, mission), language_for(request, lang)
    labels = {ids.show("pld", id): label for id, label in meter.labels_of(session, found.id).items()}
    page = core.renderer.page(
        "ledger.html",
        language,
        **views.house(session, found.organisation_id),
        rules_url=f"/m/{found.slug}/rules",
        js=core.renderer.script("shopper.js"),
        title=found.title,
        mission_url=f"/m/{found.slug}?lang={language}",
        page_url=f"/m/{found.slug}",
        whole_url=f"{core.settings.base_url}/m/{found.slug}",
        money=money_view(session, found, language),
        lines=[_line_view(one, language, labels) for one in chain.last_lines(session, found.id, limit=LINES_SHOWN)],
        heads=[
            HeadView(format_date(one.day, "d MMMM y", locale=language), one.number, one.hash)
            for one in chain.newest_heads(session, found.id, limit=HEADS_SHOWN)
        ],
        other_lang_url=f"/m/{found.slug}/ledger?lang={'en' if language == 'fr' else 'fr'}",
    )
    return HTMLResponse(page, headers={"Cache-Control": "no-store"})


@router.get("/{mission}/ledger.csv")
def ledger_csv(
    core: Core, session: ReadSession, tags: Tagged, mission: MissionName, dialect: FileDialect = Dialect.PLAIN
) -> Response:
    """The ledger as CSV (RFC 4180, UTF-8): a line a movement, each with the hash of the one before and its own.

    The README says how to recompute them; `passerelle ledger-check` does. Nobody is named. A cell that would start a
    formula has an apostrophe before it, and is hashed so. `ETag`: 304 as long as no line came.
    """
    found = mission_named(session, mission)
    columns: Callable[[Iterator[list[Line]]], Iterator[str]] = _csv if dialect is Dialect.PLAIN else _excel_csv
    return _file(core, session, tags, found, f"{dialect}.csv", "text/csv; charset=utf-8", columns)


@router.get("/{mission}/ledger.ndjson")
def ledger_ndjson(core: Core, session: ReadSession, tags: Tagged, mission: MissionName) -> Response:
    """The same lines as JSON, one object a line; its texts are those of the CSV, hashed in the order of its columns."""
    return _file(core, session, tags, mission_named(session, mission), "ndjson", "application/x-ndjson", _ndjson)


@router.get("/{mission}/heads.{format}")
def heads_feed(
    request: Request,
    core: Core,
    session: ReadSession,
    tags: Tagged,
    mission: MissionName,
    format: Format,
    lang: Tongue = None,
) -> Response:
    """The head of the chain at the end of each UTC day on which lines came: keep one, and nobody can rewrite it."""
    found, language = mission_named(session, mission), language_for(request, lang)
    heads = chain.newest_heads(session, found.id, limit=HEADS_SHOWN)
    feed = _feed(core, session, found, language, format, [_entry(core, found, one, language) for one in heads])
    write, kind = (as_atom, ATOM) if format == "atom" else (as_json, JSON_FEED)
    answer = tags.file(write(feed), kind, FRESH)
    answer.headers["Vary"] = "Accept-Language"
    return answer


@router.get("/{mission}/meter")
def read_meter(
    request: Request, core: Core, session: ReadSession, tags: Tagged, mission: MissionName, lang: Tongue = None
) -> Response:
    """What the mission's pledges unlocked, what is under review and what was paid, in all and each; in minor units.

    With `Accept: text/html` the words of the mission page, which asks again every 15 seconds while it is seen.
    """
    found, language = mission_named(session, mission), language_for(request, lang)
    if "text/html" in request.headers.get("accept", ""):
        money = money_view(session, found, language)
        words = core.renderer.page("money.html", language, money=money) if money else ""
        answer = tags.file(words.encode(), "text/html; charset=utf-8", FRESH)
    else:
        answer = tags.json(jsonable_encoder(money_body(session, found.id)), FRESH)
    answer.headers["Vary"] = "Accept, Accept-Language"
    return answer


def _file(
    core: Services,
    session: DbSession,
    tags: Tags,
    mission: Mission,
    kind: str,
    media_type: str,
    write: Callable[[Iterator[list[Line]]], Iterator[str]],
) -> Response:
    """The lines there are now, streamed; whoever has them all already is told so."""
    head = chain.head_of(session, mission.id)
    tag = f'"{head.number}-{head.hash[:16]}-{kind}"'
    name = f"ledger-{mission.slug}.{kind.rpartition('.')[2]}"
    headers = {"Cache-Control": FRESH, "ETag": tag, "Content-Disposition": f'attachment; filename="{name}"'}
    if tags.has(tag):
        return Response(status_code=304, headers=headers)
    return StreamingResponse(
        write(chain.pages_of(core.database, mission.id, upto=head.number)), media_type=media_type, headers=headers
    )


def _csv(pages: Iterator[list[Line]]) -> Iterator[str]:
    return exports.csv_text(COLUMNS, pages)


def _excel_csv(pages: Iterator[list[Line]]) -> Iterator[str]:
    commas = ([line._replace(amount=line.amount.replace(".", ",")) for line in page] for page in pages)
    return exports.csv_text(COLUMNS, commas, excel_fr=True)


def _ndjson(pages: Iterator[list[Line]]) -> Iterator[str]:
    return exports.ndjson_text([line._asdict() for line in page] for page in pages)


def _line_view(line: Line, language: str, labels: Mapping[str, Mapping[str, str]]) -> LineView:
    day = datetime.fromisoformat(line.recorded_at)
    return LineView(
        number=int(line.number),
        day=format_date(day, "d MMMM", locale=language),
        code=line.code,
        amount=amount(int(line.amount_minor), line.currency, language, labels.get(line.pledge)),
        beneficiary=line.beneficiary,
        sponsor=line.sponsor,
        reverses=line.reverses,
    )


def _feed(
    core: Services, session: DbSession, mission: Mission, language: str, format: str, entries: list[Entry]
) -> Feed:
    page = f"{core.settings.base_url}/m/{mission.slug}"
    return Feed(
        id=f"urn:uuid:{mission.id}#heads",
        url=f"{page}/heads.{format}?lang={language}",
        page_url=f"{page}/ledger?lang={language}",
        title=f"{text_in(mission.title, language)} · {core.renderer.word(language, 'Public ledger')}",
        subtitle=core.renderer.word(language, "The last line of each day and its hash: keep one, and check it later."),
        author=views.brand(session, mission.organisation_id),
        language=language,
        updated=max((one.updated for one in entries), default=mission.created_at),
        entries=entries,
    )


def _entry(core: Services, mission: Mission, head: LedgerHead, language: str) -> Entry:
    day = format_date(head.day, "d MMMM y", locale=language)
    return Entry(
        id=f"urn:uuid:{mission.id}#head-{head.day.isoformat()}",
        url=f"{core.settings.base_url}/m/{mission.slug}/ledger?lang={language}",
        title=core.renderer.word(language, "Head of %(day)s: line %(number)s", day=day, number=head.number),
        text=f"{head.number}:{head.hash}",
        published=datetime.combine(head.day, time(23, 59, 59), UTC),
        updated=head.published_at,
    )
