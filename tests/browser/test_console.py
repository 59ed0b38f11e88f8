"""The member's console in a real browser: without JavaScript, in light and dark, on a phone and on a desk."""

import re
from collections.abc import Iterator
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, open_shop, post
from tests.browser.test_accessibility import require_accessible, require_narrow
from tests.conftest import Server

pytestmark = pytest.mark.browser


@pytest.fixture
def proposal(house: Server) -> Iterator[Shop]:
    """A shop whose launch waits for approval; other tests launch without one."""
    shop = open_shop(house, launch=False)
    maker = post(house, "/v1/members", {"email": f"{uuid4().hex}@b.example", "name": "Alex Petit", "role": "marketer"})
    with house.api() as api, house.phone(Accept="text/html") as it:
        api.patch("/v1/organisation", json={"launch_needs_approval": True})
        assert it.post(maker["sign_in_link"]["url"]).status_code == 303
        proposed = it.post(f"/console/campaigns/{shop.campaign_id}/launch")
        assert proposed.headers["location"] == "/console?done=proposed"
        yield shop
        api.patch("/v1/organisation", json={"launch_needs_approval": False})


def sign_in(page: Page, server: Server, email: str, role: str = "owner") -> str:
    """A new member, signed in; their id."""
    member = post(server, "/v1/members", {"email": email, "name": "Camille Durand", "role": role})
    page.goto(member["sign_in_link"]["url"])
    page.locator("main form button").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Vue d’ensemble")
    return str(member["id"])


def test_every_page_of_the_console_fits_and_has_no_violation(phone: Phone, proposal: Shop) -> None:
    page, server = phone(), proposal.server
    page.goto(f"{server.url}/console/sign-in")
    require_accessible(page)
    invited = post(server, "/v1/members", {"email": "axe@b.example", "name": "Axe", "role": "owner"})
    page.goto(invited["sign_in_link"]["url"])
    require_accessible(page)
    me = sign_in(page, server, "axe2@b.example")
    with server.phone() as shopper:
        shopper.post(f"/report/{proposal.qr['code']}", data={"kind": "odd", "text": "x" * 300})
    draft = open_shop(server, launch=False).campaign_id
    key = post(server, "/v1/api-keys", {"name": "Une agence au nom vraiment long", "role": "analyst"})["id"]
    paths = (
        "?done=proposed",
        f"/campaigns/{draft}/launch",
        "/reports",
        "/keys",
        "/keys/new",
        f"/keys/{key}/revocation",
        "/members",
        "/members/new",
        f"/members/{me}",
        "/organisation",
        "/sessions",
        "/audit",
        "/shown",
    )
    for path in paths:
        page.goto(f"{server.url}/console{path}")
        for summary in page.locator("summary").all()[:3]:
            summary.click()
        require_accessible(page)
        page.set_viewport_size({"width": 1280, "height": 800})
        assert page.evaluate("document.documentElement.scrollWidth") <= 1280, path
        require_narrow(page)
        page.set_viewport_size({"width": 360, "height": 740})


def test_a_member_works_without_javascript(phone: Phone, proposal: Shop) -> None:
    page, server = phone(javascript=False), proposal.server
    sign_in(page, server, "plain@b.example", role="approver")
    expect(page.locator(".band").first).to_contain_text("attend")
    card = page.locator("li", has_text=re.compile("Lancement de")).first
    card.get_by_role("textbox").fill("Pas sans affiches")
    card.get_by_role("button", name="Refuser").click()
    expect(page.get_by_role("status")).to_contain_text("Refusé")
    expect(page.locator("section", has_text="Décisions")).to_contain_text("Pas sans affiches")
    page.get_by_role("link", name="English").click()
    page.get_by_role("link", name="Members").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Members")  # the language stays
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("main")).to_contain_text("You are signed out.")
    page.goto(f"{server.url}/console")
    expect(page.locator("h1")).to_have_text("Vous n’êtes pas connecté")
