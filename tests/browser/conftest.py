"""A real browser, a real server and one shop in Lyon, made through the HTTP API."""

import io
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import zxingcpp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Geolocation, Page, expect, sync_playwright

from tests.conftest import PIN, Server, client, running_server

BELLECOUR: Geolocation = {"latitude": 45.7578, "longitude": 4.8320, "accuracy": 12}
ANDROID = (
    "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 "
    "Mobile Safari/537.36"
)
STAND_IN = Path(__file__).with_name("ndef_reader.js")  # for Web NFC, which only phones have
_phones = count(1)
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TITLE = {"fr": "Un verger pour l’école", "en": "An orchard for the school"}
PROMISE = {
    "fr": "2 000 visites, et nous plantons vingt arbres dans la cour.",
    "en": "2,000 visits, and we plant twenty trees in the yard.",
}


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium. One a module: playwright's event loop lives in this thread until it is stopped, and another
    folder's `asyncio.run` must not meet it."""
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        reason = f"no browser on this machine: looked for {', '.join(BROWSERS)}"
        if os.environ.get("PASSERELLE_REQUIRE_BROWSER") == "1":
            pytest.fail(f"{reason}, and PASSERELLE_REQUIRE_BROWSER=1 requires one")
        pytest.skip(reason)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server on SQLite for all the browser tests."""
    with running_server(f"sqlite:///{tmp_path_factory.mktemp('browser')}/passerelle.db") as server:
        yield server


def new_agent() -> str:
    """The agent of a phone no other test has: one that scans more than thirty codes in ten minutes is a burst."""
    return f"{ANDROID} Phone/{next(_phones)}"


@dataclass(frozen=True)
class Shop:
    """A shop with a campaign, its mission, and the codes that hang there."""

    server: Server
    place_id: str
    campaign_id: str
    mission: dict[str, Any]
    qr: dict[str, Any]
    nfc: dict[str, Any]

    @property
    def scan_url(self) -> str:
        return f"{self.server.url}/t/{self.qr['code']}"

    @property
    def poster_url(self) -> str:
        return f"{self.server.url}/posters/{self.qr['code']}"

    @property
    def mission_url(self) -> str:
        return str(self.mission["url"])

    def post(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """A marketer's post that must be taken."""
        return post(self.server, path, body)

    def another_code(self) -> str:
        """The code of a token that no other test scans."""
        fields = {"medium": "qr", "place_id": self.place_id, "label": "Caisse"}
        return str(self.post(f"/v1/campaigns/{self.campaign_id}/tokens", fields)["code"])

    def scans_of(self, code: str) -> list[dict[str, Any]]:
        """What the log holds of one code, through the API."""
        with self.server.api() as api:
            tokens = api.get(f"/v1/campaigns/{self.campaign_id}/tokens", params={"limit": 200}).json()["data"]
            token_id = next(token["id"] for token in tokens if token["code"] == code)
            answer = api.get("/v1/scans", params={"campaign_id": self.campaign_id, "token_id": token_id})
            found: list[dict[str, Any]] = answer.json()["data"]
            return found

    def ideas(self) -> list[str]:
        """The texts of the mission's ideas, through the API."""
        with self.server.api() as api:
            rows = api.get(f"/v1/missions/{self.mission['id']}/ideas", params={"limit": 200}).json()["data"]
            return [row["text"] for row in rows]

    def staff_link(self, role: str = "staff") -> str:
        """A new one-time sign-in link of the shop."""
        return str(self.post(f"/v1/places/{self.place_id}/staff-links", {"role": role})["url"])

    def scan(self, *, agent: str | None = None, confirm: bool = True, check_in: bool = False) -> None:
        """Another client's scan, over HTTP."""
        agent = agent or new_agent()
        with client(self.server.url, headers={"User-Agent": agent, "Accept": "application/json"}) as it:
            receipt = it.get(f"/t/{self.qr['code']}").json()["receipt"]
            for act in ("confirm",) * confirm + ("check-in",) * check_in:
                assert it.post(f"/t/{self.qr['code']}/{act}", data={"receipt": receipt}).is_success


@pytest.fixture(scope="session")
def shop(house: Server) -> Shop:
    """The shop most tests meet: its campaign is live."""
    return open_shop(house)


