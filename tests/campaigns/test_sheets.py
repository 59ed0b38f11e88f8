from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from campaigns.errors import Invalid
from campaigns.identity.legal_data import LONGEST_NOTICE
from campaigns.tokens import codes, sheets
from campaigns.tokens.layouts import (
    GRIDS,
    LabelGrid,
    Layout,
    Paper,
    Shape,
    Sheet,
    Spot,
    Words,
    printable_spots,
    sticker_grid,
)
from campaigns.tokens.notices import require_printable
from campaigns.tokens.paper import A4, Ink, Press, Printed
from campaigns.tokens.qr import ErrorCorrection, Style
from tests.printed import box_of, codes_on, corners, cut_out, from_afar, images_in, pages, streams, text_boxes, words_in

URL = "HTTPS://VERGER.EXAMPLE.FR/T/7K3Q9XAB"
MODULES = 25  # a side of its codes at level M
PLACE = "Bellecour, 12 rue de la République"
LONG = "Boulangerie-pâtisserie Saint-Jean-Baptiste de la Croix-Rousse, 114 boulevard de la Croix-Rousse, 69004 Lyon"
WORDS = Words(
    brand="La Halle de Lyon",
    title="Un verger pour l’école Jean-Macé",
    promise="Un arbre planté tous les cent passages confirmés.",
    scan="Scannez avec votre téléphone",
    hold="Posez votre téléphone ici",
    or_hold="ou posez-le ici",
    ease="Ni application ni compte.",
    type_at="Ou saisissez ce code sur verger.example.fr",
    keep="Pas de réseau ici ? Gardez ce code.",
    reads="Code de %(mm)s mm, lisible jusqu’à %(cm)s cm. Imprimez à 100 %%.",
    cut="Coupez le long des repères.",
    thanks="Merci !",
    reached="Ce que nous avons atteint ensemble",
    look="Scannez pour voir la suite",
    figure="1 240",
    goal="passages confirmés, sur 2 000 espérés",
    share=0.62,
)
WORDY = replace(
    WORDS,
    brand="Compagnie générale des Halles et Marchés du Grand Lyon " * 2,
    title="Une très longue promesse pour le quartier de la Croix-Rousse : des arbres fruitiers, des bancs et des "
    "jardins partagés pour chacune des écoles du quartier et des alentours, anticonstitutionnellement",
    promise="Pour chaque passage confirmé dans l’un de nos magasins, La Halle verse dix centimes à l’association des "
    "parents d’élèves, dans la limite de cinq mille euros, du premier octobre au trente novembre.",
    type_at="Ou saisissez ce code sur un-nom-de-domaine-qui-est-vraiment-long.magasins.example.fr",
    notice=("Pour votre santé, évitez de manger trop gras, trop sucré, trop salé, et bougez. " * 4)[
        :LONGEST_NOTICE
    ].strip(),
)
LAYOUTS = {
    "poster": Layout(Sheet.A4),
    "thanks": Layout(Sheet.THANKS),
    "tent": Layout(Sheet.TENT),
    "small tent": Layout(Sheet.TENT, paper=Paper.A5),
    "round stickers": Layout(Sheet.STICKERS),
    "square stickers": Layout(Sheet.STICKERS, shape=Shape.SQUARE, size_mm=40),
    "small stickers": Layout(Sheet.STICKERS, size_mm=30),
    **{f"labels {grid}": Layout(Sheet.LABELS, grid=grid) for grid in LabelGrid},
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)


def spots(number: int, **fields: Any) -> list[Spot]:
    made: dict[str, Any] = {"caption": PLACE, **fields}
    return [Spot(f"{URL}{at:02d}", "7K3Q-9XAB-W4", **made) for at in range(number)]


def tags(number: int) -> list[Spot]:
    return [Spot(None, "7K3Q-9XAB-W4", PLACE, has_tag=True) for _ in range(number)]


def draw(layout: Layout, some: list[Spot], words: Words = WORDS) -> Printed:
    return sheets.draw(layout, printable_spots(some), words.printable())


def cells(layout: Layout) -> int:
    if layout.sheet is Sheet.LABELS:
        return GRIDS[layout.grid].cells
    return sticker_grid(layout.size_mm).cells if layout.sheet is Sheet.STICKERS else 1


def by_opencv(picture: Image.Image) -> str:
    return str(cv2.QRCodeDetector().detectAndDecode(np.asarray(picture))[0])


