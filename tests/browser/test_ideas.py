"""An idea's life on a phone without JavaScript, on another and at the console: edited, followed, merged, decided."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import BELLECOUR, Phone, open_shop
from tests.browser.test_console import sign_in
from tests.browser.test_talk import look
from tests.conftest import Server

pytestmark = pytest.mark.browser


def test_an_idea_is_mended_followed_merged_and_decided(phone: Phone, house: Server) -> None:
    shop = open_shop(house)
    slug, code = shop.mission["slug"], shop.qr["code"]
    with house.phone(Accept="application/json") as other:
        here = {"lat": BELLECOUR["latitude"], "lon": BELLECOUR["longitude"], "accuracy_m": 12}
        receipt = other.get(f"/t/{code}").json()["receipt"]
        assert other.post(f"/t/{code}/check-in", json={"receipt": receipt, **here}).is_success
        twin = other.post(f"/m/{slug}/ideas", json={"text": "Des arbres à poires"}).json()["id"]
        idea = other.post(f"/m/{slug}/ideas", json={"text": "Des poireirs"}).json()["id"]
        author = phone(javascript=False)
        author.context.add_cookies([{"name": n, "value": v, "url": house.url} for n, v in dict(other.cookies).items()])
    page = f"{house.url}/m/{slug}/ideas/{idea}?lang=fr"
    author.goto(page)
    author.locator("summary").click()
    author.get_by_label("Votre idée").fill("Des poiriers")
    author.get_by_role("button", name="Modifier").click()
    expect(author.get_by_role("status")).to_contain_text("Votre idée est modifiée")

    reader = phone()
    reader.goto(page)
    expect(reader.locator(".hero")).to_contain_text("modifiée")
    reader.get_by_role("button", name="Suivre cette idée").click()
    expect(reader.get_by_role("status")).to_contain_text("Vous suivez cette idée")

    console = phone()
    sign_in(console, house, "ideas@b.example")
    console.get_by_role("link", name="Idées").click()
    look(console, "console_ideas")
    console.get_by_role("link", name="Des arbres à poires").click()
    look(console, "console_idea")
    console.get_by_label("L’autre idée").select_option(idea)
    console.get_by_label("Pourquoi").last.fill("Les deux disent la même chose.")
    console.get_by_role("button", name="Réunir").click()
    expect(console.get_by_role("status")).to_contain_text("Aucune voix")
    console.goto(f"{house.url}/console/ideas/{idea}")
    console.get_by_label("Retenue", exact=True).check()
    console.get_by_label("Pourquoi").first.fill("Le mur sud est libre.")
    console.get_by_role("button", name="Décider").click()
    expect(console.get_by_role("status")).to_contain_text("C’est décidé")

    reader.reload()
    expect(reader.locator("#story ~ ol")).to_contain_text("Le mur sud est libre.")
    look(reader, "idea_decided")
    reader.get_by_role("link", name="Des arbres à poires").click()
    expect(reader).to_have_url(f"{house.url}/m/{slug}/ideas/{twin}?lang=fr")
    look(reader, "idea_merged")
    reader.goto(f"{house.url}/me?lang=fr")
    expect(reader.locator("main")).to_contain_text("Le mur sud est libre.")
    look(reader, "me_follows")
