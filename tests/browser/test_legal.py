"""The legal pages in a browser: a tap away from a scan, nothing kept on the phone; a notice on one printed page."""

import pypdfium2
import pytest

from tests.browser.conftest import Phone, Shop

pytestmark = pytest.mark.browser

NOTICE = "Pour votre santé, évitez de manger trop gras, trop sucré, trop salé. " * 4  # near the limit
ROOM = 13_000  # bytes of a first response


@pytest.mark.parametrize(
    ("link", "title"),
    [("Mentions légales", "Mentions légales"), ("Vie privée", "Vie privée"), ("Règles", "Règles de la mission")],
)
def test_each_legal_page_is_a_tap_from_the_scan_and_keeps_nothing(
    phone: Phone, shop: Shop, link: str, title: str
) -> None:
    page = phone(javascript=False)
    page.goto(shop.scan_url)
    with page.expect_response("**/*") as answer:
        page.get_by_role("link", name=link).click()
    assert page.get_by_role("heading", level=1).inner_text().replace("\n", " ") == title
    assert answer.value.request.sizes()["responseBodySize"] <= ROOM
    assert page.context.cookies() == []


def test_a_poster_with_a_long_notice_is_one_page(phone: Phone, shop: Shop) -> None:
    with shop.server.api() as api:
        assert api.patch("/v1/organisation", json={"mandatory_notice": NOTICE.strip()}).status_code == 200
    page = phone(width=900)
    page.goto(shop.poster_url)
    document = pypdfium2.PdfDocument(page.pdf(prefer_css_page_size=True, print_background=True))
    printed = [one.get_textpage().get_text_bounded() for one in document]
    document.close()
    assert len(printed) == 1
    assert "Pour votre santé" in printed[0]
