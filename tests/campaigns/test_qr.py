import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import cv2
import numpy as np
import pypdfium2
import pytest
import resvg_py
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter

from campaigns.errors import Invalid
from campaigns.tokens import qr
from campaigns.tokens.gallery import Gallery
from campaigns.tokens.logos import Logo, read_logo
from campaigns.tokens.qr import ErrorCorrection, Finder, Format, Look, Size, Style, matrix, terminal

URL = "HTTP://192.168.1.10:8000/T/7K3Q9XABW4"
Drawing = Callable[..., bytes]


def drawing(format: Format) -> Drawing:
    def draw(text: str, *, module_px: int | None = None, module_mm: float | None = None, **look: Any) -> bytes:
        return qr.draw(text, Look(**look), format=format, size=Size(module_px, module_mm))

    return draw


svg, png, pdf = (drawing(format) for format in (Format.SVG, Format.PNG, Format.PDF))
drawings = pytest.mark.parametrize("draw", [svg, png])


def pixels(image: bytes, width: int | None = None) -> Image.Image:
    """What a screen or a printer makes of it; `width` in pixels, for what has none of its own."""
    if image.startswith(b"%PDF"):
        document = pypdfium2.PdfDocument(image)
        page = document[0]
        picture: Image.Image = page.render(scale=(width or 300) / page.get_width()).to_pil().convert("RGB")
        document.close()
        return picture
    if image.startswith(b"<svg"):
        image = resvg_py.svg_to_bytes(svg_string=image.decode(), width=width, dpi=96)
    return Image.open(io.BytesIO(image)).convert("RGB")


def make_logo(width: int = 300, height: int = 300) -> Logo:
    picture = Image.new("RGBA", (width, height), (0, 0, 0, 0))
    ImageDraw.Draw(picture).ellipse((4, 4, width - 5, height - 5), fill="#c8102e")
    file = io.BytesIO()
    picture.save(file, "PNG")
    return read_logo(file.getvalue())


def read_by_zxing(picture: Image.Image) -> list[str]:
    return [code.text for code in zxingcpp.read_barcodes(picture)]


def read_by_opencv(picture: Image.Image) -> str:
    return str(cv2.QRCodeDetector().detectAndDecode(np.asarray(picture))[0])


@drawings
@pytest.mark.parametrize("level", list(ErrorCorrection))
def test_two_readers_agree_with_the_text(draw: Drawing, level: ErrorCorrection) -> None:
    picture = pixels(draw(URL, error_correction=level, module_px=8))
    assert read_by_zxing(picture) == [URL]
    assert read_by_opencv(picture) == URL


@drawings
def test_brand_colours_read(draw: Drawing) -> None:
    image = draw(URL, error_correction=ErrorCorrection.Q, module_px=6, dark="#7a0019", light="#FFF3d6")
    picture = pixels(image)
    assert read_by_zxing(picture) == [URL]
    assert read_by_opencv(picture) == URL
    assert set(picture.get_flattened_data()) == {(0x7A, 0, 0x19), (0xFF, 0xF3, 0xD6)}


@drawings
def test_a_text_in_french_reads_back(draw: Drawing) -> None:
    text = "Café à l'épicerie, 3 € 日本"
    assert read_by_zxing(pixels(draw(text, error_correction=ErrorCorrection.M, module_px=4))) == [text]


@settings(max_examples=25, deadline=None)
@given(st.from_regex(r"https://[a-z]{1,20}\.fr/t/[0-9A-Z]{10}(\?[a-z=&0-9]{1,60})?", fullmatch=True))
def test_every_url_is_drawn_the_same_by_both(url: str) -> None:
    vector = pixels(svg(url, error_correction=ErrorCorrection.M, module_px=3))
    bitmap = pixels(png(url, error_correction=ErrorCorrection.M, module_px=3))
    assert vector.tobytes() == bitmap.tobytes()
    assert read_by_zxing(bitmap) == [url]


def test_an_upper_case_url_gives_a_smaller_code() -> None:
    upper, lower = matrix(URL, ErrorCorrection.M), matrix(URL.lower(), ErrorCorrection.M)
    assert (len(upper), len(lower)) == (25, 29)


def test_more_error_correction_takes_a_larger_code() -> None:
    sides = [len(matrix(URL, level)) for level in ErrorCorrection]
    assert all(smaller <= larger for smaller, larger in pairwise(sides))
    assert sides[0] < sides[-1]


def test_a_damaged_code_with_much_correction_still_reads() -> None:
    picture = pixels(png(URL, error_correction=ErrorCorrection.H, module_px=8))
    middle = picture.width // 2
    picture.paste((255, 255, 255), (middle - 24, middle - 24, middle + 24, middle + 24))
    assert read_by_zxing(picture) == [URL]


