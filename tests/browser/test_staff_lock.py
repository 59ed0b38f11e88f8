"""A shop's phone that lay idle: locked, unlocked by its PIN, and a manager's phone that lets another one in."""

from datetime import UTC, datetime, timedelta
from typing import Literal

import pytest
from playwright.sync_api import Page, expect
from sqlalchemy import update
from sqlmodel import col

from campaigns import ids
from campaigns.places import StaffSession
from campaigns.storage import Database
from tests.browser.conftest import Phone, Shop, open_shop, read_qr, sign_in
from tests.browser.test_accessibility import require_accessible, require_narrow
from tests.conftest import PIN, Server, wait_until

pytestmark = pytest.mark.browser


@pytest.fixture
def quiet(house: Server) -> Shop:
    """A shop whose phones no other test has."""
    return open_shop(house)


def leave_idle(shop: Shop) -> None:
    """Let the shop's phones lie for eleven minutes."""
    database = Database(shop.server.environment["PASSERELLE_DATABASE_URL"])
    with database.transaction() as session:
        session.execute(
            update(StaffSession)
            .where(col(StaffSession.place_id) == ids.parse("plc", shop.place_id))
            .values(last_seen_at=datetime.now(UTC) - timedelta(minutes=11))
        )
    database.close()


def type_pin(page: Page, pin: str) -> None:
    page.get_by_label("Code PIN de ce téléphone").fill(pin)
    page.get_by_role("button", name="Déverrouiller").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_locked_phone_is_unlocked_where_it_was(phone: Phone, quiet: Shop, scheme: Literal["light", "dark"]) -> None:
    page = phone(scheme=scheme, javascript=scheme == "light")
    sign_in(page, quiet)
    leave_idle(quiet)
    page.get_by_role("link", name="Tags NFC de ce lieu").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Téléphone verrouillé")
    type_pin(page, "0000")
    expect(page.get_by_role("alert")).to_contain_text("Il reste 4 essais")
    if scheme == "light":  # both schemes are looked at; axe needs JavaScript
        require_accessible(page)
        require_narrow(page)
    type_pin(page, PIN)
    expect(page).to_have_url(f"{quiet.server.url}/staff/tags")


def test_a_form_sent_while_locked_is_not_lost_in_silence(phone: Phone, quiet: Shop) -> None:
    page = phone()
    sign_in(page, quiet, "manager")
    leave_idle(quiet)
    page.get_by_role("button", name="Téléphone de l’équipe").click()
    expect(page.get_by_role("alert")).to_contain_text("Rien n’a été fait.")
    require_accessible(page)
    type_pin(page, PIN)
    expect(page.locator("#live")).to_be_visible()


def test_the_page_left_open_asks_for_the_pin_by_itself(phone: Phone, quiet: Shop) -> None:
    page = phone()
    page.clock.install()
    sign_in(page, quiet)
    expect(page.locator("#link")).to_have_text("En direct")
    with page.expect_response(lambda one: "/staff/stream" in one.url and one.status == 403):
        leave_idle(quiet)

    def asks() -> bool:
        page.clock.run_for(1_000)  # ten of them, from the refusal to the page's own reload
        return page.locator("#pin").count() > 0

    wait_until(asks)


def test_a_managers_phone_lets_another_one_in_by_its_screen(phone: Phone, quiet: Shop) -> None:
    page = phone()
    sign_in(page, quiet, "manager")
    page.get_by_role("button", name="Téléphone d’un responsable").click()
    require_accessible(page)
    link = read_qr(page)
    expect(page.locator("code.host")).to_have_text(link)
    require_narrow(page)
    other = phone()
    other.goto(link)
    other.locator("#pin").fill("0000")
    other.locator("main form button").click()
    expect(other.locator("#phones ~ ul li")).to_have_count(2)
    expect(other.get_by_role("button", name="Téléphone d’un responsable")).to_be_visible()
