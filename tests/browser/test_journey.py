"""From a poster to an idea, on a phone of 360 by 740."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import BELLECOUR, Phone, Shop, new_idea, read_qr, sign_in, till_code

pytestmark = pytest.mark.browser

WORDS = {
    "fr-FR": {
        "h1": "Un verger pour l’école",
        "here": "Je suis là",
        "share": "Partager ma position",
        "inside": "Vous êtes au magasin",
        "refused": "Pas de position",
        "counted": "C’est compté",
        "noted": "Votre visite est notée",
        "send": "Envoyer mon idée",
        "thanks": "Merci, votre idée est bien arrivée",
    },
    "en-GB": {
        "h1": "An orchard for the school",
        "here": "I’m here",
        "share": "Share my position",
        "inside": "You are in the shop",
        "refused": "No position, no problem",
        "counted": "You are counted",
        "noted": "Your visit is noted",
        "send": "Send my idea",
        "thanks": "Thank you, your idea is in",
    },
}


@pytest.mark.parametrize("language", ["fr-FR", "en-GB"])
@pytest.mark.parametrize("javascript", [True, False], ids=["with-js", "without-js"])
def test_a_shopper_goes_from_the_poster_to_an_idea(phone: Phone, shop: Shop, language: str, javascript: bool) -> None:
    words = WORDS[language]
    page = phone(language=language, javascript=javascript, position=BELLECOUR)
    page.goto(shop.poster_url)
    carried = read_qr(page)
    assert carried == f"{shop.server.url}/t/{shop.qr['code']}".upper()

    page.goto(carried)
    expect(page.get_by_role("heading", level=1)).to_have_text(words["h1"])
    if javascript:
        page.get_by_role("button", name=words["share"]).click()
        expect(page.locator("#located")).to_contain_text(words["inside"])
        page.locator("#then").click()
    else:
        expect(page.locator("#position")).to_be_hidden()
        console = phone(javascript=False)
        sign_in(console, shop)
        page.locator("#till").fill(till_code(console))
        page.locator("#till").press("Enter")

    expect(page).to_have_url(f"{shop.mission_url}?just=checked_in")
    expect(page.locator("#just")).to_contain_text(words["counted"])
    expect(page.locator(".steps li.offline")).to_have_class("offline done")
    give(page, words, new_idea("Un pommier près du portail"), shop)


def test_refusing_the_position_leaves_the_till_code(phone: Phone, shop: Shop) -> None:
    words = WORDS["fr-FR"]
    console = phone()
    sign_in(console, shop)
    page = phone()
    page.goto(shop.scan_url)
    page.get_by_role("button", name=words["share"]).click()
    expect(page.locator("#located")).to_contain_text(words["refused"])
    page.locator("#then").click()
    expect(page.locator("#just")).to_contain_text(words["noted"])
    expect(page.locator("#text")).to_have_count(0)
    page.get_by_role("link", name="Voir ce qui manque").click()
    expect(page.locator("#you + .presence")).to_be_in_viewport()
    expect(page.locator("main")).to_contain_text("saisissez les six chiffres")

    page.goto(shop.scan_url)
    page.locator("#till").fill(till_code(console))
    page.locator("#till + button").click()
    expect(page.locator(".steps li.offline")).to_have_class("offline done")
    give(page, words, new_idea("Des noisetiers"), shop)


@pytest.mark.parametrize("javascript", [True, False], ids=["with-js", "without-js"])
def test_a_wrong_till_code_keeps_what_was_typed(phone: Phone, shop: Shop, javascript: bool) -> None:
    page = phone(javascript=javascript)
    page.goto(f"{shop.server.url}/t/{shop.another_code()}")
    typed = "000 000" if javascript else "000000"
    page.locator("#till").fill(typed)
    page.locator("#till + button").click()
    expect(page.locator("#till-error")).to_contain_text("Ce n’est pas le code du moment")
    expect(page.locator("#till")).to_have_value(typed)
    expect(page.locator("#till")).to_be_focused()
    page.get_by_role("link", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("An orchard for the school")

    console = phone()
    sign_in(console, shop)
    page.locator("#till").fill(till_code(console))
    page.locator("#till + button").click()
    expect(page.locator(".steps li.offline")).to_have_class("offline done")


def test_a_code_may_be_typed_with_spaces_and_look_alikes(phone: Phone, shop: Shop) -> None:
    page = phone(language="en-GB", javascript=False)
    page.goto(shop.server.url)
    code = shop.qr["code"].replace("0", "o").replace("1", "l").lower()
    page.get_by_label("Code").fill(f" {code[:4]} {code[4:8]}-{code[8:]} ")
    page.get_by_role("button", name="Continue").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("An orchard for the school")


def test_a_code_that_cannot_be_read_comes_back_as_typed(phone: Phone, shop: Shop) -> None:
    page = phone()
    page.goto(shop.server.url)
    page.locator("#code").fill("7K3Q-9XAB")
    page.get_by_role("button", name="Continuer").click()
    expect(page.locator("#errors")).to_contain_text("dix caractères")
    expect(page.locator("#code")).to_have_value("7K3Q-9XAB")


def test_the_language_a_person_chose_stays_with_them(phone: Phone, shop: Shop) -> None:
    words = WORDS["en-GB"]
    page = phone(language="fr-FR")
    page.goto(shop.scan_url)
    page.get_by_role("link", name="English").click()
    page.get_by_role("button", name=words["here"]).first.click()
    expect(page.locator("#just")).to_contain_text(words["noted"])
    expect(page.locator("html")).to_have_attribute("lang", "en")


def test_an_idea_of_blanks_is_refused_and_may_be_mended(phone: Phone, shop: Shop) -> None:
    page = phone(javascript=False)
    console = phone()
    sign_in(console, shop)
    page.goto(shop.scan_url)
    page.locator("#till").fill(till_code(console))
    page.locator("#till").press("Enter")
    page.locator("#text").fill("   ")
    page.get_by_label("J’ai 15 ans ou plus").check()
    page.get_by_role("button", name="Envoyer mon idée").click()
    expect(page.locator("#errors")).to_contain_text("le texte est vide")
    give(page, WORDS["fr-FR"], new_idea("Un banc sous le cerisier"), shop)


def give(page: Page, words: dict[str, str], idea: str, shop: Shop) -> None:
    """Write an idea on the mission page and see it there."""
    page.locator("#text").fill(idea)
    if not page.locator("#age-15").is_checked():  # what was said once stays said
        page.locator("#age-15").check()
    page.get_by_role("button", name=words["send"]).click()
    expect(page.locator("#just")).to_contain_text(words["thanks"])
    expect(page.locator(".ideas li").first).to_contain_text(idea)
    assert idea in shop.ideas()
