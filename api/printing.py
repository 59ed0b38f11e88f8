"""Sheets for the printer and kits for the shops."""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Annotated, Any, Final, Literal

from babel.dates import format_date
from fastapi import APIRouter, Query, Request
from fastapi.responses import Response, StreamingResponse
from pydantic import Field
from sqlmodel import Session as DbSession

from api import schemas
from api.dependencies import Acting, Core, Now, Services
from api.pages.render import LANGUAGES, Renderer
from api.pages.views import brand
from api.policies import Actor, may
from campaigns import identity, ids, missions, places, planning, sponsorship, tokens
from campaigns.clock import zone
from campaigns.errors import Invalid, TooMany
from campaigns.identity import Organisation, Right
from campaigns.missions.models import text_in
from campaigns.places import Place
from campaigns.places.phones import LINK_LIFE
from campaigns.planning import Campaign
from campaigns.sealing import new_secret
from campaigns.tokens import Medium, kits, qr, sheets, spots
from campaigns.tokens.kits import Kit, KitWords
from campaigns.tokens.layouts import (
    LONGEST_CAPTION,
    LabelGrid,
    Layout,
    Paper,
    Shape,
    Sheet,
    Spot,
    Words,
    printable_spots,
)
from campaigns.tokens.lettering import printable
from campaigns.tokens.paper import Ink, Printed

router = APIRouter(prefix="/v1", tags=["printing"])

AT_ONCE = 2  # sheets drawn at a time: each keeps an interpreter busy for seconds, beside the scans
_OWN: Final = {"grid": Sheet.LABELS, "paper": Sheet.TENT, "shape": Sheet.STICKERS, "size_mm": Sheet.STICKERS}
_presses = threading.BoundedSemaphore(AT_ONCE)

_NUMBER: Final[dict[str, Any]] = {"schema": {"type": "number"}}
_HEADERS: Final[dict[str, Any]] = {
    "Sheet-Codes": {"description": "codes on it", **_NUMBER},
    "Sheet-Pages": {"description": "its pages", **_NUMBER},
    "Sheet-Pages-Read-Back": {"description": "pages whose every code was read back", **_NUMBER},
    "Sheet-Module-Mm": {"description": "the width of its finest module, 0.4 or more", **_NUMBER},
    "Sheet-Reading-Distance-Cm": {"description": "from how far its smallest code reads, ten to one", **_NUMBER},
    "Link": {"description": 'the next codes, `rel="next"`, where these are not all', "schema": {"type": "string"}},
}
_PDF: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/pdf": {}}, "headers": _HEADERS}}
_ZIP: Final[dict[int | str, dict[str, Any]]] = {200: {"content": {"application/zip": {}}}}


class BatchSheetAsked(schemas.Request):
    """What is printed of a batch. A field of another format is refused."""

    format: Literal[Sheet.LABELS, Sheet.STICKERS] = Sheet.LABELS
    lang: schemas.Language | None = Field(None, description="else the campaign's first language")
    first: int = Field(1, ge=1, le=1_000_000, description="the first code to print, counted from 1")
    count: int | None = Field(None, ge=1, description="how many at most; else as many as one file takes")
    caption: schemas.Text | None = Field(
        None,
        max_length=LONGEST_CAPTION,
        description="a line for each; `{place}` and `{code}` are its own. Else the place's name",
    )
    ec: qr.ErrorCorrection = Field(qr.ErrorCorrection.M, description="error correction level (ISO/IEC 18004)")
    style: qr.Style = Field(qr.Style.SQUARE, description="the shape of the modules")
    grid: LabelGrid | None = Field(None, description="labels: millimetres of one label, as its package says")
    shape: Shape | None = Field(None, description="stickers: round or square; round when nothing is said")
    size_mm: float | None = Field(None, description="stickers: their width, 30 to 90 mm; 50 when nothing is said")

    def layout(self) -> Layout:
        """The same for the domain. Invalid for a field of another format, and for too many codes."""
        for field, sheet in _OWN.items():
            if field in self.model_fields_set and self.format != sheet:
                raise Invalid(f"{field} belongs to format={sheet}, not to {self.format}.", pointer=f"/{field}")
        if self.count is not None and self.count > sheets.MOST[self.format]:
            detail = f"A file of {self.format} has at most {sheets.MOST[self.format]:,} codes; ask again with first."
            raise Invalid(detail, pointer="/count")
        given = self.model_dump(include=set(_OWN), exclude_none=True)
        return Layout(self.format, Ink(self.ec, self.style), **given)

    @property
    def most(self) -> int:
        """How many codes the file takes."""
        return self.count or sheets.MOST[self.format]


