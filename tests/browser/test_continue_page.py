"""The page before another site: its button leads on in a real browser, whatever that site does next."""

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import BELLECOUR, Phone, Shop

pytestmark = pytest.mark.browser
BEFORE = "https://before.example/campaign"
INSIDE = "https://inside.example/"


def code_of(shop: Shop, **fields: object) -> str:
    wanted = {"medium": "qr", "place_id": shop.place_id, "continue_page": True, "destination": BEFORE, **fields}
    return str(shop.post(f"/v1/campaigns/{shop.campaign_id}/tokens", wanted)["code"])


def arrive(route: Route) -> None:
    """Other sites, as they are: this one sends everybody on to its own other host."""
    if "before.example" in route.request.url:
        route.fulfill(status=302, headers={"location": "https://www.after.example/"})
    else:
        route.fulfill(body="<h1>Arrived</h1>", content_type="text/html")


def open_page(phone: Phone, shop: Shop, code: str, **options: object) -> Page:
    page = phone(**options)
    page.route("**/*.example/**", arrive)
    page.goto(f"{shop.server.url}/t/{code}")
    return page


@pytest.mark.parametrize("javascript", [True, False])
def test_the_button_leads_on_through_another_site_s_own_redirect(phone: Phone, shop: Shop, javascript: bool) -> None:
    code = code_of(shop)
    page = open_page(phone, shop, code, javascript=javascript)
    expect(page.locator(".host")).to_have_text("before.example")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [False]
    page.locator("button.go").click()
    expect(page.locator("h1")).to_have_text("Arrived")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [True]


def test_a_shared_position_leads_elsewhere(phone: Phone, shop: Shop) -> None:
    code = code_of(shop, rules=[{"when": {"geofence": "inside"}, "destination": INSIDE}])
    page = open_page(phone, shop, code, position=BELLECOUR)
    page.locator("#locate").click()
    page.locator("#then").click()
    page.wait_for_url(INSIDE)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_long_host_stays_on_a_small_phone(phone: Phone, shop: Shop, scheme: str) -> None:
    page = open_page(phone, shop, code_of(shop, destination=f"https://{'a' * 60}.example/"), scheme=scheme, width=320)
    assert page.evaluate("document.documentElement.scrollWidth") == 320
