"""A coupon from phone to till: shown on one screen, photographed, used by another; with and without JavaScript."""

from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, open_shop, sign_in
from tests.conftest import Server, wait_until

pytestmark = pytest.mark.browser

OFFER: dict[str, Any] = {
    "title": {"fr": "Deux euros de pommes", "en": "Two euros of apples"},
    "restrictions": {"fr": "Un bon par panier", "en": "One a basket"},
    "face_value": {"amount_minor": 200, "currency": "EUR"},
    "product": "food",
    "max_issue": 50,
    "coupon_days": 30,
}


@pytest.fixture(scope="module")
def stall(house: Server) -> Shop:
    """A shop whose visitors get two euros of apples for an idea."""
    shop = open_shop(house, idea_presence=0)
    step = next(one for one in shop.mission["steps"] if one["kind"] == "idea")
    unlock = {"by": "step", "step_id": step["id"]}
    shop.post(f"/v1/campaigns/{shop.campaign_id}/offers", OFFER | {"unlock": unlock, "place_ids": [shop.place_id]})
    return shop


def earn(page: Page, shop: Shop) -> None:
    """Give an idea from this phone; then the coupon is there."""
    said = {"text": "Un poirier", "age": "15_or_older"}
    taken = page.request.post(f"{shop.mission_url}/ideas", data=said, headers={"Accept": "application/json"})
    assert taken.ok, taken.text()

    def has_coupon() -> bool:
        page.goto(f"{shop.server.url}/me")
        return page.get_by_role("heading", name="Mes bons").count() > 0

    wait_until(has_coupon)


def show(page: Page) -> None:
    page.get_by_role("link", name="Ouvrir le bon").click()
    expect(page.locator(".qr")).to_have_count(0)
    page.get_by_role("button", name="Afficher mon bon").click()
    expect(page.locator(".qr.shown")).to_be_visible()


def sound(page: Page) -> list[str]:
    """What axe-core finds on a page, and whether it is wider than its screen."""
    found = [f"{one['id']}: {one['nodes'][0]['html'][:120]}" for one in Axe().run(page).response["violations"]]
    wide = page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")
    return found + ["wider than the screen"] * wide


@pytest.mark.parametrize(
    ("javascript", "scheme"), [(True, "light"), (False, "dark")], ids=["with-script", "without-script"]
)
def test_a_shown_coupon_is_photographed_checked_used_and_refused_the_second_time(
    phone: Phone, stall: Shop, tmp_path: Path, *, javascript: bool, scheme: str
) -> None:
    page = phone(javascript=javascript, scheme=scheme)
    earn(page, stall)
    show(page)
    picture = tmp_path / "coupon.png"
    page.screenshot(path=picture, full_page=True)
    typed = page.locator("#typed").inner_text()

    till = phone(javascript=javascript, width=768, height=1024, scheme=scheme)
    sign_in(till, stall, "manager")
    till.get_by_role("link", name="Prendre un bon").click()
    till.locator("#picture").set_input_files(picture)
    till.get_by_role("button", name="Lire la photo").click()
    expect(till.get_by_role("heading", level=1)).to_have_text("Ce bon est valable")
    expect(till.locator(".worth")).to_have_text("− 2\u00a0EUR")
    till.get_by_role("button", name="L’utiliser").click()
    expect(till.get_by_role("heading", level=1)).to_have_text("Accepté")
    till.screenshot(path=tmp_path / "accepted.png", full_page=True)

    page.reload()
    expect(page.locator(".outcome")).to_contain_text("Utilisé à Halle de Bellecour")
    till.get_by_role("link", name="Bon suivant").click()
    till.locator("#code").fill(typed.lower())
    till.locator("#code").press("Enter")  # as a hand scanner ends
    expect(till.get_by_role("heading", level=1)).to_have_text("Ne pas le prendre")
    expect(till.locator(".lead")).to_contain_text("Il a déjà servi : Halle de Bellecour, le ")
    till.get_by_role("link", name="Bon suivant").click()
    till.get_by_text("Annuler…").first.click()
    till.get_by_text("Une erreur de caisse").first.click()
    till.get_by_role("button", name="Annuler l’utilisation").first.click()
    expect(till.locator("#just")).to_contain_text("Annulé")
    page.reload()
    expect(page.locator(".outcome")).to_contain_text("il est de nouveau valable")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_a_coupon_is_sound(phone: Phone, stall: Shop, tmp_path: Path, scheme: str) -> None:
    page, till = phone(scheme=scheme), phone(width=768, height=1024, scheme=scheme)
    earn(page, stall)
    seen: list[str] = []

    def look(at: Page, name: str) -> None:
        at.screenshot(path=tmp_path / f"{name}-{scheme}.png", full_page=True)
        seen.extend(f"{name}: {one}" for one in sound(at))

    look(page, "me")
    page.get_by_role("link", name="Ouvrir le bon").click()
    look(page, "choice")
    page.get_by_role("button", name="Afficher mon bon").click()
    look(page, "shown")
    code = page.locator("#typed").inner_text()
    sign_in(till, stall, "manager")
    till.goto(f"{stall.server.url}/staff/coupons/{code}")
    look(till, "check")
    till.get_by_role("button", name="L’utiliser").click()
    expect(till.get_by_role("heading", level=1)).to_have_text("Accepté")
    look(till, "accepted")
    till.goto(f"{stall.server.url}/staff/coupons?code={code}")
    look(till, "refused")
    till.goto(f"{stall.server.url}/staff/coupons")
    till.locator("summary").first.click()
    look(till, "till")
    till.set_viewport_size({"width": 360, "height": 740})
    look(till, "till-360")
    till.goto(f"{stall.server.url}/staff/coupons/conflicts")
    look(till, "conflicts")
    assert seen == []