class SheetAsked(BatchSheetAsked):
    """What is printed of a campaign. A field of another format is refused."""

    format: Sheet  # type: ignore[assignment]  # wider than a batch's, and required
    place_id: str | None = Field(None, max_length=90, description="only this place's codes, by id or `ext_...`")
    medium: Literal[Medium.QR, Medium.NFC] | None = Field(
        None, description="only these; else a tag beside a printed code shares its sheet"
    )
    paper: Paper | None = Field(None, description="tent: what a card is folded from; a4 when nothing is said")


class KitsAsked(schemas.Request):
    """Which kits, and whom the shops call."""

    lang: schemas.Language | None = Field(None, description="else the campaign's first language")
    place_id: str | None = Field(None, max_length=90, description="only this place's kit, by id or `ext_...`")
    contact: schemas.Text | None = Field(
        None,
        max_length=kits.LONGEST_CONTACT,
        description="a name with a telephone number or an e-mail address; without it the organisation's telephone and "
        "e-mail, and where it has none a line to write it on",
    )


@router.get(
    "/campaigns/{campaign_id}/sheet.pdf", dependencies=[may(Right.TOKENS_READ)], response_class=Response, responses=_PDF
)
def print_campaign(
    request: Request, campaign_id: str, asked: Annotated[SheetAsked, Query()], actor: Actor, core: Core, now: Now
) -> Response:
    """The campaign's codes to print, by place: posters (`a4`), the thank-you page for the same frames (`thanks`), cards
    to fold (`tent`), `labels`, or `stickers` with bleed and cut marks.

    Black ink alone, vectors, embedded fonts; every code is read back before the file leaves. A tag (NFC) shows where to
    hold the phone. Codes that are not in use, serials and links are left out. A file has 200 posters or cards at most,
    or 2,000 labels: `Link` leads to the next. 409 `nothing_to_print`; 422 where a module would be under 0.4 mm wide or
    a text has letters that the fonts lack (emoji are left out); 503 while others are being drawn.
    """
    layout = asked.layout()
    with core.database.snapshot() as session:  # drawing takes a while: nothing is held open for it
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        place = places.place_by_name(session, actor.organisation_id, asked.place_id) if asked.place_id else None
        standing = spots.standing_of_campaign(
            session, campaign.id, place_id=place.id if place else None, medium=asked.medium, now=now
        )
        tagged = spots.places_with_tags(session, campaign.id, now=now)
        words = _words(core, session, campaign, _language(asked.lang, campaign))
    some = spots.stretch(standing, first=asked.first, count=asked.most)
    frames = _spots(core, some.standing, tagged, asked.caption)
    return _answer(request, f"{layout.sheet}-{ids.show('cmp', campaign.id)}", _drawn(layout, frames, words), some.next)


@router.get(
    "/token-batches/{batch_id}/sheet.pdf",
    dependencies=[may(Right.TOKENS_READ)],
    response_class=Response,
    responses=_PDF,
)
def print_batch(
    request: Request, batch_id: str, asked: Annotated[BatchSheetAsked, Query()], actor: Actor, core: Core, now: Now
) -> Response:
    """The codes of a batch as `labels` or `stickers`, in the order they were made, 2,000 a file: `Link` leads to the
    next, `first` and `count` choose others.

    Of a batch of more than 10,000 codes one page in 50 is read back, and `Sheet-Pages-Read-Back` says how many. 409
    `job_running` while the codes are being made.
    """
    layout = asked.layout()
    with core.database.snapshot() as session:
        batch = tokens.batch_by_id(session, actor.organisation_id, ids.parse("tbt", batch_id))
        tokens.require_made(session, batch)
        campaign = session.get_one(Campaign, batch.campaign_id)
        some = spots.stretch_of_batch(session, batch, first=asked.first, count=asked.most, now=now)
        words = _words(core, session, campaign, _language(asked.lang, campaign))
    frames = _spots(core, some.standing, set(), asked.caption)
    every = 1 if batch.count <= sheets.ALL_READ_UP_TO else sheets.SAMPLE
    printed = _drawn(layout, frames, words, every=every)
    return _answer(request, f"{layout.sheet}-{ids.show('tbt', batch.id)}-{asked.first}", printed, some.next)


