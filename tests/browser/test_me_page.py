"""`/me` on a small phone, in French, without JavaScript: a person looks, takes a copy, and is erased."""

import json
import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, sign_in, till_code

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("PASSERELLE_PICTURES")  # a folder, to look at the pages


def picture(page: Page, name: str) -> None:
    if not PICTURES:
        return
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.screenshot(path=f"{PICTURES}/{name}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")


def test_a_person_sees_takes_and_erases_what_is_held_without_javascript(phone: Phone, shop: Shop) -> None:
    page, console = phone(javascript=False, language="fr-FR"), phone()
    page.set_viewport_size({"width": 360, "height": 740})
    sign_in(console, shop)
    page.goto(shop.scan_url)
    page.locator("#till").fill(till_code(console))
    page.locator("#till").press("Enter")
    picture(page, "idea")
    page.locator("#text").fill("Un néflier que personne ne connaît")
    page.get_by_label("J’ai 15 ans ou plus").check()
    page.get_by_role("button", name="Envoyer mon idée").click()
    expect(page.locator(".ideas li").first).to_contain_text("Un néflier")

    page.goto(f"{shop.server.url}/me")
    picture(page, "me")
    pseudonym = page.locator("h1").inner_text()
    expect(page.locator("main")).to_contain_text("Halle de Bellecour")
    expect(page.locator("main")).to_contain_text("Un néflier")
    expect(page.locator("main")).to_contain_text("Vous avez dit avoir 15 ans ou plus.")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Télécharger en JSON").click()
    held = json.loads(Path(taken.value.path()).read_text())
    assert [one["participant"]["pseudonym"] for one in held["people"]] == [pseudonym]

    page.get_by_role("button", name="M’effacer").click()
    picture(page, "erasing")
    expect(page.locator("main")).to_contain_text(pseudonym)
    page.get_by_role("button", name="Oui, m’effacer").click()
    expect(page.locator("#just")).to_contain_text("Vous êtes effacé.")
    picture(page, "erased")
    page.goto(shop.mission_url)
    expect(page.locator("main")).to_contain_text("Retirée par son auteur")
    expect(page.locator("main")).not_to_contain_text(pseudonym)
    picture(page, "mission")
    assert page.context.cookies() == []
