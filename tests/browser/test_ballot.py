"""A ballot on a small phone, in French, without JavaScript: what is missing, a vote, another one, the result."""

import os
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, sign_in, till_code

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("PASSERELLE_PICTURES")  # a folder, to look at the pages
TEXTS = ("Un verger de poiriers au bout de la cour, avec un banc à l’ombre", "Des ruches sur le toit", "Un four à pain")


def open_poll(shop: Shop) -> tuple[str, str]:
    """A mission with a round of two votes for verified visitors, and three ideas: its path and the round's id."""
    mission = shop.post(
        f"/v1/campaigns/{shop.campaign_id}/missions",
        {
            "title": {"fr": "Que construire dans la cour ?", "en": "What to build in the yard?"},
            "promise": "L’idée la plus choisie est construite au printemps.",
            "goal": {"metric": "votes", "value": 200},
            "steps": [{"kind": "idea"}, {"kind": "vote", "min_presence": 1}],
        },
    )
    now = datetime.now(UTC)
    rules = {
        "opens_at": (now - timedelta(hours=1)).isoformat(),
        "closes_at": (now + timedelta(hours=30)).isoformat(),
        "quota": 2,
        "min_presence": 1,
        "electorate": "visitors",
        "place_ids": [shop.place_id],
    }
    round_id = str(shop.post(f"/v1/missions/{mission['id']}/rounds", rules)["id"])
    with shop.server.phone() as author:
        for text in TEXTS:
            assert author.post(f"/m/{mission['slug']}/ideas", json={"text": text}).status_code == 201
    return f"/m/{mission['slug']}", round_id


def close(shop: Shop, round_id: str) -> None:
    with shop.server.api() as api:
        answer = api.patch(f"/v1/rounds/{round_id}", json={"closes_at": datetime.now(UTC).isoformat()})
    assert answer.status_code == 200, answer.text


def looked_at(page: Page, name: str) -> None:
    """Nothing to scroll sideways, and a picture of it where one is asked for."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 360
    if PICTURES:
        for scheme in ("light", "dark"):
            page.emulate_media(color_scheme=scheme)
            page.screenshot(path=f"{PICTURES}/ballot-{name}-{scheme}.png", full_page=True)


def require_accessible(page: Page) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found = Axe().run(page, options={"resultTypes": ["violations"]}).response["violations"]
        faults = [f"{one['id']}: {node['html']} {node['failureSummary']}" for one in found for node in one["nodes"]]
        assert faults == [], scheme


def test_a_visitor_votes_changes_their_mind_and_reads_the_result_without_javascript(phone: Phone, shop: Shop) -> None:
    path, round_id = open_poll(shop)
    page, console, reader = phone(javascript=False), phone(), phone()
    page.goto(shop.server.url + path)
    expect(page.locator("#ballot")).to_contain_text("Un passage pendant le vote")
    expect(page.locator("#ballot")).to_contain_text("L’équipe du magasin peut vous aider.")
    expect(page.locator("#ballot button[name=idea]")).to_have_count(0)
    looked_at(page, "missing")
    sign_in(console, shop)
    page.goto(shop.scan_url)
    page.locator("#till").fill(till_code(console))
    page.locator("#till").press("Enter")

    page.goto(shop.server.url + path)
    looked_at(page, "mission")
    page.get_by_label("J’ai 15 ans ou plus").last.check()
    page.keyboard.press("Enter")  # no idea is voted for by accident, and the age need not be said again
    expect(page.locator("#errors")).to_contain_text("Appuyez sur le bouton de l’idée")
    expect(page.get_by_label("J’ai 15 ans ou plus")).to_be_checked()
    page.get_by_role("button", name=f"Voter pour : {TEXTS[0]}").click()
    expect(page.locator("#just")).to_contain_text("Votre voix est comptée. Merci !")
    expect(page.locator("#ballot")).to_contain_text("Il vous reste 1 voix")
    page.get_by_role("button", name=f"Voter pour : {TEXTS[1]}").click()
    expect(page.locator("#ballot")).to_contain_text("Vous avez donné toutes vos voix")
    looked_at(page, "spent")
    page.get_by_role("button", name=f"Reprendre ma voix : {TEXTS[0]}").click()
    expect(page.locator("#just")).to_contain_text("Votre voix est reprise.")
    page.get_by_role("button", name=f"Voter pour : {TEXTS[2]}").click()
    for text in TEXTS[1:]:
        expect(page.locator(".mine", has_text=text)).to_have_count(1)

    reader.context.add_cookies(cookies(page, shop))  # axe needs JavaScript
    for where in (path, f"{path}/rounds/{round_id}"):
        reader.goto(shop.server.url + where)
        require_accessible(reader)
    close(shop, round_id)
    page.goto(shop.server.url + path)
    page.get_by_role("link", name="Résultat du dernier vote").click()
    expect(page.locator("main")).to_contain_text("1 personne a voté ; voix exprimées : 2.")
    expect(page.locator(".ranking li")).to_have_count(2)
    looked_at(page, "result")
    with page.expect_download() as taken:
        page.get_by_role("link", name="Télécharger le décompte").click()
    assert taken.value.suggested_filename.endswith(".csv")
    reader.goto(page.url)
    require_accessible(reader)


def cookies(page: Page, shop: Shop) -> Any:
    """Those of a phone, for another browser of the same person."""
    found = page.context.cookies()
    return [{"name": one["name"], "value": one["value"], "url": shop.server.url} for one in found]
