"""The shop's page: signed in by a link, live, and the till code a shopper types."""

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Phone, Shop, open_shop, sign_in, till_code
from tests.conftest import PHONE, PIN, Server, wait_until

pytestmark = pytest.mark.browser

RAW, CONFIRMED, CHECK_INS, PEOPLE = 0, 1, 3, 4  # the order of the figures on the page


@pytest.fixture
def quiet(house: Server) -> Shop:
    """A shop nobody scanned in yet."""
    return open_shop(house)


def test_a_staff_link_signs_one_phone_in(phone: Phone, quiet: Shop) -> None:
    link = quiet.staff_link()
    page = phone()
    page.goto(link)
    page.get_by_label("Choisissez un code PIN").fill(PIN)
    page.get_by_role("button").click()
    expect(page).to_have_url(f"{quiet.server.url}/staff")
    expect(page.get_by_role("heading", level=1)).to_have_text("Halle de Bellecour")

    second = phone()
    answer = second.goto(link)
    assert answer is not None
    assert answer.status == 410
    expect(second.locator("main form")).to_have_count(0)


def test_a_scan_elsewhere_changes_the_page_within_two_seconds(phone: Phone, quiet: Shop) -> None:
    page = phone()
    sign_in(page, quiet)
    expect(page.locator("#link")).to_have_text("En direct")
    assert figure(page, RAW) == "0"
    page.evaluate("window.sameDocument = true")
    quiet.scan(check_in=True)
    expect(page.locator("dd").nth(RAW)).to_have_text("1", timeout=2_000)
    for which in (CONFIRMED, CHECK_INS, PEOPLE):
        expect(page.locator("dd").nth(which)).to_have_text("1")
    assert page.evaluate("window.sameDocument")


def test_what_the_reader_opened_stays_open_when_a_scan_arrives(phone: Phone, quiet: Shop) -> None:
    page = phone()
    sign_in(page, quiet)
    expect(page.locator("#link")).to_have_text("En direct")
    page.locator("summary").click()
    quiet.scan(confirm=False)
    expect(page.locator("dd").nth(RAW)).to_have_text("1")
    expect(page.locator("table")).to_be_visible()
    expect(page.locator("summary")).to_be_focused()
    expect(page.locator("tbody tr").last.locator("td").first).to_have_text("1")


def test_without_javascript_a_reload_brings_the_figures(phone: Phone, quiet: Shop) -> None:
    page = phone(javascript=False)
    sign_in(page, quiet)
    expect(page.locator("#link")).to_have_text("Rechargez la page pour actualiser les chiffres.")
    quiet.scan()
    quiet.scan(agent=PHONE, confirm=False)
    wait_until(lambda: page.reload() is not None and (figure(page, RAW), figure(page, CONFIRMED)) == ("2", "1"))


def test_the_till_code_on_the_screen_is_taken_at_check_in(phone: Phone, quiet: Shop) -> None:
    console = phone()
    sign_in(console, quiet)
    page = phone()
    page.goto(quiet.scan_url)
    page.locator("#till").fill(till_code(console))
    page.locator("#till + button").click()
    expect(page.locator(".steps li.offline")).to_have_class("offline done")


def test_another_phone_is_signed_out_from_this_one(phone: Phone, quiet: Shop) -> None:
    lost = phone(agent=PHONE)
    sign_in(lost, quiet)
    page = phone()
    sign_in(page, quiet, "manager")
    rows = page.locator("#phones ~ ul li")
    expect(rows).to_have_count(2)
    page.get_by_role("button", name="Déconnecter iOS").click()
    expect(rows).to_have_count(1)
    answer = lost.reload()
    assert answer is not None
    assert answer.status == 401
    expect(lost.locator(".digits")).to_have_count(0)


def test_signing_out_ends_this_phone(phone: Phone, quiet: Shop) -> None:
    page = phone(javascript=False)
    sign_in(page, quiet)
    page.get_by_role("button", name="Déconnecter ce téléphone").click()
    expect(page.locator(".digits")).to_have_count(0)
    assert page.context.cookies() == []


def figure(page: Page, which: int) -> str:
    """One of today's figures as shown."""
    return page.locator("dd").nth(which).inner_text()
