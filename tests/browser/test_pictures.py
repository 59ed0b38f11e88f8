"""The README's two pictures: a phone in a shop, and the shop's page on a day of traffic. Taken only when
PASSERELLE_SCREENSHOTS=1, so that an ordinary run leaves the tree as it is; what they show is checked every time."""

import io
import os
import secrets
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
from PIL import Image
from playwright.sync_api import Page, expect

from campaigns import migrations, places
from campaigns.places import Place
from campaigns.scans.log import ScanRow
from campaigns.storage import Database
from campaigns.tokens import Medium
from tests.browser.conftest import ANDROID, BELLECOUR, TITLE, Phone, afternoon_zone
from tests.conftest import PHONE, PIN, ROOT, Server, running_server
from tests.factories import make_scan, make_token, write
from tests.scene import Scene, confirmation, set_scene

pytestmark = pytest.mark.browser

LIMIT = 60_000  # bytes: a README is read on phones too
SAMSUNG = (
    "Mozilla/5.0 (Linux; Android 13; SM-A536B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/25.0 "
    "Chrome/121.0.0.0 Mobile Safari/537.36"
)
BOT = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
AGENTS = (ANDROID, PHONE, SAMSUNG)
HOURS = (24, 38, 33, 29, 47, 58, 41, 26, 14, 5)  # scans of an hour, the present one first
IDEAS = (
    "Des pommiers d’ici, que les enfants greffent eux-mêmes",
    "Une haie de framboises le long du mur",
    "Un banc à l’ombre du cerisier",
)


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str, str]]:
    """A server over a day that happened: written through the domain, with the `now` of each hour. With it the code
    of the shop's QR and a staff link."""
    url = f"sqlite:///{tmp_path_factory.mktemp('pictures')}/passerelle.db"
    database = Database(url)
    migrations.upgrade(database)
    code, secret = write_a_day(database, datetime.now(UTC))
    database.close()
    with running_server(url) as server:
        yield server, code, f"{server.url}/staff/sign-in/{secret}"


def test_the_phone_page_shows_the_mission_on_its_first_screen(busy: tuple[Server, str, str], phone: Phone) -> None:
    server, code, _ = busy
    page = phone(scale=2, position=BELLECOUR)
    page.emulate_media(reduced_motion="reduce")  # the arch stands still, built as far as it is
    page.goto(f"{server.url}/t/{code}", wait_until="networkidle")
    expect(page.locator("main .go").first).to_be_in_viewport(ratio=1)
    keep(page, "phone.png")


def test_the_staff_page_shows_the_day(busy: tuple[Server, str, str], phone: Phone) -> None:
    _, _, link = busy
    page = phone(width=900, height=900)
    page.goto(link)
    page.locator("#pin").fill(PIN)
    page.locator("main form button").click()
    expect(page.locator("#link")).to_have_text("En direct")
    figures = [int(text) for text in page.locator("dd").all_inner_texts()[:2]]
    assert figures[0] > figures[1] > 0
    keep(page, "staff.png")


def write_a_day(database: Database, now: datetime) -> tuple[str, str]:
    """Scans, check-ins and ideas of the hours before `now`. Returns the QR's code and the secret of a staff link."""
    opened = now - timedelta(days=20)
    scene = set_scene(
        database,
        place={"name": "Halle de Bellecour", "time_zone": afternoon_zone(now), "address": "12 place Bellecour, Lyon"},
        title=TITLE,
        promise={"fr": "120 visites, et nous plantons un pommier de plus dans la cour."},
        goal_value=120,
    )
    rows = [scan_of(scene, number, at) for number, at in enumerate(moments(now))]
    write(database, *rows, now=now)
    seen = [row for number, row in enumerate(rows) if number % 5 and row.verdict == "valid"]
    write(database, *(confirmation(row, now) for row in seen), now=now)
    for number, row in enumerate(seen[::3]):
        at = UUID(row.id)
        done = scene.check_in(row, now=datetime.fromtimestamp((at.int >> 80) / 1000, UTC), till_code_was_right=True)
        if number < len(IDEAS):
            scene.post_idea(done.person, text=IDEAS[number], language="fr", now=now)
    with database.transaction() as session:
        make_token(
            session,
            scene.campaign,
            scene.entry.place,
            medium=Medium.NFC,
            label="Porte-menu",
            now=opened,
            random_bytes=secrets.token_bytes,
        )
        secret = places.issue_staff_link(session, session.get_one(Place, scene.token.place_id), now=now)
    return scene.token.code, secret


def moments(now: datetime) -> Iterator[datetime]:
    """When the shop was scanned today, evenly within each hour."""
    hour = now.replace(minute=0, second=0, microsecond=0)
    for back, scans in enumerate(HOURS):
        for number in range(scans):
            at = hour - timedelta(hours=back) + timedelta(hours=1) * number / scans
            if at < now:
                yield at


def scan_of(scene: Scene, number: int, at: datetime) -> ScanRow:
    """One scan in seven is a robot's; every person is another."""
    agent = BOT if number % 7 == 3 else AGENTS[number % len(AGENTS)]
    return make_scan(scene.entry, at=at, visitor_key=number + 1, agent=agent)


def keep(page: Page, name: str) -> None:
    """The screen as a small picture under docker/, with few colours."""
    if os.environ.get("PASSERELLE_SCREENSHOTS") != "1":
        return
    image = Image.open(io.BytesIO(page.screenshot())).convert("RGB")
    few = image.quantize(colors=256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    file = ROOT / "docker" / name
    few.save(file, optimize=True)
    assert file.stat().st_size < LIMIT