@every_layout
def test_every_code_reads_in_print_and_from_afar(layout: Layout) -> None:
    each = 2 if layout.sheet is Sheet.TENT else 1
    number = cells(layout) + 1
    printed = draw(layout, spots(number, has_tag=True))
    assert (printed.pages, printed.codes, printed.read_back) == (2, number * each, 2)
    found, rate = Counter[str](), Counter[str]()
    for page in pages(printed.pdf):
        for code in codes_on(page):
            found[code.text] += 1
            near, afar = cut_out(page, code), from_afar(page, code)
            rate["zxing from afar"] += [one.text for one in codes_on(afar)] == [code.text]
            rate["opencv"] += by_opencv(near) == code.text
            rate["opencv from afar"] += by_opencv(afar) == code.text
    print(layout.sheet, layout.grid, sum(found.values()), dict(rate))  # noqa: T201  # the rates, for `pytest -rP`
    assert found == Counter({spot.url: each for spot in spots(number)})
    assert rate["zxing from afar"] == number * each
    assert rate["opencv"] >= 0.9 * number * each
    assert rate["opencv from afar"] >= 0.8 * number * each


@every_layout
def test_black_is_one_ink_and_nothing_is_a_picture(layout: Layout) -> None:
    pdf = draw(layout, spots(3, has_tag=True)).pdf
    drawn = "\n".join(streams(pdf))
    assert "0 0 0 1 k" in drawn
    inks = set(drawn.split()) & {"g", "G", "rg", "RG", "cs", "CS", "sc", "scn", "sh", "Do", "BI"}
    assert not inks
    used = [line.split()[:3] for line in drawn.replace(" k ", " k\n").splitlines() if line.endswith((" k", " K"))]
    assert used
    assert all(cyan_magenta_yellow == ["0"] * 3 for cyan_magenta_yellow in used)
    assert images_in(pdf) == 0


@every_layout
def test_fonts_travel_with_the_page(layout: Layout) -> None:
    pdf = draw(layout, spots(1)).pdf
    assert pdf.count(b"/Subtype /TrueType") == pdf.count(b"/FontFile2") == pdf.count(b"/Type /FontDescriptor") > 0
    assert b"/Type1" not in pdf
    assert b"Helvetica" not in pdf


@every_layout
@pytest.mark.parametrize("wordy", [False, True], ids=["short words", "long words"])
def test_words_stay_on_their_page_and_out_of_the_quiet_zones(layout: Layout, wordy: bool) -> None:
    caption = LONG if wordy else "Bellecour"
    printed = draw(layout, spots(cells(layout), has_tag=True, caption=caption), WORDY if wordy else WORDS)
    page = pages(printed.pdf)[0]
    wide, high = page.width * 25.4 / 300, page.height * 25.4 / 300
    texts = text_boxes(printed.pdf)
    assert texts
    assert all(left > 3 and top > 3 and right < wide - 3 and bottom < high - 3 for left, top, right, bottom in texts)
    for code in codes_on(page):
        left, top, right, bottom = box_of(code)
        free = int((right - left) / MODULES * 3.8)
        around = np.asarray(page.convert("L"))[top - free : bottom + free, left - free : right + free].copy()
        around[free - 6 : -free + 6, free - 6 : -free + 6] = 255
        assert (around > 200).all(), "something stands in the quiet zone"


@every_layout
@pytest.mark.parametrize("notice", ["Mangez bien.", WORDY.notice], ids=["short", "long"])
def test_a_notice_stands_whole_on_every_page(layout: Layout, notice: str) -> None:
    words = replace(WORDS, notice=notice)
    number = cells(layout) + 1
    printed = draw(layout, spots(number), words)
    each = 2 if layout.sheet is Sheet.TENT else 1
    assert (printed.pages, printed.codes) == (2, number * each)
    assert words_in(printed.pdf).count(notice) == printed.pages * each
    assert words_in(draw(layout, spots(1)).pdf).count(notice) == 0


