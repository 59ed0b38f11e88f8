"""Keeping one's place on a small phone: a code made without JavaScript opens the same name on another phone."""

import os
import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, read_qr
from tests.browser.test_me_page import picture

pytestmark = pytest.mark.browser
PICTURES = os.environ.get("PASSERELLE_PICTURES")


def check_in(page: Page, shop: Shop) -> str:
    """Scan and check in without any proof; the name it is under."""
    page.set_viewport_size({"width": 360, "height": 740})
    page.goto(shop.scan_url)
    page.locator("button.go[form=act]").first.click()
    page.wait_for_url("**/m/**")
    return page.locator("#you").inner_text()


def test_a_code_made_without_javascript_opens_the_same_name_on_another_phone(phone: Phone, shop: Shop) -> None:
    first, second = phone(javascript=False, language="fr-FR"), phone(language="en-GB")
    name = check_in(first, shop)
    picture(first, "keep-offer")
    first.get_by_role("button", name="Garder ma place").click()
    expect(first.locator("h1")).to_have_text("Mon code de reprise")
    code = first.locator("#code").input_value()
    assert re.fullmatch(r"(?:[2-9A-Z]{4}-){3}[2-9A-Z]{4}", code)
    picture(first, "keep-code")
    link = read_qr(first)
    assert link.endswith(f"/me/recovery#{code}")

    second.set_viewport_size({"width": 360, "height": 740})
    other = check_in(second, shop)
    asked: list[str] = []
    second.on("request", lambda request: asked.append(f"{request.url} {request.headers.get('referer', '')}"))
    second.goto(link)
    expect(second.locator("#code")).to_have_value(code)
    assert code not in second.url
    picture(second, "keep-typed")
    second.get_by_role("button", name="Continue").click()
    expect(second.locator("h1")).to_have_text("Make the two one?")
    expect(second.locator("main")).to_contain_text(name)
    expect(second.locator("main")).to_contain_text(other)
    picture(second, "keep-merge")
    second.get_by_role("button", name="Yes, both are me").click()
    expect(second.locator("#just")).to_contain_text("The two are one.")
    expect(second.locator("h1")).to_have_text(name)
    picture(second, "keep-merged")
    assert not [one for one in asked if code in one.split("#")[0]], "no server, and no log of one, sees the code"

    third = phone(language="en-GB")
    third.set_viewport_size({"width": 320, "height": 640})
    third.goto(f"{shop.server.url}/me/recovery")
    third.locator("#code").fill(code)
    third.get_by_role("button", name="Continue").click()
    expect(third.locator("#code-error")).to_contain_text("is good once")
    expect(third.locator("#code")).to_have_value(code)
    assert third.evaluate("document.documentElement.scrollWidth <= 320")
    picture(third, "keep-used")
