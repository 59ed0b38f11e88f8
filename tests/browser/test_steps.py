"""A trail and an act the shop confirms, on a small phone in French, in light and dark."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import BELLECOUR, Phone, Shop, post, sign_in
from tests.conftest import Server

pytestmark = pytest.mark.browser

STEPS = {"fr": "Deux boutiques, puis un service", "en": "Two shops, then a service"}


def open_trail(house: Server) -> tuple[Shop, list[str]]:
    """Two shops with a code each; the mission is a trail through both, then an act the staff confirm."""
    fields = {"lat": BELLECOUR["latitude"], "lon": BELLECOUR["longitude"], "radius_m": 100, "time_zone": "Europe/Paris"}
    places = [post(house, "/v1/places", {"name": name, **fields})["id"] for name in ("Halle", "Cave des Carmes")]
    plan = {"name": "Parcours", "objective": "cause", "targets": [{"kpi": "check_ins", "value": 20}]}
    campaign = post(house, "/v1/campaigns", {**plan, "time_zone": "Europe/Paris"})["id"]
    steps = [
        {"kind": "trail", "params": {"places": places}},
        {"kind": "staff_validated", "min_presence": 3, "title": {"fr": "Rapportez un bocal", "en": "Return a jar"}},
    ]
    wanted = {"title": STEPS, "promise": "Un dessert", "goal": {"metric": "completions", "value": 20}, "steps": steps}
    mission = post(house, f"/v1/campaigns/{campaign}/missions", wanted)
    path = f"/v1/campaigns/{campaign}/tokens"
    tokens = [post(house, path, {"medium": "qr", "place_id": place}) for place in places]
    post(house, f"/v1/campaigns/{campaign}/launch")
    return Shop(house, places[0], campaign, mission, tokens[0], tokens[0]), [one["code"] for one in tokens]


def check(page: Page, name: str) -> None:
    """No violation of axe's rules, nothing wider than the phone; a picture where one is asked for."""
    folder = os.environ.get("PASSERELLE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"steps-{name}.png", full_page=True)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, f"{name} is {width} px wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_trail_and_an_act_the_shop_confirms(phone: Phone, house: Server, scheme: str) -> None:
    shop, codes = open_trail(house)
    page = phone(scheme=scheme)
    page.goto(f"{house.url}/t/{codes[1]}")
    expect(page.locator(".steps")).to_contain_text("Halle → Cave des Carmes")
    check(page, f"scan-{scheme}")
    page.locator("main .go").first.click()
    expect(page.locator("main")).to_contain_text("0 lieux sur 2. Le prochain est Halle.")
    page.get_by_role("button", name="Afficher mon code").click()
    expect(page.locator(".digits")).to_be_visible()
    check(page, f"mission-{scheme}")

    till = phone(scheme=scheme)
    sign_in(till, replace(shop))
    till.goto(f"{house.url}/staff/validations?code={page.locator('.digits').inner_text().replace(' ', '')}")
    check(till, f"till-{scheme}")
    till.get_by_role("button", name="Confirmer").click()
    expect(till.locator("#just")).to_contain_text("Rapportez un bocal")
    till.locator("#code").fill("000000")
    till.get_by_role("button", name="Confirmer").click()
    expect(till.locator("#code-error")).to_be_visible()
    expect(till.locator("#code")).to_have_value("000000")
    check(till, f"till-wrong-{scheme}")

    page.reload()
    expect(page.locator(".steps li").nth(1)).to_have_class("offline done")