def test_the_svg_is_one_path_on_a_painted_ground() -> None:
    image = svg(URL, error_correction=ErrorCorrection.M, module_px=10, dark="#112233").decode()
    assert 'width="330" height="330" viewBox="0 0 33 33" shape-rendering="crispEdges"' in image
    assert '<rect width="33" height="33" fill="#ffffff"/>' in image
    assert image.count("<path") == 1
    assert "script" not in image
    assert re.search(r'd="M4 4h7v1h-7z', image)


def test_the_png_takes_one_bit_a_pixel() -> None:
    image = png(URL, error_correction=ErrorCorrection.M, module_px=10)
    with Image.open(io.BytesIO(image)) as picture:
        assert picture.size == (330, 330)
    # Byte 24 of a PNG is its bit depth, byte 25 its colour type: 3 is a palette (ISO/IEC 15948).
    assert (image[24], image[25]) == (1, 3)
    assert len(image) < 1_500


@drawings
def test_the_quiet_zone_is_light_on_every_side(draw: Drawing) -> None:
    picture = pixels(draw(URL, error_correction=ErrorCorrection.M, module_px=5, quiet_zone=4))
    dark = np.argwhere(np.asarray(picture.convert("L")) < 128)
    assert dark.min() == 20
    assert dark.max() == picture.width - 21


@drawings
@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"dark": "#767676"}, None),
        ({"dark": "#808080"}, "contrast"),
        ({"dark": "#ffff00"}, "contrast"),
        ({"dark": "#ffffff", "light": "#000000"}, "exchange"),
        ({"dark": "#000000", "light": "#000000"}, "contrast"),
        ({"dark": "black"}, "#rrggbb"),
        ({"dark": "#000"}, "#rrggbb"),
        ({"light": "#ffffff\n"}, "#rrggbb"),
        ({"light": '#fffff"'}, "#rrggbb"),
        ({"light": "#fffffff"}, "#rrggbb"),
        ({"module_px": 0}, "pixels"),
        ({"module_px": 41}, "pixels"),
        ({"module_px": 40}, None),
        ({"module_px": -3}, "pixels"),
        ({"quiet_zone": -1}, "ISO/IEC 18004"),
        ({"quiet_zone": 1}, "below 2"),
        ({"quiet_zone": 21}, "ISO/IEC 18004"),
        ({"quiet_zone": 20}, None),
    ],
)
def test_what_would_not_read_is_refused_with_the_remedy(
    draw: Drawing, options: dict[str, object], says: str | None
) -> None:
    chosen = {"error_correction": ErrorCorrection.M, "module_px": 6} | options
    if says is None:
        assert draw(URL, **chosen)
    else:
        with pytest.raises(Invalid, match=re.escape(says)):
            draw(URL, **chosen)


@drawings
@pytest.mark.parametrize("quiet_zone", [2, 3])
def test_a_narrow_quiet_zone_is_decided_by_reading(draw: Drawing, quiet_zone: int) -> None:
    image = draw(URL, error_correction=ErrorCorrection.M, module_px=6, quiet_zone=quiet_zone)
    assert read_by_zxing(pixels(image)) == [URL]


@drawings
@pytest.mark.parametrize("text", ["", "a" * 4_000, "\ud800"], ids=["empty", "too long", "surrogate"])
def test_a_text_no_code_can_hold_is_refused(draw: Drawing, text: str) -> None:
    with pytest.raises(Invalid):
        draw(text, error_correction=ErrorCorrection.L, module_px=4)


@drawings
def test_a_picture_too_large_to_read_back_is_refused(draw: Drawing) -> None:
    with pytest.raises(Invalid, match="fewer pixels"):
        draw("a" * 2_000, error_correction=ErrorCorrection.L, module_px=40)


@pytest.mark.parametrize(
    ("look", "says"),
    [
        (Look(), "use more pixels a module or plain"),
        (Look(quiet_zone=2), "a quiet zone of 4"),
        (Look(style=Style.DOTS), "style=square"),
        (Look(finder=Finder.CIRCLE), "style=square"),
        (Look(logo=make_logo()), "a plainer logo"),
    ],
)
def test_a_picture_that_does_not_say_its_text_is_refused(look: Look, says: str) -> None:
    # The guard is shown pictures that are wrong: blank, and of another text.
    blank = io.BytesIO()
    Image.new("1", (200, 200), 1).save(blank, "PNG")
    of_another_text = png("HTTP://A.FR/T/7K3Q9XABW5", error_correction=ErrorCorrection.M, module_px=6)
    for image in (blank.getvalue(), of_another_text):
        with pytest.raises(Invalid, match=says):
            qr._require_reads_back(image, "HTTP://A.FR/T/7K3Q9XABW4", look, Format.PNG, width_px=33)


COLOURS = (("#000000", "#ffffff"), ("#7a0019", "#fff3d6"), ("#767676", "#ffffff"))


