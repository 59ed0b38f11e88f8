"""A kit a shop: what hangs, what stands at the till, the staff's way in, and five lines that say what to do."""

import zipfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any, Final

from campaigns.ids import plain_name
from campaigns.tokens import notices, sheets
from campaigns.tokens.layouts import Layout, Paper, Sheet, Spot, Words
from campaigns.tokens.lettering import printable
from campaigns.tokens.paper import A5, GREY, Ink, Pen, Press
from campaigns.tokens.typesetting import LEADING, PT, fit, width

LONGEST_CONTACT: Final = 120  # characters
_MARGIN: Final = 16.0
_ACROSS: Final = A5[0] - 2 * _MARGIN
_NOTICE: Final = 194.5  # where it begins, on the pages of a kit


@dataclass(frozen=True)
class KitWords:
    """What a kit says beside its sheets, finished in one language: `files` are the names of its four files."""

    files: tuple[str, str, str, str]
    sign_in: str
    sign_in_scan: str
    sign_in_until: str
    sign_in_secret: str
    how_to: str
    steps: tuple[str, ...]
    question: str
    contact: str

    def printable(self) -> "KitWords":
        """The same with what paper can show. Invalid for letters of another script in the contact."""
        texts = {one.name: getattr(self, one.name) for one in fields(self)}
        shown: dict[str, Any] = {
            name: printable(text, f"/{name}") for name, text in texts.items() if isinstance(text, str)
        }
        return replace(self, steps=tuple(printable(step, "/steps") for step in self.steps), **shown)


@dataclass(frozen=True)
class Kit:
    """A shop's spots, one at least."""

    spots: Sequence[Spot]

    @property
    def name(self) -> str:
        """What its sheets call it."""
        return self.spots[0].caption


def files_of(kit: Kit, words: Words, said: KitWords, *, sign_in_url: str) -> list[tuple[str, bytes]]:
    """The four files of a shop by name: posters, counter cards, the staff's sign-in, and how to begin."""
    poster = sheets.draw(Layout(Sheet.A4), kit.spots, words).pdf
    card = sheets.draw(Layout(Sheet.TENT, paper=Paper.A4), kit.spots, words).pdf
    pages = (poster, card, sign_in_page(kit, words, said, sign_in_url), how_to_page(kit, words, said))
    return list(zip(said.files, pages, strict=True))


def sign_in_page(kit: Kit, words: Words, said: KitWords, url: str) -> bytes:
    """An A5 page with the one-time link that signs the shop's phone in."""
    press = Press(said.sign_in, A5, Ink())
    with press.page() as pen:
        y = _heading(pen, kit, words, said.sign_in)
        free = pen.quiet_share(url) * 74
        pen.code(url, _MARGIN - free, 74 - free, 74 + 2 * free)
        y = pen.block(fit(said.sign_in_scan, _ACROSS, most=12 * PT, least=9 * PT, lines=2, bold=True), _MARGIN, 164)
        y = pen.block(fit(said.sign_in_until, _ACROSS, most=10 * PT, least=7 * PT, lines=2), _MARGIN, y + 6)
        pen.block(fit(said.sign_in_secret, _ACROSS, most=8.5 * PT, least=7 * PT, lines=3), _MARGIN, y + 5, tint=GREY)
        notices.strip(pen, words.notice, _MARGIN, _NOTICE, _ACROSS)
    return press.finish().pdf


def how_to_page(kit: Kit, words: Words, said: KitWords) -> bytes:
    """An A5 page: five lines, and whom to call, or a line to write that on."""
    press = Press(said.how_to, A5, Ink())
    with press.page() as pen:
        y = max(_heading(pen, kit, words, said.how_to) + 12, 66)
        for number, step in enumerate(said.steps, 1):
            block = fit(step, _ACROSS - 12, most=10.5 * PT, least=8 * PT, lines=3)
            pen.line(str(number), _MARGIN, y + 0.73 * 15 * PT, 15 * PT, bold=True)
            y = max(pen.block(block, _MARGIN + 12, y + 0.6), y + 6) + 7
        pen.rule(_MARGIN, 172, _ACROSS, 0)
        pen.line(said.question, _MARGIN, 180, 9 * PT, tint=GREY)
        if said.contact:
            pen.block(fit(said.contact, _ACROSS, most=12 * PT, least=7 * PT, lines=2, bold=True), _MARGIN, 184)
        else:
            pen.rule(_MARGIN, 194, _ACROSS, 0, thick=0.2, dash=(0.3, 1.2))
        notices.strip(pen, words.notice, _MARGIN, _NOTICE, _ACROSS)
    return press.finish().pdf


def folders(names: Sequence[str]) -> list[str]:
    """A folder's name for each shop: its number and what any system takes of its name, so none is there twice."""
    digits = max(2, len(str(len(names))))
    return [f"{number:0{digits}d}-{plain_name(name)}".rstrip("-") for number, name in enumerate(names, 1)]


def zipped(files: Iterable[tuple[str, bytes]], *, now: datetime) -> Iterator[bytes]:
    """A ZIP as it grows, each file in memory alone. PDFs are compressed already."""
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_STORED) as archive:  # type: ignore[call-overload]  # it only writes
        for name, content in files:
            archive.writestr(zipfile.ZipInfo(name, now.timetuple()[:6]), content)
            yield outlet.taken()
    yield outlet.taken()


class _Outlet:
    """What a ZIP is written to, a piece at a time. It cannot seek, so each file's size follows it (APPNOTE 4.3.9)."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    def flush(self) -> None:
        """Nothing waits elsewhere."""

    def taken(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


def _heading(pen: Pen, kit: Kit, words: Words, title: str) -> float:
    size = min(11 * PT, _ACROSS / max(width(words.brand, 1, bold=True), 0.01))
    pen.line(words.brand, _MARGIN, 20, size, bold=True)
    pen.rule(_MARGIN, 25, _ACROSS, 0)
    y = pen.block(fit(title, _ACROSS, most=22 * PT, least=14 * PT, lines=2, bold=True), _MARGIN, 34)
    return pen.block(fit(kit.name, _ACROSS, most=11 * PT, least=7 * PT, lines=2), _MARGIN, y + 11 * PT * LEADING)
