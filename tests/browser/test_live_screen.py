"""The live code on a shop's screen: read off the screen, changing by itself, with and without a network."""

import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Page, Route, expect

from campaigns import ids
from campaigns.places import till
from campaigns.sealing import Keyring
from campaigns.tokens import live
from tests.browser.conftest import Phone, Shop, open_shop, sign_in
from tests.browser.test_accessibility import require_accessible, require_narrow
from tests.conftest import SECRET, Server

pytestmark = pytest.mark.browser

KEY = Keyring(SECRET).derive("live-code")
TILL_KEY = Keyring(SECRET).derive("till-code")
WINDOWS = "**/staff/screen/windows?*"


@dataclass(frozen=True)
class Screen:
    """A shop with a live code."""

    shop: Shop
    token: dict[str, Any]

    def open(self, page: Page) -> None:
        """Sign in and open the screen from the staff page."""
        sign_in(page, self.shop)
        page.get_by_role("link", name=re.compile("Ouvrir l’écran|Open the screen")).click()
        expect(page.locator("#matrix")).to_be_visible()

    def window_of(self, url: str) -> int:
        """Which of the windows around now a URL on the screen is of, or of the next two hours."""
        token_id = ids.parse("tok", self.token["id"])
        present = till.window_of(datetime.now(UTC))
        address, _, code = url.partition("?k=")
        assert address == self.token["url"]
        return next(one for one in range(present - 2, present + 240) if live.window_code(KEY, token_id, one) == code)

    def digits_of(self, window: int) -> str:
        digits = till.till_code(TILL_KEY, place_of(self.shop), window)
        return f"{digits[:3]} {digits[3:]}"


def place_of(shop: Shop) -> UUID:
    return ids.parse("plc", shop.place_id)


@pytest.fixture
def screen(house: Server) -> Screen:
    shop = open_shop(house)
    fields = {"medium": "qr", "kind": "live", "place_id": shop.place_id, "label": "Écran"}
    return Screen(shop, shop.post(f"/v1/campaigns/{shop.campaign_id}/tokens", fields))


def read_screen(page: Page) -> str:
    """What the code on the screen says, read off a picture of what is visible."""
    image = Image.open(io.BytesIO(page.screenshot()))
    (found,) = zxingcpp.read_barcodes(image)
    return str(found.text)


def shown_window(page: Page, screen: Screen) -> int:
    """The window of the code on the screen; its digits are of the same."""
    digits = page.locator("#digits")
    for _ in range(5):  # a picture takes a while: a window that ended meanwhile is no answer
        before = digits.inner_text()
        window = screen.window_of(read_screen(page))
        if digits.inner_text() == before:
            break
    assert before == screen.digits_of(window)
    return window


def later(page: Page, seconds: int) -> None:
    """So much later by the page's own clocks."""
    page.clock.fast_forward(seconds * 1000)
    page.clock.run_for(1000)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(
    ("width", "height"), [(320, 568), (360, 740), (740, 360), (820, 1180), (1180, 820), (1920, 1080)]
)
def test_the_code_on_the_screen_reads_at_every_size(
    phone: Phone, screen: Screen, scheme: str, width: int, height: int
) -> None:
    page = phone(width=width, height=height, scheme=scheme)
    screen.open(page)
    assert abs(shown_window(page, screen) - till.window_of(datetime.now(UTC))) <= 1
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    expect(page.locator("#matrix")).to_be_in_viewport(ratio=1)
    expect(page.locator("#digits")).to_be_in_viewport(ratio=1)
    for tongue, call in (("fr", "Scannez-moi pour valider votre visite"), ("en", "Scan me to check in")):
        expect(page.locator(f"#invite p[lang={tongue}]")).to_have_text(call)


def test_a_mandatory_notice_pushes_the_code_off_no_screen(phone: Phone, screen: Screen) -> None:
    notice = {"fr": "Pour votre santé, mangez au moins cinq fruits et légumes par jour. " * 4}
    with screen.shop.server.api() as api:
        api.patch("/v1/organisation", json={"mandatory_notice": notice}).raise_for_status()
        page = phone(width=740, height=360)
        screen.open(page)
        expect(page.locator(".aside").last).to_contain_text("mangez au moins cinq fruits")
        expect(page.locator("#matrix")).to_be_in_viewport(ratio=1)
        expect(page.locator("#digits")).to_be_in_viewport(ratio=1)
        api.patch("/v1/organisation", json={"mandatory_notice": None}).raise_for_status()


def test_the_screen_has_no_violation_and_fits_a_small_phone(phone: Phone, screen: Screen) -> None:
    page = phone()
    screen.open(page)
    require_accessible(page)
    require_narrow(page)


def test_a_scan_of_the_screen_is_strong_presence(phone: Phone, screen: Screen) -> None:
    page = phone()
    screen.open(page)
    shopper = phone()
    shopper.goto(re.sub("^HTTP.*/T/", f"{screen.shop.server.url}/t/", read_screen(page)))
    shopper.locator("main .go").first.click()
    expect(shopper.locator(".presence strong")).to_have_text("forte : vous aviez le code du moment")


