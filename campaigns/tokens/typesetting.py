"""Setting text: how wide a line is, and how large a text may be to go into so many lines.

The letters are Bitstream Vera, regular and bold, which ReportLab carries; a PDF embeds those it uses.
"""

from pathlib import Path
from typing import Final, NamedTuple

import reportlab
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont

from campaigns.tokens.lettering import CAP_HEIGHT

PT: Final = 25.4 / 72  # a typographer's point in millimetres, which all sizes of ours are
LEADING: Final = 1.22  # from one baseline to the next, of the size
REGULAR: Final = "Passerelle"
BOLD: Final = "Passerelle-Bold"
_STEP: Final = 0.95  # a text that does not fit is tried a twentieth smaller

for _name, _file in ((REGULAR, "Vera.ttf"), (BOLD, "VeraBd.ttf")):
    pdfmetrics.registerFont(TTFont(_name, str(Path(reportlab.__file__).parent / "fonts" / _file)))


class Block(NamedTuple):
    """A text as it was set: its lines and the size they have in common."""

    lines: tuple[str, ...]
    size: float
    is_bold: bool
    is_cut: bool = False

    @property
    def height(self) -> float:
        """From the top of the first line's capitals to the last baseline."""
        return self.size * (CAP_HEIGHT + LEADING * (len(self.lines) - 1)) if self.lines else 0.0


def width(line: str, size: float, *, bold: bool = False) -> float:
    """The width of a line as it prints."""
    return float(pdfmetrics.stringWidth(line, BOLD if bold else REGULAR, size))


def fit(text: str, across: float, *, most: float, least: float, lines: int, bold: bool = False) -> Block:
    """The text as large as it goes into so many lines, in even ones; at the least size its end may be cut off (…)."""
    if not text:
        return Block((), most, bold)
    size = most
    while (found := _wrapped(text, across, size, bold)) is None or len(found) > lines:
        size *= _STEP
        if size < least:
            cut = _cut(text, across, least, lines, bold)
            return Block(cut, least, bold, is_cut=bool(cut) and cut[-1].endswith("…"))
    return Block(_even(text, across, size, bold, found), size, bold)


def fit_first(text: str, across: float, *tries: tuple[float, float, int], bold: bool = False) -> Block:
    """The text by the first of the tries (most, least, lines) that holds all of it, else by the last, cut off."""
    for most, least, lines in tries:
        block = fit(text, across, most=most, least=least, lines=lines, bold=bold)
        if not block.is_cut:
            return block
    return block


def _wrapped(text: str, across: float, size: float, bold: bool) -> list[str] | None:
    """The lines of a text; None when a word alone is too wide."""
    lines: list[str] = []
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and width(longer, size, bold=bold) <= across:
            lines[-1] = longer
        elif width(word, size, bold=bold) <= across:
            lines.append(word)
        else:
            return None
    return lines


def _even(text: str, across: float, size: float, bold: bool, found: list[str]) -> tuple[str, ...]:
    """The same number of lines, as near in length as they come: no last word stands alone."""
    if len(found) == 1:
        return tuple(found)
    narrow, wide = across / 2, across
    for _ in range(6):
        middle = (narrow + wide) / 2
        tried = _wrapped(text, middle, size, bold)
        if tried is not None and len(tried) <= len(found):
            wide, found = middle, tried
        else:
            narrow = middle
    return tuple(found)


def _cut(text: str, across: float, size: float, lines: int, bold: bool) -> tuple[str, ...]:
    """The first lines of a text that is too long at any size, a word that is too long being broken."""
    rest, found = text, list[str]()
    while rest and len(found) < lines:
        is_last = len(found) == lines - 1
        if width(rest, size, bold=bold) <= across:
            return (*found, rest)
        room = across - (width("…", size, bold=bold) if is_last else 0)
        end = max(1, next((n for n in range(1, len(rest)) if width(rest[: n + 1], size, bold=bold) > room), len(rest)))
        gap = max(rest.rfind(" ", 0, end + 1), rest.rfind("-", 0, end) + 1)
        end = gap if gap > end / 3 else end
        found.append(rest[:end].rstrip() + ("…" if is_last else ""))
        rest = rest[end:].lstrip()
    return tuple(found)
