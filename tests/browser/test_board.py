"""The board of figures in a real browser: it moves with a scan, in place, and reads well in light and dark."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, open_shop, sign_in
from tests.browser.test_accessibility import require_accessible, require_narrow
from tests.browser.test_console import sign_in as sign_member_in
from tests.conftest import Server

pytestmark = pytest.mark.browser
SHIFTS = """
window.shifts = 0;
new PerformanceObserver((list) => { for (const one of list.getEntries()) window.shifts += one.value; })
  .observe({ type: 'layout-shift', buffered: true });
"""


@pytest.fixture
def busy(house: Server) -> Shop:
    """A shop with a scan that counts, and somebody who waits for an answer."""
    shop = open_shop(house)
    shop.scan(check_in=True)
    with house.phone() as shopper:
        shopper.post(f"/say/{shop.qr['code']}", data={"text": "Bonjour"})
    return shop


def test_a_scan_moves_the_figures_in_place(phone: Phone, busy: Shop) -> None:
    page = phone()
    sign_in(page, busy)
    page.add_init_script(SHIFTS)
    page.goto(f"{busy.server.url}/staff/figures")
    expect(page.locator("#link")).to_have_text("En direct")
    received = page.locator("[data-n='today.raw']")
    expect(received).to_have_text("1")
    page.evaluate("window.sameDocument = true; window.shifts = 0")
    busy.scan(confirm=False)
    expect(received).to_have_text("2", timeout=5_000)
    assert page.evaluate("window.sameDocument")
    assert page.evaluate("window.shifts") < 0.01, "nothing jumps while somebody reads"


def test_a_case_that_waits_is_one_tap_away(phone: Phone, busy: Shop) -> None:
    page = phone()
    sign_in(page, busy)
    page.goto(f"{busy.server.url}/staff/figures")
    page.get_by_role("link", name="Lire et répondre").click()
    expect(page.get_by_text("Bonjour")).to_be_visible()


def test_the_boards_of_shop_and_campaign_are_accessible_and_narrow(phone: Phone, busy: Shop) -> None:
    page = phone()
    sign_in(page, busy)
    page.goto(f"{busy.server.url}/staff/figures")
    require_well_made(page)
    member = phone()
    sign_member_in(member, busy.server, "board@b.example")
    member.goto(f"{busy.server.url}/console/figures/{busy.campaign_id}")
    expect(member.locator("svg").first).to_be_visible()
    require_well_made(member)


def test_the_board_needs_no_script(phone: Phone, busy: Shop) -> None:
    page = phone(javascript=False)
    sign_in(page, busy)
    page.goto(f"{busy.server.url}/staff/figures")
    expect(page.locator("[data-n='today.raw']")).to_have_text("1")
    require_narrow(page)


def require_well_made(page: Page) -> None:
    require_accessible(page)
    require_narrow(page)
