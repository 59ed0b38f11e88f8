"""The page before another site: its button leads on in a real browser, whatever that site does next."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BELLECOUR, Phone, Shop
from tests.browser.test_accessibility import require_accessible, require_narrow

pytestmark = pytest.mark.browser


class Elsewhere(BaseHTTPRequestHandler):
    """Another site, as they are: it sends who comes to `/campaign` on to its own other host."""

    def do_GET(self) -> None:
        self.send_response(302 if self.path == "/campaign" else 200)
        self.send_header("location", f"http://localhost:{self.server.server_port}/arrived")  # type: ignore[attr-defined]  # an HTTPServer
        self.send_header("content-type", "text/html")
        self.end_headers()
        self.wfile.write(b'<link rel="icon" href="data:,"><h1>Arrived</h1>')

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the test reads the page."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    """The origin of another site."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def open_page(phone: Phone, shop: Shop, code: str, **options: object) -> Page:
    page = phone(**options)
    page.goto(f"{shop.server.url}/t/{code}")
    return page


def code_of(shop: Shop, destination: str, **fields: object) -> str:
    wanted = {"medium": "qr", "place_id": shop.place_id, "continue_page": True, "destination": destination, **fields}
    return str(shop.post(f"/v1/campaigns/{shop.campaign_id}/tokens", wanted)["code"])


@pytest.mark.parametrize("javascript", [True, False])
def test_the_button_leads_on_through_another_site_s_own_redirect(
    phone: Phone, shop: Shop, elsewhere: str, javascript: bool
) -> None:
    code = code_of(shop, f"{elsewhere}/campaign")
    page = open_page(phone, shop, code, javascript=javascript)
    expect(page.locator(".host")).to_have_text("127.0.0.1")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [False]
    page.locator("button.go").click()
    expect(page.locator("h1")).to_have_text("Arrived")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [True]


def test_a_shared_position_leads_elsewhere(phone: Phone, shop: Shop, elsewhere: str) -> None:
    rules = [{"when": {"geofence": "inside"}, "destination": f"{elsewhere}/inside"}]
    page = open_page(phone, shop, code_of(shop, f"{elsewhere}/before", rules=rules), position=BELLECOUR)
    page.locator("#locate").click()
    page.locator("#then").click()
    page.wait_for_url(f"{elsewhere}/inside")


def test_a_long_host_stays_on_a_small_phone(phone: Phone, shop: Shop) -> None:
    rules = [{"when": {"geofence": "inside"}, "destination": "https://inside.example/"}]
    page = open_page(phone, shop, code_of(shop, f"https://{'a' * 60}.example/", rules=rules), position=BELLECOUR)
    page.locator("#locate").click()
    expect(page.locator("#then")).to_be_visible()
    require_accessible(page)
    require_narrow(page)


@pytest.mark.parametrize("verb", ["suspension", "replacement", "revocation"])
def test_a_code_that_is_closed_explains_itself_to_everybody(phone: Phone, shop: Shop, verb: str) -> None:
    token = shop.post(f"/v1/campaigns/{shop.campaign_id}/tokens", {"medium": "qr", "place_id": shop.place_id})
    shop.post(f"/v1/tokens/{token['id']}/{verb}", {})
    page = open_page(phone, shop, str(token["code"]))
    require_accessible(page)
    require_narrow(page)
    page.locator("a.go").click()
    expect(page.locator("h1")).to_have_text("Un verger pour l’école")