@pytest.mark.parametrize("text", ["健康", "🍎", "W" * LONGEST_NOTICE])
def test_a_notice_that_paper_cannot_show_is_refused(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        require_printable({"fr": "Mangez bien.", "en": text})
    assert refusal.value.context["pointer"] == "/mandatory_notice"
    require_printable({"fr": WORDY.notice})
    require_printable(None)


def test_both_faces_of_a_card_stand_upright_once_it_is_folded() -> None:
    (page,) = pages(draw(Layout(Sheet.TENT), spots(1)).pdf)
    first, second = sorted(codes_on(page), key=lambda code: box_of(code)[1])
    assert box_of(first)[3] < page.height / 2 < box_of(second)[1]
    assert abs(first.orientation) == 180
    assert second.orientation == 0
    # Turned about the fold, each face lies on the other's back: left of one is right of the other.
    assert box_of(first)[2] == pytest.approx(page.width - box_of(second)[0], abs=8)
    fold = np.asarray(page.convert("L"))[page.height // 2 - 4 : page.height // 2 + 4].min(axis=0)
    assert 0.4 < (fold < 200).mean() < 0.7


@pytest.mark.parametrize("shape", list(Shape))
def test_a_sticker_has_its_bleed_and_eight_cut_marks(shape: Shape) -> None:
    layout = Layout(Sheet.STICKERS, shape=shape, size_mm=50)
    printed = draw(layout, spots(1))
    (drawn,) = streams(printed.pdf)
    assert drawn.count(" l S") == 8
    left, top = sticker_grid(50).corner(0)
    dots = np.asarray(pages(printed.pdf, 600)[0].convert("L"))

    def dark(x: float, y: float) -> bool:
        return bool(dots[round((top + y) / 25.4 * 600), round((left + x) / 25.4 * 600)] < 128)

    assert [dark(25, y) for y in (-1.8, -2.4)] == [True, False]
    assert [dark(x, 25) for x in (51.8, 52.4)] == [True, False]
    assert (
        all(dots[round(top / 25.4 * 600) - 3 : round(top / 25.4 * 600) + 4, round((left - 4) / 25.4 * 600)] > 128)
        is False
    )
    assert not dark(-2.2, 0)


def test_a_tag_has_a_mark_and_no_code() -> None:
    for layout in LAYOUTS.values():
        printed = draw(layout, tags(1))
        assert (printed.pages, printed.codes, printed.module_mm, printed.distance_cm) == (1, 0, None, None)
        if layout.sheet is not Sheet.THANKS:
            assert drawn_arcs(printed.pdf) >= 8
        words = words_in(printed.pdf)
        assert "Scannez avec" not in words
        assert "7K3Q" in words or layout.sheet is Sheet.STICKERS  # there letter by letter


def drawn_arcs(pdf: bytes) -> int:
    return sum(drawn.count(" c") for drawn in streams(pdf))


def test_a_spot_with_a_tag_shows_where_to_hold_the_phone() -> None:
    for layout in (Layout(Sheet.A4), Layout(Sheet.TENT), Layout(Sheet.LABELS)):
        plain, tagged = (draw(layout, spots(1, has_tag=has_tag)).pdf for has_tag in (False, True))
        assert drawn_arcs(tagged) > drawn_arcs(plain)
        assert "ou posez-le ici" not in words_in(plain)
    assert "ou posez-le ici" in words_in(draw(Layout(Sheet.A4), spots(1, has_tag=True)).pdf)


def test_a_poster_says_what_it_is_about_and_from_how_far_it_reads() -> None:
    printed = draw(Layout(Sheet.A4), spots(1))
    words = words_in(printed.pdf)
    for text in (WORDS.brand, WORDS.title, WORDS.promise, WORDS.scan, WORDS.ease, WORDS.type_at, "7K3Q-9XAB-W4", PLACE):
        assert text in words.replace("\xa0", " "), text
    assert "Code de 100 mm, lisible jusqu’à 100 cm. Imprimez à 100 %." in words
    assert (round(printed.module_mm or 0, 2), printed.distance_cm) == (4.0, 100)
    (code,) = codes_on(pages(printed.pdf)[0])
    (left, top), (right, _), *_ = corners(code)
    assert (right - left) * 25.4 / 300 == pytest.approx(100, abs=1)
    assert left * 25.4 / 300 == pytest.approx(20, abs=0.5), "the code hangs from the margin, as the words do"
    assert top > 0


def test_thanks_tell_what_was_reached_or_leave_it_out() -> None:
    told = words_in(draw(Layout(Sheet.THANKS), spots(1)).pdf)
    assert "Merci" in told
    assert "1 240" in told.replace("\xa0", " ")
    silent = words_in(draw(Layout(Sheet.THANKS), spots(1), replace(WORDS, figure="", goal="", share=None)).pdf)
    assert WORDS.reached in told
    assert WORDS.reached not in silent
    assert "%" not in silent.replace("100 %", "")


@pytest.mark.parametrize("style", list(Style))
def test_every_style_and_level_fits_a_label(style: Style) -> None:
    for level in ErrorCorrection:
        printed = draw(Layout(Sheet.LABELS, Ink(level, style)), spots(3))
        assert printed.codes == 3


@pytest.mark.parametrize(
    ("layout", "pointer"),
    [
        (Layout(Sheet.LABELS, grid=LabelGrid.G38X21), "/grid"),
        (Layout(Sheet.STICKERS, size_mm=30), "/size_mm"),
    ],
)
def test_modules_too_fine_for_print_are_refused_with_the_remedy(layout: Layout, pointer: str) -> None:
    long = Spot(
        "https://un-nom-de-domaine-bien-long.example.fr/passerelle/t/7K3Q9XABW4?" + "x" * 60, "7K3Q-9XAB-W4", ""
    )
    with pytest.raises(Invalid, match=r"0\.\d\d mm wide; below 0\.4 mm") as refusal:
        draw(layout, [long])
    assert refusal.value.context["pointer"] == pointer
    assert draw(Layout(Sheet.LABELS, grid=LabelGrid.G99X67), [long]).codes == 1


def test_a_page_whose_code_does_not_read_is_not_handed_out() -> None:
    for spoilt in (0, 1):
        press = Press("Spoilt", A4, Ink(), pointer="/grid")
        for number in range(2):
            with press.page() as pen:
                pen.code(f"{URL}{number}", 20, 20, 40)
                if number == spoilt:
                    pen.box(20, 20, 20, 20, tint=0)
        with pytest.raises(Invalid, match=f"page {spoilt + 1} does not read") as refusal:
            press.finish()
        assert refusal.value.context["pointer"] == "/grid"


def test_a_corner_that_looks_like_a_micro_code_is_none() -> None:
    # Of these 24 codes one has a finder that the reader, asked for all of the family, takes for a Micro QR code.
    some = [Spot(f"HTTPS://VERGER.EXAMPLE.FR/T/7K3Q9XABW{last}", "7K3Q-9XAB-W4", PLACE) for last in codes.ALPHABET[:24]]
    assert draw(Layout(Sheet.LABELS), some).codes == 24


def test_a_code_that_nobody_placed_is_as_wrong_as_one_that_is_missing() -> None:
    press = Press("Strange", A4, Ink())
    with press.page() as pen:
        pen.code(f"{URL}1", 20, 20, 40)
        pen.code(f"{URL}2", 90, 20, 40)
        pen.placed.pop()
    with pytest.raises(Invalid, match="does not read back"):
        press.finish()


def test_a_sample_of_pages_is_read_when_it_is_asked_for() -> None:
    press = Press("Sample", A4, Ink())
    for number in range(5):
        with press.page() as pen:
            pen.code(f"{URL}{number}", 20, 20, 40)
            if number % 2:
                pen.box(20, 20, 20, 20, tint=0)
    assert press.finish(every=2).read_back == 3


def test_the_same_sheet_is_the_same_bytes() -> None:
    for layout in LAYOUTS.values():
        assert draw(layout, spots(2)).pdf == draw(layout, spots(2)).pdf


def test_two_threads_draw_what_one_draws() -> None:
    wanted = [draw(layout, spots(3)).pdf for layout in LAYOUTS.values()]
    with ThreadPoolExecutor(4) as threads:
        for _ in range(2):
            assert list(threads.map(lambda layout: draw(layout, spots(3)).pdf, LAYOUTS.values())) == wanted


def test_paper_leaves_emoji_out_and_refuses_letters_it_has_not() -> None:
    assert printable_spots(spots(1, caption="Chez 🍎 Nadine\u202f! ❤️"))[0].caption == "Chez Nadine\xa0!"
    assert replace(WORDS, title="🌳🌳\n\tUn  verger").printable().title == "Un verger"
    for text in ("שלום", "مرحبا بكم", "日本", "Café 東京"):
        with pytest.raises(Invalid, match=r"U\+[0-9A-F]{4}") as refusal:
            printable_spots(spots(1, caption=text))
        assert text in refusal.value.detail
        with pytest.raises(Invalid):
            replace(WORDS, promise=text).printable()


def test_a_sticker_is_no_smaller_and_no_larger_than_it_may_be() -> None:
    for size in (29.9, 90.1, -1, float("nan")):
        with pytest.raises(Invalid, match="30 to 90 mm"):
            sticker_grid(size)
    for size in (30, 55.5, 90):
        grid = sticker_grid(size)
        right, bottom = (at + size for at in grid.corner(grid.cells - 1))
        assert grid.cells >= 2
        assert right < A4[0] - 8
        assert bottom < A4[1] - 8
        assert min(grid.corner(0)) > 8


@pytest.mark.parametrize("grid", list(LabelGrid))
def test_a_grid_is_in_the_middle_of_its_page(grid: LabelGrid) -> None:
    found = GRIDS[grid]
    right, bottom = found.corner(found.cells - 1)
    assert right + found.across == pytest.approx(A4[0] - found.left, abs=0.2)
    assert bottom + found.down == pytest.approx(A4[1] - found.top, abs=0.2)
    assert f"{found.across:g}x{found.down:g}" == grid.value
