"""Every page without a violation of axe-core's rules, in light and dark, and nothing wider than a small phone."""

from collections.abc import Callable
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.browser.conftest import STAND_IN, Phone, Shop, open_shop, sign_in, till_code
from tests.conftest import Server

pytestmark = pytest.mark.browser

Show = Callable[[Page, Shop], None]


@pytest.fixture(scope="module")
def closed(house: Server) -> dict[str, Shop]:
    """Shops whose campaigns take nothing now, by state."""
    shops = {"draft": open_shop(house, launch=False), "paused": open_shop(house), "ended": open_shop(house)}
    shops["paused"].post(f"/v1/campaigns/{shops['paused'].campaign_id}/pause")
    shops["ended"].post(f"/v1/campaigns/{shops['ended'].campaign_id}/end")
    return shops


def at(path: str) -> Show:
    """The page at a path; `{code}` and `{slug}` are the shop's."""
    return lambda page, shop: open_path(page, shop, path)


def open_path(page: Page, shop: Shop, path: str) -> None:
    page.goto(shop.server.url + path.format(code=shop.qr["code"], slug=shop.mission["slug"]))


def after_check_in(page: Page, shop: Shop) -> None:
    page.goto(shop.scan_url)
    page.locator("main .go").first.click()
    page.wait_for_url("**/m/**")


def with_proof(page: Page, shop: Shop) -> None:
    console = page.context.new_page()
    sign_in(console, shop)
    page.goto(shop.scan_url)
    page.locator("#till").fill(till_code(console))
    page.locator("#till").press("Enter")
    page.locator("#text").wait_for()


def with_an_idea_error(page: Page, shop: Shop) -> None:
    with_proof(page, shop)
    page.locator("#text").fill("  ")
    page.locator("#age-15").check()
    page.locator("#text ~ button").click()
    page.locator("#errors").wait_for()


def with_a_till_error(page: Page, shop: Shop) -> None:
    page.goto(f"{shop.server.url}/t/{shop.another_code()}")
    page.locator("#till").fill("000 000")
    page.locator("#till").press("Enter")
    page.locator("#till-error").wait_for()


def with_an_idea(page: Page, shop: Shop) -> None:
    with_proof(page, shop)
    page.locator("#text").fill("Un pommier")
    page.locator("#age-15").check()
    page.locator("#text ~ button").click()
    page.locator(".ideas").wait_for()


def my_page(page: Page, shop: Shop) -> None:
    with_an_idea(page, shop)
    open_path(page, shop, "/me")


def staff_link(page: Page, shop: Shop) -> None:
    page.goto(shop.staff_link())


def staff_page(page: Page, shop: Shop) -> None:
    shop.scan()
    browser = page.context.browser
    assert browser is not None
    other = browser.new_context()  # another phone, to be signed out
    sign_in(other.new_page(), shop)
    other.close()
    sign_in(page, shop, "manager")
    page.locator("summary").click()


def tags_page(page: Page, shop: Shop) -> None:
    sign_in(page, shop)
    open_path(page, shop, "/staff/tags")


def tags_to_write(page: Page, shop: Shop) -> None:
    page.add_init_script(path=STAND_IN)
    tags_page(page, shop)
    page.get_by_role("button", name="Les écrire l’un après l’autre").click()
    page.evaluate("field.lay({ text: 'Carte' })")
    page.get_by_role("button", name="Écraser ce tag").wait_for()


def bytes_of_a_tag(page: Page, shop: Shop) -> None:
    tags_page(page, shop)
    page.get_by_role("link", name="Octets exacts").first.click()
    for summary in page.locator("summary").all():
        summary.click()


def older_rules(page: Page, shop: Shop) -> None:
    for name in ("Ancienne Halle", "La Halle SAS"):
        with shop.server.api() as api:
            api.patch("/v1/organisation", json={"legal_name": name, "mandatory_notice": {"fr": "Mangez, bougez."}})
        open_path(page, shop, "/m/{slug}/rules")
    open_path(page, shop, "/m/{slug}/rules?version=1")
    page.locator(".band").wait_for()


def erasing(page: Page, shop: Shop) -> None:
    my_page(page, shop)
    page.get_by_role("button", name="M’effacer").click()
    page.get_by_role("button", name="Oui, m’effacer").wait_for()


def too_young(page: Page, shop: Shop) -> None:
    with_proof(page, shop)
    page.locator("#text").fill("Un pommier")
    page.locator("#age-young").check()
    page.locator("form .go").last.click()
    page.locator("#errors").wait_for()


PAGES: dict[str, Show] = {
    "home": at("/"),
    "home with an error": at("/find?code=7K3Q"),
    "scan, live": at("/t/{code}"),
    "scan, till code wrong": with_a_till_error,
    "mission, before joining": at("/m/{slug}"),
    "mission, checked in": after_check_in,
    "mission, with proof": with_proof,
    "mission, idea refused": with_an_idea_error,
    "mission, idea given": with_an_idea,
    "me, empty": at("/me"),
    "me": my_page,
    "me, erasing": erasing,
    "mission, idea refused for the age": too_young,
    "message, unknown code": at("/t/7K3Q9XABZZ"),
    "message, no page": at("/nothing/here"),
    "staff, not signed in": at("/staff"),
    "staff, link": staff_link,
    "staff, link unknown": at("/staff/sign-in/not-a-link"),
    "staff": staff_page,
    "tags": tags_page,
    "tags, writing": tags_to_write,
    "tag, its bytes": bytes_of_a_tag,
    "poster": at("/posters/{code}"),
    "docs": at("/docs"),
    "docs, rights": at("/docs/rights"),
    "docs, figures": at("/docs/figures"),
    "report": at("/report/{code}"),
    "report, thanked": at("/report/{code}?just=reported"),
    "report, of no code of ours": at("/report/7K3Q9XABZZ?just=reported"),
    "problem": at("/problems/not_found"),
    "legal notice": at("/legal"),
    "privacy": at("/privacy"),
    "rules": at("/m/{slug}/rules"),
    "rules, an older version": older_rules,
    "scan, with a notice": at("/t/{code}"),
}
STATES = ("draft", "paused", "ended")
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")  # contrast may pass in one and fail in the other


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_no_violation_and_fits_a_small_phone(phone: Phone, shop: Shop, name: str) -> None:
    page = phone()
    PAGES[name](page, shop)
    require_accessible(page)
    require_narrow(page)


@pytest.mark.parametrize("path", ["/t/{code}", "/m/{slug}"], ids=["scan", "mission"])
@pytest.mark.parametrize("state", STATES)
def test_a_campaign_that_is_not_live_has_no_violation(
    phone: Phone, closed: dict[str, Shop], state: str, path: str
) -> None:
    page = phone(language="en-GB")
    open_path(page, closed[state], path)
    require_accessible(page)
    require_narrow(page)


def require_accessible(page: Page) -> None:
    """No violation of axe-core's rules, best practices included, in light and in dark."""
    for scheme in SCHEMES:
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        faults = [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]
        assert faults == [], scheme


def require_narrow(page: Page) -> None:
    """Nothing to scroll sideways at 320 pixels, the width of a small phone and of 400 % zoom (WCAG 1.4.10)."""
    page.set_viewport_size({"width": 320, "height": 640})
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
