"""The meter in a real browser, before a server whose own worker makes the chain: it moves without a reload."""

import httpx2
import pytest
from playwright.sync_api import Browser, expect

from campaigns import clock, identity
from campaigns.storage import Database
from tests.browser.conftest import new_agent
from tests.conftest import TLS, new_postgres_url, passerelle_here, running_server, wait_until
from tests.factories import make_campaign, make_mission
from tests.treasury import accrue, make_purse, release

pytestmark = pytest.mark.browser


def test_the_meter_moves_while_it_is_seen_and_the_worker_chains(browser: Browser, postgres: str) -> None:
    url = new_postgres_url(postgres)
    with running_server(url) as server:
        database, now = Database(url), clock.utc_now()
        with database.transaction() as session:
            (owner,) = identity.list_organisations(session, limit=1)
            mission = make_mission(session, make_campaign(session, owner, now=now), now=now)
            purse = make_purse(session, mission, now=now)
            act = accrue(session, purse, now=now)
        page = browser.new_context(user_agent=new_agent(), locale="en-GB").new_page()
        page.clock.install()
        page.goto(f"{server.url}/m/{mission.slug}")
        unlocked = page.locator("#money b")
        expect(unlocked).to_have_text("0 EUR")
        with database.transaction() as session:
            release(session, purse, [act], now=now)
        page.clock.fast_forward(14_000)
        expect(unlocked).to_have_text("0 EUR")
        page.clock.fast_forward(2_000)
        expect(unlocked).to_have_text("0.10 EUR")
        expect(page.get_by_text("0.10 EUR to be paid")).to_be_visible()
        page.context.close()
        ledger = f"{server.url}/m/{mission.slug}/ledger.csv"
        wait_until(lambda: len(httpx2.get(ledger, verify=TLS).text.splitlines()) == 2, seconds=30)
        assert passerelle_here(server.environment, "verify").returncode == 0
        database.close()
