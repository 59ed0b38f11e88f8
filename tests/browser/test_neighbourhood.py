"""A neighbourhood votes among who was there: from the printed code to the result, on a small phone.

In French and in English, with and without JavaScript.
"""

from datetime import UTC, datetime, timedelta

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, new_idea, open_shop, sign_in, till_code
from tests.browser.test_ballot import close

pytestmark = pytest.mark.browser
WORDS = {
    "fr": {
        "adult": "J’ai 15 ans ou plus",
        "send": "Envoyer mon idée",
        "vote": "Voter pour : ",
        "thanks": "Votre voix est comptée. Merci !",
        "result": "Résultat du dernier vote",
        "turn_out": "1 personne a voté",
    },
    "en": {
        "adult": "I am 15 or older",
        "send": "Send my idea",
        "vote": "Vote for this: ",
        "thanks": "Your vote is counted. Thank you!",
        "result": "Result of the last vote",
        "turn_out": "1 person voted",
    },
}


def open_round(shop: Shop) -> str:
    now = datetime.now(UTC)
    window = {"opens_at": (now - timedelta(hours=1)).isoformat(), "closes_at": (now + timedelta(hours=1)).isoformat()}
    rules = {"quota": 1, "min_presence": 2, "electorate": "visitors"}
    return str(shop.post(f"/v1/missions/{shop.mission['id']}/rounds", window | rules)["id"])


def fits(page: Page) -> None:
    """Nothing to scroll sideways."""
    assert page.evaluate("document.documentElement.scrollWidth") <= 360


@pytest.mark.parametrize("javascript", [True, False], ids=["js", "plain"])
@pytest.mark.parametrize("language", ["fr", "en"])
def test_from_the_code_in_the_shop_to_the_result_of_the_vote(
    phone: Phone, shop: Shop, language: str, *, javascript: bool
) -> None:
    shop, words = open_shop(shop.server), WORDS[language]
    round_id = open_round(shop)
    till, page = phone(), phone(language=language, javascript=javascript)
    sign_in(till, shop)

    # In the shop: scan, type the digits of the till, and be there.
    page.goto(shop.scan_url)
    fits(page)
    page.locator("#till").fill(till_code(till))
    page.locator("#till").press("Enter")
    expect(page.locator("#just")).to_be_visible()
    fits(page)

    # On the phone: an idea, and a vote for it.
    idea = new_idea("Un banc sous le tilleul" if language == "fr" else "A bench under the lime tree")
    page.locator("#write").get_by_label(words["adult"]).check()
    page.locator("#text").fill(idea)
    page.locator("#write").get_by_role("button", name=words["send"]).click()
    expect(page.locator("main")).to_contain_text(idea)
    page.get_by_role("button", name=f"{words['vote']}{idea}").click()
    expect(page.locator("#just")).to_contain_text(words["thanks"])
    fits(page)

    # The vote closes, and everybody reads what came of it.
    close(shop, round_id)
    page.goto(shop.mission_url)
    page.get_by_role("link", name=words["result"]).click()
    expect(page.locator("main")).to_contain_text(words["turn_out"])
    expect(page.locator(".ranking li")).to_have_count(1)
    expect(page.locator(".ranking")).to_contain_text(idea)
    fits(page)
