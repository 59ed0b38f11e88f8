import io

import numpy as np
import pytest
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from campaigns.errors import Invalid
from campaigns.tokens import lettering
from campaigns.tokens.lettering import outlines, printable, width_of
from campaigns.tokens.picture import Letters, Picture
from campaigns.tokens.qr import Size

LETTERS = "Scannez-moi à l’été : Œuf, ÇÀÉÎÔÜ ñ ß € 7K3Q-9XAB-W4 @&%8gj"


def test_outlines_are_what_freetype_draws() -> None:
    size, width = 40, int(width_of(LETTERS, "") * 40) + 20
    ours = Picture(width, 60, "#ffffff", [Letters("#000000", outlines(LETTERS, x=10, baseline=45, size=size))], False)
    drawn = resvg_py.svg_to_bytes(svg_string=ours.svg(Size(module_px=1)).decode())
    theirs = Image.new("L", (width, 60), 255)
    font = ImageFont.truetype(str(lettering._FILE), size, layout_engine=ImageFont.Layout.BASIC)
    x = 10.0
    for letter in LETTERS:  # one by one: FreeType rounds each advance to whole pixels
        ImageDraw.Draw(theirs).text((x, 45), letter, fill=0, font=font, anchor="ls")
        x += width_of(letter, "") * size
    first = np.asarray(Image.open(io.BytesIO(drawn)).convert("L")).astype(int)
    second = np.asarray(theirs).astype(int)
    assert (second < 128).mean() > 0.1
    # A missing accent or a hole filled in is thousands of pixels; hinting and smoothing touch the edges only.
    assert (np.abs(first - second) > 200).mean() < 0.005


def test_every_letter_of_french_and_its_neighbours_has_a_shape() -> None:
    letters = "ÀÂÄÆÇÈÉÊËÎÏÔÖŒÙÛÜŸàâäæçèéêëîïôöœùûüÿñÑßáíóúÁÍÓÚãõåøÅØ’‘“”«»…–—€£°·!?&@#%+=*/()[]0123456789"
    for letter in letters:
        assert outlines(letter, x=0, baseline=0, size=1), letter
        assert width_of(letter, "") > 0


@pytest.mark.parametrize(
    "text", ["😀", "日本", "שלום", "مرحبا", "\n", "\t", "\x00", "\u200f", "\u202e", "\ud800", "\ufeff"]
)
def test_a_character_without_a_shape_is_named_by_its_number(text: str) -> None:
    with pytest.raises(Invalid, match=f"U\\+{ord(text[0]):04X}") as refusal:
        width_of(f"ab{text}", "/caption")
    assert refusal.value.context["pointer"] == "/caption"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("Chez Nadine 🍎", "Chez Nadine"),
        ("❤️ Merci\u202f! 👩‍🌾", "Merci\xa0!"),
        ("a\n\tb  c", "a b c"),
        ("2\u2009000\u202f€ − 5\u20113", "2 000\xa0€ - 5-3"),
        ("🍎🌳", ""),
        ("Œuvre d’été → ici", "Œuvre d’été ici"),
    ],
)
def test_paper_shows_the_words_of_a_text_without_its_ornaments(text: str, shown: str) -> None:
    assert printable(text, "/caption") == shown


@pytest.mark.parametrize("text", ["日本", "שלום 🍎", "مرحبا", "Привет"])
def test_paper_refuses_a_text_whose_letters_would_be_missing(text: str) -> None:
    with pytest.raises(Invalid) as refusal:
        printable(text, "/caption")
    assert refusal.value.context["pointer"] == "/caption"