@router.get(
    "/campaigns/{campaign_id}/kits.zip", dependencies=[may(Right.STAFF_WRITE)], response_class=Response, responses=_ZIP
)
def print_kits(
    campaign_id: str, asked: Annotated[KitsAsked, Query()], actor: Actor, core: Core, now: Now
) -> StreamingResponse:
    """A ZIP with a folder for each place that has codes: poster, counter card, staff sign-in, and a page with five
    lines and whom to call. It starts at once and grows shop by shop.

    **Each download makes a new sign-in link for each shop**: good once, for 14 days, known to this file alone. So
    nothing may keep it (`no-store`), and links of a download that was thrown away end by themselves. 409
    `nothing_to_print` where no code stands in a place; 422 before anything is made.
    """
    with core.database.snapshot() as session:
        campaign = planning.campaign_by_name(session, actor.organisation_id, campaign_id)
        place = places.place_by_name(session, actor.organisation_id, asked.place_id) if asked.place_id else None
        standing = spots.standing_of_places(session, campaign.id, place_id=place.id if place else None, now=now)
        tagged = spots.places_with_tags(session, campaign.id, now=now)
        language = _language(asked.lang, campaign)
        words = _words(core, session, campaign, language)
        shops = [places.place_by_id(session, actor.organisation_id, one) for one in standing]
        whom = asked.contact or _contact(identity.organisation_by_id(session, actor.organisation_id))
    said = [_kit_words(core.renderer, language, shop, whom, now).printable() for shop in shops]
    made = [Kit(_spots(core, standing[shop.id], tagged, None)) for shop in shops]
    kits.files_of(made[0], words, said[0], sign_in_url=_sign_in_url(core, "x" * len(new_secret())))
    body = kits.zipped(_files(core, actor, shops, made, words, said, now), now=now)
    headers = {
        "Content-Disposition": f'attachment; filename="kits-{ids.show("cmp", campaign.id)}.zip"',
        "Cache-Control": "no-store",
    }
    return StreamingResponse(body, media_type="application/zip", headers=headers)


def _contact(organisation: Organisation) -> str:
    """Whom a shop calls when nobody else was named: the telephone and, where both go onto the page, the e-mail."""
    ways = [one for one in (organisation.contact_phone, organisation.contact_email) if one]
    both = ", ".join(ways)
    return both if len(both) <= kits.LONGEST_CONTACT else ways[0][: kits.LONGEST_CONTACT]


def _files(
    core: Services,
    actor: Acting,
    shops: Sequence[Place],
    made: Sequence[Kit],
    words: Words,
    said: Sequence[KitWords],
    now: datetime,
) -> Iterator[tuple[str, bytes]]:
    """Every shop's files. The pages are drawn first: the link is stored in a transaction of that one row."""
    for shop, kit, one, folder in zip(shops, made, said, kits.folders([shop.name for shop in shops]), strict=True):
        secret = new_secret()
        files = kits.files_of(kit, words, one, sign_in_url=_sign_in_url(core, secret))
        with core.database.transaction(author=actor.author) as session:
            places.issue_staff_link(session, shop, secret=secret, now=now)
        for name, content in files:
            yield f"{folder}/{name}", content


def _sign_in_url(core: Services, secret: str) -> str:
    return f"{core.settings.base_url}/staff/sign-in/{secret}"


@contextmanager
def _turn() -> Iterator[None]:
    """One of the few turns at drawing. TooMany (`busy`) when they are taken: a waiting request would hold a thread."""
    if not _presses.acquire(blocking=False):
        raise TooMany("Other sheets are being drawn just now. Try again in a moment.", code="busy", retry_after_s=3)
    try:
        yield
    finally:
        _presses.release()


def _drawn(layout: Layout, frames: Sequence[Spot], words: Words, *, every: int = 1) -> Printed:
    with _turn():
        return sheets.draw(layout, frames, words, every=every)


def _spots(core: Services, standing: Sequence[spots.Standing], tagged: set[Any], caption: str | None) -> list[Spot]:
    if caption is not None:  # what was asked for is refused by its own name, a place's by the place's
        printable_asked = printable(caption, "/caption")
        if not printable_asked and caption:
            raise Invalid("This caption shows nothing on paper; write a word or leave it empty.", pointer="/caption")
    base = core.settings.base_url
    return printable_spots([spots.spot(one, base, tagged=tagged, caption=caption) for one in standing])


