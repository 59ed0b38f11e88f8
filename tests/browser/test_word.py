"""Word of mouth, a question and the map of a trail on a small phone: with and without scripts, light and dark."""

import os
import random
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import BELLECOUR, Phone, post
from tests.conftest import Server, wait_until

pytestmark = pytest.mark.browser
QUESTION = {"fr": "Que planter d’abord ?", "en": "What to plant first?"}


def open_mission(house: Server) -> tuple[str, str]:
    """The path of a mission with a trail, a question, a mark and invitations; the code of its first shop."""
    fields = {"radius_m": 100, "time_zone": "Europe/Paris", "lon": BELLECOUR["longitude"]}
    spots = [("Halle", 0.0), ("Cave des Carmes", 0.004), ("Boulangerie du Marché", -0.003)]
    places = [
        post(house, "/v1/places", {"name": name, "lat": BELLECOUR["latitude"] + off, **fields})["id"]
        for name, off in spots
    ]
    plan = {"name": "Bouche", "objective": "cause", "targets": [{"kpi": "referrals", "value": 20}]}
    campaign = post(house, "/v1/campaigns", {**plan, "time_zone": "Europe/Paris"})["id"]
    steps = [
        {"kind": "trail", "params": {"places": places}, "title": {"fr": "Le tour des trois", "en": "A round of three"}},
        {"kind": "answer", "title": QUESTION, "params": {"choices": ["Quetsche", {"fr": "Cerise", "en": "Cherry"}]}},
        {"kind": "rate"},
        {"kind": "referral", "points": 5},
    ]
    wanted = {"title": "Un verger", "promise": "Un arbre", "goal": {"metric": "completions", "value": 20}}
    mission = post(house, f"/v1/campaigns/{campaign}/missions", {**wanted, "steps": steps})
    codes = [
        post(house, f"/v1/campaigns/{campaign}/tokens", {"medium": "qr", "place_id": place})["code"] for place in places
    ]
    post(house, f"/v1/campaigns/{campaign}/launch")
    return f"/m/{mission['slug']}", codes[0]


def check(page: Page, name: str) -> None:
    """No violation of axe's rules, nothing wider than the phone; a picture where one is asked for."""
    folder = os.environ.get("PASSERELLE_PICTURES")
    if folder:
        page.screenshot(path=Path(folder) / f"word-{name}.png", full_page=True)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= 360, f"{name} is {width} px wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_friend_is_invited_comes_and_is_counted(phone: Phone, house: Server, scheme: str) -> None:
    path, code = open_mission(house)
    page = phone(scheme=scheme)
    page.goto(f"{house.url}{path}")
    page.get_by_label("J’ai 15 ans ou plus").check()
    page.locator("main .go").first.click()
    page.get_by_role("link", name="Mon lien, et combien sont venus").click()
    page.get_by_role("button", name="Créer mon lien").click()
    link = page.locator(".own a").inner_text()
    check(page, f"invitations-{scheme}")

    nearby = BELLECOUR["latitude"] + random.uniform(1e-6, 1e-4)  # the sixth person at one point would be doubted
    friend = phone(scheme=scheme, position={**BELLECOUR, "latitude": nearby})
    friend.goto(link)
    expect(friend.locator("#invited")).to_contain_text("Quelqu’un vous invite.")
    check(friend, f"invited-{scheme}")
    friend.get_by_label("J’ai 15 ans ou plus").check()
    friend.locator("main .go").first.click()
    expect(friend.locator("#just")).to_be_visible()
    assert "s=" not in friend.url
    friend.goto(f"{house.url}/t/{code}")
    friend.locator("#locate").click()
    expect(friend.locator("#then")).to_be_visible()
    friend.locator("#then").click()
    expect(friend.locator("main")).to_contain_text("1 lieux sur 3")

    def is_counted() -> bool:
        page.reload()
        return page.locator("dd").all_inner_texts() == ["1", "1", "1"]

    wait_until(is_counted)
    friend.get_by_role("link", name="Voir sur un plan").first.click()
    expect(friend.locator(".map .mark.next")).to_have_count(1)
    check(friend, f"map-{scheme}")


@pytest.mark.parametrize("scripts", [True, False])
def test_a_question_is_replied_to_and_changed(phone: Phone, house: Server, scripts: bool) -> None:
    path, _ = open_mission(house)
    page = phone(javascript=scripts)
    page.goto(f"{house.url}{path}")
    page.get_by_role("link", name="Répondre, et voir ce qui a été répondu").first.click()
    expect(page.locator("h1")).to_have_text(QUESTION["fr"].replace(" ?", " ?"))
    page.get_by_label("Cerise").check()
    page.get_by_label("J’ai 15 ans ou plus").check()
    if scripts:
        check(page, "question")
    page.get_by_role("button", name="Envoyer ma réponse").click()
    expect(page.locator("#just")).to_contain_text("Merci")
    page.get_by_label("Quetsche").check()
    page.get_by_role("button", name="Envoyer ma réponse").click()
    expect(page.get_by_label("Quetsche")).to_be_checked()
    page.locator(".kicker a").click()
    page.get_by_role("link", name="Répondre, et voir ce qui a été répondu").nth(1).click()
    page.get_by_label("5 · Excellent").check()
    page.locator("#text").fill("Trop de prunes ?")
    page.get_by_role("button", name="Envoyer ma réponse").click()
    expect(page.locator(".ideas")).to_contain_text("Trop de prunes ?")
    if scripts:
        check(page, "rating")
