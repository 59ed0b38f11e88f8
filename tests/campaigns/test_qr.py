import io
import re
from collections.abc import Callable
from itertools import pairwise

import cv2
import numpy as np
import pytest
import resvg_py
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from campaigns.errors import Invalid
from campaigns.tokens import qr
from campaigns.tokens.qr import ErrorCorrection, matrix, png, svg, terminal

URL = "HTTP://192.168.1.10:8000/T/7K3Q9XABW4"
Drawing = Callable[..., bytes]
drawings = pytest.mark.parametrize("draw", [svg, png])


def pixels(image: bytes) -> Image.Image:
    if image.startswith(b"<svg"):
        image = resvg_py.svg_to_bytes(svg_string=image.decode())
    return Image.open(io.BytesIO(image)).convert("RGB")


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
@pytest.mark.parametrize("quiet_zone", [0, 1, 2, 3])
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


@pytest.mark.parametrize(("quiet_zone", "says"), [(4, "does not read back"), (2, "use 4, the standard")])
def test_a_picture_that_does_not_say_its_text_is_refused(quiet_zone: int, says: str) -> None:
    # No text or colour we accept was found to fail, so the guard is shown pictures that are wrong.
    blank = io.BytesIO()
    Image.new("1", (200, 200), 1).save(blank, "PNG")
    of_another_text = png("HTTP://A.FR/T/7K3Q9XABW5", error_correction=ErrorCorrection.M, module_px=6)
    for image in (blank.getvalue(), of_another_text):
        with pytest.raises(Invalid, match=says):
            qr._require_reads_back(image, "HTTP://A.FR/T/7K3Q9XABW4", quiet_zone)


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
