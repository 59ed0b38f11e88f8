"""What a phone page takes: one small answer and one module, one confirm, and nothing kept before the person acts."""

import pytest
from playwright.sync_api import Page, Request, expect

from tests.browser.conftest import Phone, Shop

pytestmark = pytest.mark.browser

FIRST_RESPONSE = 13_000  # bytes, compressed: about one round trip's worth of a fresh connection
MODULE = 5_000  # bytes
KEPT = """async () => ({
  local: localStorage.length,
  session: sessionStorage.length,
  databases: (await indexedDB.databases()).length,
  caches: (await caches.keys()).length,
  workers: (await navigator.serviceWorker.getRegistrations()).length,
})"""
VISIBILITY = """
window.shown = 'hidden';
Object.defineProperty(document, 'visibilityState', { get: () => window.shown });
"""


@pytest.mark.parametrize("language", ["fr-FR", "en-GB"])
def test_the_first_response_is_small_and_brings_one_module(phone: Phone, shop: Shop, language: str) -> None:
    page = phone(language=language)
    seen: list[Request] = []
    page.on("request", lambda one: seen.append(one))
    page.goto(shop.scan_url, wait_until="networkidle")
    document, module, confirm = seen
    assert document.url == shop.scan_url
    assert body_size(document) <= FIRST_RESPONSE
    assert module.url.startswith(f"{shop.server.url}/static/shopper.js?")
    assert body_size(module) <= MODULE
    assert (confirm.method, confirm.url) == ("POST", f"{shop.scan_url}/confirm")
    assert page.locator("script").evaluate_all("all => all.map((one) => one.type)") == ["module"]  # modules wait


def test_without_javascript_the_page_is_one_request(phone: Phone, shop: Shop) -> None:
    page = phone(javascript=False)
    seen: list[str] = []
    page.on("request", lambda one: seen.append(one.url))
    page.goto(shop.scan_url, wait_until="networkidle")
    assert seen == [shop.scan_url]


def test_a_page_is_confirmed_once_and_only_when_someone_can_see_it(phone: Phone, shop: Shop) -> None:
    code = shop.another_code()
    page = phone()
    page.add_init_script(VISIBILITY)
    posts = confirms_of(page)
    page.goto(f"{shop.server.url}/t/{code}", wait_until="networkidle")
    assert posts == []
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [False]
    with page.expect_response("**/confirm"):
        for shown in ("visible", "hidden", "visible"):
            page.evaluate(f"window.shown = '{shown}'; document.dispatchEvent(new Event('visibilitychange'))")
    page.wait_for_load_state("networkidle")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [True]
    assert posts == [f"{shop.server.url}/t/{code}/confirm"]


def test_a_page_that_is_seen_is_confirmed(phone: Phone, shop: Shop) -> None:
    code = shop.another_code()
    page = phone()
    page.goto(f"{shop.server.url}/t/{code}", wait_until="networkidle")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [True]


def test_a_confirm_the_network_lost_is_sent_again(phone: Phone, shop: Shop) -> None:
    code = shop.another_code()
    page = phone(expects="net::ERR_FAILED")
    page.route("**/confirm", lambda route: route.abort(), times=1)
    with page.expect_response("**/confirm"):
        page.goto(f"{shop.server.url}/t/{code}")
    assert [scan["confirmed"] for scan in shop.scans_of(code)] == [True]


def test_nothing_is_kept_on_the_phone_before_check_in(phone: Phone, shop: Shop) -> None:
    page = phone()
    for url in (shop.server.url, shop.poster_url, shop.mission_url, shop.scan_url):
        page.goto(url, wait_until="networkidle")
        assert page.context.cookies() == []
        assert set(page.evaluate(KEPT).values()) == {0}
    page.locator("main .go").first.click()
    expect(page.locator("#just")).to_be_visible()
    cookies = page.context.cookies()
    assert len(cookies) == 1
    assert cookies[0]["httpOnly"]
    assert cookies[0]["sameSite"] == "Lax"
    assert set(page.evaluate(KEPT).values()) == {0}


def test_without_network_a_check_in_waits_on_its_page_and_goes_by_itself(phone: Phone, shop: Shop) -> None:
    page = phone()
    page.goto(shop.scan_url, wait_until="networkidle")
    page.context.set_offline(True)
    page.locator("main .go").first.click()
    expect(page.locator("#held")).to_contain_text("Pas de réseau")
    page.context.set_offline(False)
    expect(page.locator("#just")).to_contain_text("Votre visite est notée")


def body_size(request: Request) -> int:
    """The bytes of an answer's body as they travelled, compressed."""
    return request.sizes()["responseBodySize"]


def confirms_of(page: Page) -> list[str]:
    """The confirms a page posts, as they go out."""
    posts: list[str] = []
    page.on("request", lambda one: posts.append(one.url) if one.url.endswith("/confirm") else None)
    return posts