def open_shop(server: Server, *, launch: bool = True, idea_presence: int = 1) -> Shop:
    """A new shop in Lyon with a campaign of its own."""
    fields: dict[str, Any] = {
        "name": "Halle de Bellecour",
        "lat": BELLECOUR["latitude"],
        "lon": BELLECOUR["longitude"],
        "radius_m": 100,
        "time_zone": afternoon_zone(datetime.now(UTC)),
        "address": "12 place Bellecour, 69002 Lyon",
    }
    place_id = str(post(server, "/v1/places", fields)["id"])
    campaign_id = str(
        post(
            server,
            "/v1/campaigns",
            {
                "name": "Verger",
                "objective": "cause",
                "targets": [{"kpi": "check_ins", "value": 2000}],
                "time_zone": "Europe/Paris",
            },
        )["id"]
    )
    mission = post(
        server,
        f"/v1/campaigns/{campaign_id}/missions",
        {
            "title": TITLE,
            "promise": PROMISE,
            "goal": {"metric": "check_ins", "value": 2000},
            "steps": [
                {"kind": "scan", "mode": "offline", "min_presence": 1, "repeat": "daily"},
                {"kind": "idea", "mode": "online", "min_presence": idea_presence},
            ],
        },
    )
    path = f"/v1/campaigns/{campaign_id}/tokens"
    qr = post(server, path, {"medium": "qr", "place_id": place_id, "label": "Vitrine"})
    nfc = post(server, path, {"medium": "nfc", "place_id": place_id, "label": "Comptoir"})
    if launch:
        post(server, f"/v1/campaigns/{campaign_id}/launch")
    return Shop(server, place_id, campaign_id, mission, qr, nfc)


def post(server: Server, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """A marketer's post that must be taken."""
    with server.api() as api:
        answer = api.post(path, json=body)
    assert answer.is_success, answer.text
    taken: dict[str, Any] = answer.json()
    return taken


def afternoon_zone(now: datetime) -> str:
    """A time zone where it is about five in the afternoon: no test meets midnight, and a day has hours behind it."""
    ahead = (17 - now.hour + 12) % 24 - 12
    return f"Etc/GMT{-ahead:+d}"  # POSIX signs: Etc/GMT-2 is two hours ahead of UTC


Phone = Callable[..., Page]


@pytest.fixture
def phone(browser: Browser) -> Iterator[Phone]:
    """Phones to browse with. At the end no page of theirs may have logged an error (a CSP violation is one)."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def open_phone(
        *,
        language: str = "fr-FR",
        javascript: bool = True,
        scheme: Any = "light",
        width: int = 360,
        height: int = 740,
        position: Geolocation | None = None,
        agent: str | None = None,
        scale: float = 1,
        expects: str = "the server responded with a status of 4",  # what Chromium logs of a 404 that is meant
    ) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            is_mobile=width < 600,
            has_touch=width < 600,
            locale=language,
            user_agent=agent or new_agent(),
            java_script_enabled=javascript,
            color_scheme=scheme,
            geolocation=position,
            permissions=["geolocation"] if position else [],
        )
        contexts.append(context)
        context.set_default_timeout(10_000)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(f"{page.url}: {error}"))

        def hear(message: ConsoleMessage) -> None:
            if message.type in ("error", "warning") and expects not in message.text:
                errors.append(f"{page.url}: {message.text}")

        page.on("console", hear)
        return page

    yield open_phone
    for context in contexts:
        context.close()
    assert errors == []


def read_qr(page: Page) -> str:
    """What the QR on a page carries, read off a picture of the screen."""
    image = Image.open(io.BytesIO(page.screenshot(full_page=True)))
    found = [code.text for code in zxingcpp.read_barcodes(image)]
    assert len(found) == 1, found
    return str(found[0])


def sign_in(page: Page, shop: Shop, role: str = "staff") -> None:
    """Open a staff link and use it: the page is the staff page then."""
    page.goto(shop.staff_link(role))
    page.locator("#pin").fill(PIN)
    page.locator("main form button").click()
    expect(page.locator(".digits")).to_be_visible()


def till_code(page: Page) -> str:
    """The six digits of a staff page, read anew."""
    page.reload()
    return page.locator(".digits").inner_text()


def new_idea(text: str) -> str:
    """An idea no other test has."""
    return f"{text} ({uuid4().hex[:6]})"