def readers(picture: Image.Image) -> tuple[bool, bool]:
    return read_by_zxing(picture) == [URL], read_by_opencv(picture) == URL


def rates(looks: list[Look]) -> dict[str, tuple[int, int, int]]:
    """How many pictures there were, and how many of them each reader read: printed, and seen from afar."""
    found: Counter[tuple[str, int]] = Counter()
    for look, format in product(looks, Format):
        size = Size(module_px=6) if format is Format.PNG else Size(module_mm=0.5)
        image = qr.draw(URL, look, format=format, size=size)
        side = len(matrix(URL, look.level)) + 2 * look.quiet_zone
        printed = pixels(image, round(side * 0.5 / 25.4 * 300))
        afar = printed.resize((120, round(120 * printed.height / printed.width)), Image.Resampling.LANCZOS)
        views = {"300 dpi": printed, "120 px, blurred": afar.filter(ImageFilter.GaussianBlur(0.8))}
        for name, view in views.items():
            by_zxing, by_opencv = readers(view)
            found.update({(name, 0): 1, (name, 1): by_zxing, (name, 2): by_opencv})
    return {name: (found[name, 0], found[name, 1], found[name, 2]) for name in ("300 dpi", "120 px, blurred")}


@pytest.mark.parametrize("style", list(Style))
def test_every_style_level_colour_and_format_reads_in_print_and_from_afar(style: Style) -> None:
    looks = [
        Look(style=style, error_correction=level, dark=dark, light=light)
        for level, (dark, light) in product(ErrorCorrection, COLOURS)
    ]
    found = rates(looks)
    print(style, found)  # noqa: T201  # the rates, for `pytest -rP`
    assert found["300 dpi"] == (36, 36, 36)
    count, by_zxing, by_opencv = found["120 px, blurred"]
    assert by_zxing == count
    assert by_opencv >= 0.5 * count  # a larger code has fewer pixels a module there, which OpenCV's reader misses first


@pytest.mark.parametrize("level", [ErrorCorrection.M, ErrorCorrection.Q])
def test_a_logo_reads_in_every_style(level: ErrorCorrection) -> None:
    logos = (make_logo(), make_logo(600, 150))
    looks = [Look(style=style, logo=logo, error_correction=level) for style, logo in product(Style, logos)]
    found = rates(looks)
    print("logo", level, found)  # noqa: T201  # the rates, for `pytest -rP`
    assert found["300 dpi"] == (18, 18, 18)
    assert found["120 px, blurred"][:2] == (18, 18)


@pytest.mark.parametrize(("style", "finder"), list(product(Style, Finder)))
def test_every_finder_goes_with_every_style(style: Style, finder: Finder) -> None:
    for draw in (svg, png, pdf):
        assert read_by_zxing(pixels(draw(URL, style=style, finder=finder), 300)) == [URL]


def test_three_formats_show_the_same_picture() -> None:
    look = Look(style=Style.ROUNDED, logo=make_logo(), frame="Scannez-moi", caption="7K3Q-9XAB-W4", dark="#12355b")
    bitmap = np.asarray(pixels(qr.draw(URL, look, format=Format.PNG, size=Size(module_px=10)))).astype(int)
    for format in (Format.SVG, Format.PDF):
        drawn = pixels(qr.draw(URL, look, format=format, size=Size(module_mm=1)), bitmap.shape[1])
        drawn = drawn.resize((bitmap.shape[1], bitmap.shape[0]))
        # A shape out of its place is dozens; rasters of one picture differ along the edges.
        assert np.abs(np.asarray(drawn).astype(int) - bitmap).mean() < 6


def test_a_logo_raises_the_error_correction_and_stays_small() -> None:
    logo = make_logo()
    assert [Look(error_correction=level, logo=logo).level for level in ErrorCorrection] == ["H", "H", "Q", "H"]
    for side, level in product(range(21, 90, 4), (ErrorCorrection.Q, ErrorCorrection.H)):
        across, down = qr._hole(logo, side, level)
        assert across == down
        assert across % 2 == 1
        assert across**2 <= 0.07 * side**2 or across == 3
        assert qr._hole(make_logo(600, 150), side, level)[1] < across or across == 3


def test_a_logo_is_drawn_once_and_upright_in_the_middle() -> None:
    half = Image.new("RGB", (100, 100), "#ff0000")
    half.paste("#0000ff", (0, 50, 100, 100))
    file = io.BytesIO()
    half.save(file, "PNG")
    for draw in (svg, png, pdf):
        picture = pixels(draw(URL, logo=read_logo(file.getvalue())), 370)
        middle = picture.width // 2
        red, _, blue = picture.getpixel((middle, middle - 12))  # type: ignore[misc]  # an RGB pixel
        assert (red > 200, blue > 200) == (True, False)
        red, _, blue = picture.getpixel((middle, middle + 12))  # type: ignore[misc]  # an RGB pixel
        assert (red > 200, blue > 200) == (False, True)