def _answer(request: Request, name: str, printed: Printed, following: int | None) -> Response:
    headers = {
        "Content-Disposition": f'attachment; filename="{name}.pdf"',
        "Cache-Control": "private, no-store",
        "Sheet-Codes": str(printed.codes),
        "Sheet-Pages": str(printed.pages),
        "Sheet-Pages-Read-Back": str(printed.read_back),
    }
    if printed.module_mm is not None:
        headers["Sheet-Module-Mm"] = f"{printed.module_mm:.2f}"
        headers["Sheet-Reading-Distance-Cm"] = str(printed.distance_cm)
    if following is not None:
        url = request.url.include_query_params(first=following)
        headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return Response(printed.pdf, media_type="application/pdf", headers=headers)


def _language(asked: str | None, campaign: Campaign) -> str:
    return asked or next((one for one in campaign.languages if one in LANGUAGES), "en")


def _words(core: Services, session: DbSession, campaign: Campaign, language: str) -> Words:
    """What the sheets of a campaign say: its first mission's title and promise, and how far the mission came."""
    renderer, mission = core.renderer, missions.mission_of(session, campaign.id)
    reached = sponsorship.progress(session, mission) if mission else None
    return Words(
        brand=brand(session, campaign.organisation_id),
        title=text_in(mission.title, language) if mission else campaign.name,
        promise=text_in(mission.promise, language) if mission else "",
        scan=renderer.word(language, "Scan with your phone"),
        hold=renderer.word(language, "Hold your phone here"),
        or_hold=renderer.word(language, "or tap it here"),
        ease=renderer.word(language, "No app, no account."),
        type_at=renderer.word(language, "Or type this code at %(url)s", url=core.settings.base_url.partition("://")[2]),
        keep=renderer.word(language, "No network here? Keep this code and type it later."),
        reads=renderer.word(language, "Code of %(mm)s mm, reads from up to %(cm)s cm. Print at 100%%."),
        cut=renderer.word(language, "Cut along the marks."),
        thanks=renderer.word(language, "Thank you!"),
        reached=renderer.word(language, "What we reached together"),
        look=renderer.word(language, "Scan to see what became of it"),
        figure=reached.words(reached.done, language) if reached and reached.done else "",
        goal=_goal(renderer, language, mission.goal_metric, reached) if mission and reached else "",
        notice=text_in(identity.organisation_by_id(session, campaign.organisation_id).mandatory_notice, language),
        share=reached.done / reached.goal if reached else None,
    ).printable()


def _goal(renderer: Renderer, language: str, metric: str, reached: sponsorship.Progress) -> str:
    shown = reached.words(reached.goal, language)
    if metric == missions.GoalMetric.CHECK_INS:
        return renderer.word(language, "confirmed visits, of %(shown)s hoped for", shown=shown)
    if metric == missions.GoalMetric.PARTICIPANTS:
        return renderer.word(language, "people, of %(shown)s hoped for", shown=shown)
    if metric == missions.GoalMetric.AMOUNT_MINOR:
        return renderer.word(language, "unlocked for the cause, of %(shown)s hoped for", shown=shown)
    return renderer.word(language, "of %(shown)s", shown=shown)


def _kit_words(renderer: Renderer, language: str, place: Place, contact: str, now: datetime) -> KitWords:
    until = format_date((now + LINK_LIFE).astimezone(zone(place.time_zone)), "long", locale=language)
    return KitWords(
        files=(
            renderer.word(language, "1-poster.pdf"),
            renderer.word(language, "2-counter-card.pdf"),
            renderer.word(language, "3-staff-sign-in.pdf"),
            renderer.word(language, "4-how-to.pdf"),
        ),
        sign_in=renderer.word(language, "Staff sign-in"),
        sign_in_scan=renderer.word(language, "Scan this with the shop’s phone."),
        sign_in_until=renderer.word(language, "Works once, until %(day)s.", day=until),
        sign_in_secret=renderer.word(
            language, "Keep this page from customers: whoever scans it first acts for the shop. Tear it up afterwards."
        ),
        how_to=renderer.word(language, "Five minutes to begin"),
        steps=(
            renderer.word(language, "Hang the poster at eye level, in good light, where people may stand."),
            renderer.word(language, "Fold the counter card along the dashed line and stand it beside the till."),
            renderer.word(
                language, "Sign the shop’s phone in with page 3, choose its PIN: it then shows the till code."
            ),
            renderer.word(language, "Scan the poster with your own phone: its page must open."),
            renderer.word(language, "Look each morning that nothing is stuck over the code. If so, take it down."),
        ),
        question=renderer.word(language, "A question? Whom to call:"),
        contact=contact,
    )
