"""The report for a director in a real browser: no violation, nothing too wide, and on one sheet of A4 in print."""

import io
from datetime import UTC, datetime, timedelta

import pypdfium2
import pytest
from playwright.sync_api import Page, expect

from campaigns.planning.models import ALL_KPIS
from tests.browser.conftest import Phone, Shop, open_shop
from tests.browser.test_accessibility import require_accessible, require_narrow
from tests.browser.test_console import sign_in
from tests.conftest import Server

pytestmark = pytest.mark.browser
LEARNED = ("Les boutiques avec un écran à la caisse font deux fois plus de preuves de passage. " * 20)[:1000].strip()


def full(server: Server) -> Shop:
    """A shop whose report has all there can be: every target, risks, a promise, codes reported, a crisis to fear."""
    shop = open_shop(server, launch=False)
    targets = [{"kpi": kpi, "value": 0.4 if kpi.endswith("rate") else 123_456} for kpi in ALL_KPIS]
    ends_at = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    with server.api() as api:
        changed = api.patch(f"/v1/campaigns/{shop.campaign_id}", json={"targets": targets, "ends_at": ends_at})
        assert changed.status_code == 200, changed.text
    shop.post(f"/v1/campaigns/{shop.campaign_id}/launch")
    shop.scan(check_in=True)
    for _ in range(3):
        shop.scan(confirm=False)
    with server.phone() as shopper:
        shopper.post(f"/report/{shop.qr['code']}", data={"kind": "odd"})
        shopper.post(f"/say/{shop.qr['code']}", data={"text": "Bonjour"})
    return shop


def pages_of(page: Page) -> list[tuple[int, int]]:
    """The sheets a page prints on, in millimetres."""
    document = pypdfium2.PdfDocument(io.BytesIO(page.pdf(prefer_css_page_size=True)))
    sizes = [sheet.get_size() for sheet in document]
    document.close()
    return [(round(width / 72 * 25.4), round(height / 72 * 25.4)) for width, height in sizes]


def test_a_report_is_accessible_narrow_and_one_sheet_of_a4_in_both_languages(phone: Phone, house: Server) -> None:
    shop, page = full(house), phone()
    sign_in(page, house, "report@b.example")
    base = f"{house.url}/console/campaigns/{shop.campaign_id}"
    page.goto(f"{base}/report")
    expect(page.locator(".answer b")).to_be_visible()
    require_accessible(page)
    require_narrow(page)
    page.get_by_label("Ce que vous avez appris").fill(LEARNED)
    page.get_by_role("button", name="Figer").click()
    expect(page.locator(".seal")).to_contain_text("Figé")
    require_accessible(page)
    require_narrow(page)
    expect(page.locator(".aims > li")).to_have_count(len(ALL_KPIS))
    for language in ("fr", "en"):
        page.goto(f"{page.url.partition('?')[0]}?lang={language}")
        assert pages_of(page) == [(210, 297)], language
        for width in (360, 768, 1280):
            page.set_viewport_size({"width": width, "height": 900})
            assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_a_report_of_a_draft_says_so_in_a_browser(phone: Phone, house: Server) -> None:
    draft, page = open_shop(house, launch=False), phone()
    sign_in(page, house, "draft@b.example")
    page.goto(f"{house.url}/console/campaigns/{draft.campaign_id}/report")
    expect(page.locator(".answer")).to_have_text("Rien n’a encore commencé")
    require_accessible(page)
    assert pages_of(page) == [(210, 297)]