def test_without_a_network_the_screen_goes_on_for_an_hour_and_then_says_so(phone: Phone, screen: Screen) -> None:
    page = phone(width=1180, height=820, expects="net::ERR_INTERNET_DISCONNECTED")
    page.clock.install()
    with page.expect_response(WINDOWS):
        screen.open(page)
    first = shown_window(page, screen)
    page.context.set_offline(True)
    later(page, 30)
    assert shown_window(page, screen) - first in (1, 2)
    later(page, 10 * 60)
    assert shown_window(page, screen) - first in (21, 22)
    expect(page.locator("#state")).to_have_text(
        re.compile(r"Pas de réseau.: le code change encore pendant (49|50).min")
    )
    later(page, 48 * 60)
    assert shown_window(page, screen) - first in (117, 118)
    later(page, 2 * 60)
    expect(page.locator("#over")).to_contain_text("sans réseau depuis une heure")
    expect(page.locator("#shown")).to_be_hidden()
    expect(page.locator("#invite")).to_be_hidden()
    assert page.locator("#modules").get_attribute("d") == ""
    assert page.locator("#digits").text_content() == ""
    page.context.set_offline(False)
    page.clock.run_for(6000)
    expect(page.locator("#over")).to_be_hidden()
    expect(page.locator("#matrix")).to_be_visible()
    assert abs(shown_window(page, screen) - till.window_of(datetime.now(UTC))) <= 1


def test_the_screen_asks_for_the_next_hour_every_minute(phone: Phone, screen: Screen) -> None:
    page = phone()
    page.clock.install()
    asked: list[str] = []
    page.on("request", lambda one: asked.append(one.url) if "windows" in one.url else None)
    with page.expect_response(WINDOWS):
        screen.open(page)
    page.wait_for_timeout(200)
    for number in range(1, 4):
        assert len(asked) == number
        with page.expect_response(WINDOWS):
            page.clock.run_for(60_000)
        page.wait_for_timeout(200)


@pytest.mark.parametrize("wrong", [-7 * 86_400, 3 * 3600])
def test_a_tablet_whose_clock_is_wrong_shows_the_right_code(phone: Phone, screen: Screen, wrong: int) -> None:
    page = phone()
    page.clock.install(time=datetime.now(UTC).timestamp() + wrong)
    with page.expect_response(WINDOWS):
        screen.open(page)
    first = shown_window(page, screen)
    assert abs(first - till.window_of(datetime.now(UTC))) <= 1
    page.route(WINDOWS, captive)
    later(page, 45)
    assert shown_window(page, screen) - first in (1, 2)


def test_a_tablet_that_slept_shows_no_code_of_before(phone: Phone, screen: Screen) -> None:
    page = phone()
    page.clock.install()
    with page.expect_response(WINDOWS):
        screen.open(page)
    first = shown_window(page, screen)
    page.route(WINDOWS, captive)
    page.clock.set_system_time(datetime.now(UTC).timestamp() + 600)  # performance.now() stood still meanwhile
    page.clock.run_for(1000)
    assert shown_window(page, screen) - first in (20, 21)


def test_a_sign_in_page_of_the_wifi_is_no_answer(phone: Phone, screen: Screen) -> None:
    page = phone()
    page.clock.install()
    with page.expect_response(WINDOWS):
        screen.open(page)
    first = shown_window(page, screen)
    page.route(WINDOWS, captive)
    later(page, 90)
    assert shown_window(page, screen) - first in (3, 4)


def captive(route: Route) -> None:
    route.fulfill(status=200, content_type="text/html", body="<h1>Wi-Fi</h1>")


def test_a_screen_that_was_signed_out_shows_no_code(phone: Phone, screen: Screen) -> None:
    page = phone()
    page.clock.install()
    with page.expect_response(WINDOWS):
        screen.open(page)
    other = page.context.new_page()
    other.goto(f"{screen.shop.server.url}/staff")
    other.get_by_role("button", name="Déconnecter ce téléphone").click()
    expect(other.locator(".digits")).to_have_count(0)
    with page.expect_response(WINDOWS):
        page.clock.run_for(61_000)
    expect(page.locator("#refused")).to_be_visible()
    expect(page.locator("#shown")).to_be_hidden()
    assert page.locator("#modules").get_attribute("d") == ""


def test_the_page_is_given_no_key_and_keeps_nothing(phone: Phone, screen: Screen) -> None:
    page = phone()
    with page.expect_response(WINDOWS) as answered:
        screen.open(page)
    assert set(json.loads(answered.value.text())) == {"now", "seconds", "first", "side", "digits", "matrices"}
    assert page.evaluate("localStorage.length + sessionStorage.length") == 0


def test_without_javascript_the_screen_loads_itself_anew(phone: Phone, screen: Screen) -> None:
    page = phone(javascript=False)
    screen.open(page)
    window = shown_window(page, screen)
    assert abs(window - till.window_of(datetime.now(UTC))) <= 1
    refresh = page.locator("meta[http-equiv=refresh]").get_attribute("content")
    assert refresh is not None
    assert 1 <= int(refresh) <= 30


def test_of_two_live_codes_the_screen_shows_the_chosen_one(phone: Phone, screen: Screen) -> None:
    path = f"/v1/campaigns/{screen.shop.campaign_id}/tokens"
    fields = {"medium": "qr", "kind": "live", "place_id": screen.shop.place_id, "label": "Entrée"}
    second = Screen(screen.shop, screen.shop.post(path, fields))
    page = phone()
    sign_in(page, screen.shop)
    page.get_by_role("link", name="Ouvrir l’écran").click()
    require_accessible(page)
    page.get_by_role("link", name=re.compile("Entrée")).click()
    expect(page.locator("#matrix")).to_be_visible()
    shown_window(page, second)
