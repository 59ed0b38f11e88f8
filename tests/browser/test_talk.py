"""Moderation at the console, and a case from the scan page to its answer, in a real browser on a phone."""

import os
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BELLECOUR, Phone, open_shop
from tests.browser.conftest import sign_in as sign_in_till
from tests.browser.test_accessibility import require_accessible, require_narrow
from tests.browser.test_console import sign_in
from tests.conftest import Server

pytestmark = pytest.mark.browser


def look(page: Page, name: str) -> None:
    """The page has no violation in light and dark and fits 320 px; its picture, where somebody wants to look."""
    require_accessible(page)
    folder = os.environ.get("PASSERELLE_PICTURES")
    if folder:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=Path(folder) / f"{name}_{scheme}.png", full_page=True)
        page.emulate_media(color_scheme="light")
    require_narrow(page)
    page.set_viewport_size({"width": 360, "height": 740})


def test_what_is_flagged_is_hidden_and_what_is_told_is_answered(phone: Phone, house: Server) -> None:
    shop = open_shop(house)
    with house.phone(Accept="application/json") as author:
        slug, code = shop.mission["slug"], shop.qr["code"]
        here = {"lat": BELLECOUR["latitude"], "lon": BELLECOUR["longitude"], "accuracy_m": 12}
        receipt = author.get(f"/t/{code}").json()["receipt"]
        assert author.post(f"/t/{code}/check-in", json={"receipt": receipt, **here}).is_success
        idea = author.post(f"/m/{slug}/ideas", json={"text": "Mon voisin Zwetschgen vole des poires"}).json()["id"]
        author.post(f"/m/{slug}/comments", json={"idea": idea, "text": "Je l’ai vu de mes yeux."})
    reader = phone()
    reader.goto(f"{shop.mission_url}?lang=fr")
    reader.get_by_role("link", name="Signaler ce que").click()
    look(reader, "flag")
    reader.get_by_label("Cela attaque une personne").check()
    reader.get_by_role("button", name="Envoyer mon signalement").click()
    expect(reader.get_by_role("status").first).to_contain_text("un modérateur va regarder")
    reader.get_by_role("link", name="Ce qui se dit").click()
    look(reader, "idea")

    console = phone()
    sign_in(console, house, "talk@b.example")
    console.get_by_role("link", name="Modération").click()
    look(console, "moderation")
    card = console.locator(f"#{idea}")
    card.get_by_label("Règle enfreinte").select_option("personal_attack")
    card.get_by_label("Pourquoi").fill("Accuse une personne nommée")
    card.get_by_role("button", name="Masquer").click()
    expect(console.get_by_role("status")).to_contain_text("Masqué")
    look(console, "moderated")
    reader.goto(f"{shop.mission_url}?lang=fr")
    expect(reader.locator("#removals")).to_contain_text("attaque personnelle 1")
    expect(reader.locator("main")).not_to_contain_text("Zwetschgen")
    look(reader, "mission")

    reader.goto(f"{shop.scan_url}?lang=fr")
    reader.get_by_role("button", name="Dire quelque chose au magasin").click()
    look(reader, "say")
    reader.get_by_label("Ce que vous voulez dire").fill("Votre poirier penche sur le trottoir.")
    reader.get_by_role("button", name="Envoyer au magasin").click()
    expect(reader.get_by_role("status")).to_contain_text("Reçue")
    look(reader, "case")
    till = phone()
    sign_in_till(till, shop)
    expect(till.locator("#cases")).to_be_visible()
    look(till, "staff")
    till.get_by_role("link", name="Lire et répondre").click()
    look(till, "staff_case")
    reference = till.get_by_role("heading", level=1).inner_text()
    till.get_by_label("Votre réponse").fill("Nous le redressons demain matin.")
    till.get_by_role("button", name="Répondre").click()
    reader.reload()
    expect(reader.locator("main")).to_contain_text("Nous le redressons demain matin.")
    look(reader, "answered")
    console.get_by_role("link", name="Demandes").click()
    look(console, "cases")
    console.get_by_role("link", name=reference).click()
    look(console, "console_case")
    console.get_by_role("button", name="Clore").click()
    expect(console.get_by_role("status")).to_contain_text("Close")
