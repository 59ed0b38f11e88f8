from hypothesis import given
from hypothesis import strategies as st

from campaigns.tokens.typesetting import PT, fit, fit_first, width

TITLE = "Un verger pour l’école Jean-Macé de la Croix-Rousse"
texts = st.lists(st.text("abcdéèWi-’.", min_size=1, max_size=25), min_size=1, max_size=12).map(" ".join)


@given(texts, st.floats(5, 200), st.integers(1, 5), st.booleans())
def test_lines_are_never_wider_nor_more_than_they_may_be(text: str, across: float, lines: int, bold: bool) -> None:
    block = fit(text, across, most=40 * PT, least=4 * PT, lines=lines, bold=bold)
    assert 1 <= len(block.lines) <= lines
    assert 4 * PT <= block.size <= 40 * PT
    assert all(width(line, block.size, bold=bold) <= across + 1e-6 for line in block.lines if len(line) > 2)


@given(texts, st.floats(20, 200), st.integers(1, 5))
def test_nothing_is_lost_unless_it_is_told(text: str, across: float, lines: int) -> None:
    block = fit(text, across, most=40 * PT, least=4 * PT, lines=lines)
    shown = "".join(block.lines).replace(" ", "")
    assert shown == text.replace(" ", "") or block.is_cut
    assert text.replace(" ", "").startswith(shown.removesuffix("…"))


def test_lines_are_even() -> None:
    block = fit(TITLE, 110, most=14 * PT, least=10 * PT, lines=2)
    assert block.lines == ("Un verger pour l’école", "Jean-Macé de la Croix-Rousse")


def test_a_text_that_is_too_long_ends_with_an_ellipsis_after_a_word() -> None:
    block = fit(TITLE, 30, most=12 * PT, least=10 * PT, lines=2)
    assert block.is_cut
    assert block.lines == ("Un verger pour", "l’école Jean-…")
    assert fit("anti" * 30, 30, most=12 * PT, least=10 * PT, lines=2).lines[-1].endswith("…")


def test_more_lines_are_tried_before_anything_is_cut() -> None:
    tight, roomy = (12 * PT, 11 * PT, 1), (10 * PT, 8 * PT, 3)
    assert fit_first("Bellecour", 40, tight, roomy) == fit("Bellecour", 40, most=12 * PT, least=11 * PT, lines=1)
    assert len(fit_first(TITLE, 40, tight, roomy).lines) == 3
    assert not fit_first(TITLE, 40, tight, roomy).is_cut
    assert fit_first(TITLE, 20, tight, roomy).is_cut


def test_no_text_is_no_line() -> None:
    block = fit("", 50, most=10, least=5, lines=2)
    assert (block.lines, block.height) == ((), 0)