@pytest.mark.parametrize(
    ("draw", "size", "says"),
    [
        (pdf, {"module_px": 8}, "give module_mm"),
        (png, {"module_mm": 1.0}, "give module_px"),
        (svg, {"module_px": 8, "module_mm": 1.0}, "not both"),
        (pdf, {"module_mm": 0.39}, "0.4 to 50 mm"),
        (pdf, {"module_mm": 50.1}, "0.4 to 50 mm"),
        (svg, {"module_mm": 0.0}, "0.4 to 50 mm"),
        (svg, {"module_px": 0}, "1 to 40 pixels"),
        (pdf, {"module_mm": 50, "quiet_zone": 20}, None),
        (svg, {"module_mm": 0.4}, None),
    ],
)
def test_a_size_is_in_the_unit_of_its_format(draw: Drawing, size: dict[str, Any], says: str | None) -> None:
    if says is None:
        assert draw(URL, **size)
    else:
        with pytest.raises(Invalid, match=says):
            draw(URL, **size)


def test_a_sheet_has_the_size_that_was_asked_for() -> None:
    document = pypdfium2.PdfDocument(pdf(URL, module_mm=0.8))
    width_mm = document[0].get_width() * 25.4 / 72
    document.close()
    assert width_mm == pytest.approx(33 * 0.8, abs=0.01)
    assert b'width="26.4mm" height="26.4mm"' in svg(URL, module_mm=0.8)


def test_the_same_code_is_the_same_bytes() -> None:
    look = {"style": Style.DOTS, "frame": "Scan me", "logo": make_logo()}
    for draw in (svg, png, pdf):
        assert draw(URL, **look) == draw(URL, **look)


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("😀", "U\\+1F600"),
        ("a\tb", "U\\+0009"),
        ("a\x00", "U\\+0000"),
        ("\u202eabc", "U\\+202E"),
        ("שלום", "U\\+05E9"),
        ("مرحبا", "U\\+0645"),
        ("x" * 10_000, "at most"),
        (" ", None),
        ("W" * 15, None),
        ("W" * 30, "too long"),
        ("L’été à Œuf, 3 € !", None),
        ("<script>\"&'", None),
    ],
)
@pytest.mark.parametrize("field", ["frame", "caption"])
def test_a_line_is_drawn_or_refused_by_its_characters(field: str, line: str, says: str | None) -> None:
    for draw in (svg, png, pdf):
        if says is None:
            assert read_by_zxing(pixels(draw(URL, **{field: line}), 400)) == [URL]
        else:
            with pytest.raises(Invalid, match=says):
                draw(URL, **{field: line})


def test_a_gallery_draws_once_and_stays_within_its_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[str] = []

    def draw(text: str, look: Look, *, format: Format, size: Size) -> bytes:
        drawn.append(text)
        return bytes(100)

    monkeypatch.setattr(qr, "draw", draw)
    gallery = Gallery(limit_bytes=1_000)
    size, look = Size(module_px=8), Look(logo=make_logo())
    for text in "aab":
        assert gallery.drawn(text, look, Format.PNG, size) == bytes(100)
    assert drawn == ["a", "b"]
    for other in (replace(look, dark="#000001"), replace(look, logo=make_logo(200, 300)), replace(look, logo=None)):
        gallery.drawn("a", other, Format.PNG, size)
    gallery.drawn("a", look, Format.PDF, size)
    gallery.drawn("a", look, Format.PNG, Size(module_px=9))
    assert len(drawn) == 7
    gallery.drawn("a", look, Format.PNG, size)
    for text in "cdefgh":
        gallery.drawn(text, look, Format.PNG, size)
    assert gallery._held <= 1_000
    gallery.drawn("b", look, Format.PNG, size)  # used longest ago, so driven out
    assert drawn[-1] == "b"


def test_the_terminal_code_reads_and_names_its_colours() -> None:
    lines = terminal(URL).splitlines()
    assert all(line.startswith("\x1b[38;5;16;48;5;231m") and line.endswith("\x1b[0m") for line in lines)
    rows = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines]
    half_rows = [[char in dark for char in row] for row in rows for dark in ("█▀", "█▄")]
    picture = Image.fromarray(np.where(np.array(half_rows), 0, 255).astype(np.uint8)).convert("RGB")
    assert read_by_zxing(picture.resize((picture.width * 6, picture.height * 6), Image.Resampling.NEAREST)) == [URL]
    assert qr.QUIET_ZONE == 4
    assert rows[0].strip() == rows[1].strip() == ""
    assert all(row.startswith("    ") and row.endswith("    ") for row in rows)