def test_a_shown_coupon_is_there_without_network(phone: Phone, stall: Shop) -> None:
    page = phone(expects="net::ERR")
    earn(page, stall)
    show(page)
    code = page.locator("#typed").inner_text()
    page.get_by_role("link", name="Ma page").last.click()
    page.wait_for_url("**/me**")
    page.context.set_offline(True)
    page.go_back()
    expect(page.locator("#typed")).to_have_text(code)
    expect(page.locator(".qr.shown svg")).to_be_visible()


def test_a_coupon_taken_without_network_goes_later_and_a_conflict_is_told(phone: Phone, stall: Shop) -> None:
    page = phone()
    earn(page, stall)
    show(page)
    code = page.locator("#typed").inner_text()
    first, late = phone(), phone(expects="Failed to load resource")
    # Its clock is ten days slow: a use more than seven days back is refused, so the till goes by the server's.
    late.add_init_script("const right = Date.now; Date.now = () => right.call(Date) - 10 * 864e5")
    for till in (first, late):
        sign_in(till, stall)
        till.goto(f"{stall.server.url}/staff/coupons")
    late.context.set_offline(True)
    late.locator("#code").fill("7K3Q")
    late.locator("#code").press("Enter")
    expect(late.locator("#said")).to_contain_text("il a dix caractères")
    late.locator("#code").fill(code)
    late.locator("#code").press("Enter")
    expect(late.locator("#alone")).to_be_visible()
    late.get_by_role("button", name="Le prendre sans vérifier").click()
    expect(late.locator("#queue")).to_contain_text("attend le réseau")

    first.goto(f"{stall.server.url}/staff/coupons/{code}")
    first.get_by_role("button", name="L’utiliser").click()
    expect(first.get_by_role("heading", level=1)).to_have_text("Accepté")
    late.context.set_offline(False)
    expect(late.locator("#queue")).to_contain_text("Il a déjà servi : Halle de Bellecour, le ")
    late.get_by_role("button", name="J’ai lu").click()
    expect(late.locator("#waiting")).to_be_hidden()
    late.reload()
    late.get_by_role("link", name="conflit").click()
    expect(late.locator("main")).to_contain_text("celui-ci a été pris ici sans réseau")
