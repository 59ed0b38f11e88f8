"""What the staff page asks a shop to look at."""

from datetime import datetime, timedelta

from api.care import show_alert
from api.pages import views
from api.pages.render import Renderer
from campaigns import care, worker
from campaigns.places import Place
from campaigns.scans.signals import SPREAD_VISITORS
from campaigns.storage import Database
from tests.campaigns.test_care import LONG_AGO, MORNING, alerts_of, report, scanned
from tests.scene import FAR, minutes, set_scene


def test_a_photographed_code_is_a_thing_to_do_in_both_languages(database: Database) -> None:
    scene = set_scene(database)
    renderer = Renderer(is_https=False)
    for number in range(1, SPREAD_VISITORS + 1):
        assert _texts(database, renderer, scene.entry.place, "en") == []
        scene.locate(scene.scan(at=minutes(number), visitor_key=number), FAR, at=minutes(number))
    (english,) = _texts(database, renderer, scene.entry.place, "en")
    assert english.startswith("The code “QR” is scanned far from here: was it photographed?")
    (french,) = _texts(database, renderer, scene.entry.place, "fr")
    assert "a-t-il été photographié" in french


def test_a_reported_code_is_a_thing_to_do_until_it_is_handled(database: Database) -> None:
    scene = set_scene(database)
    renderer = Renderer(is_https=False)
    first = report(database, scene.entry, key=1).report
    (text,) = _texts(database, renderer, scene.entry.place, "en")
    assert text.startswith("Someone reported the code “QR”: look whether a sticker covers it.")
    second = report(database, scene.entry, key=2).report
    (french,) = _texts(database, renderer, scene.entry.place, "fr")
    assert french.startswith("2 personnes ont signalé le code «\u00a0QR\u00a0»")
    with database.transaction() as session:
        for one in (first, second):
            care.handle_report(session, one, now=minutes(1))
    assert _texts(database, renderer, scene.entry.place, "fr") == []


def test_a_code_nobody_scans_any_more_is_a_thing_to_do_in_both_languages(database: Database) -> None:
    scene = set_scene(database)
    renderer = Renderer(is_https=False)
    scanned(database, scene.token.id, LONG_AGO)
    worker.watch(database, since=None, now=MORNING)
    later = MORNING + timedelta(hours=4)
    (english,) = _texts(database, renderer, scene.entry.place, "en", now=later)
    assert english.startswith("Hardly anyone has scanned the code “QR” since Tuesday: is it still there and uncovered?")
    (french,) = _texts(database, renderer, scene.entry.place, "fr", now=later)
    assert "depuis mardi" in french
    (alert,) = alerts_of(database)
    shown = show_alert(alert)
    assert (shown.kind, shown.expected, shown.seen, shown.open_days) == ("scans_fell_off", 10.0, 0, 1)
    assert shown.id.startswith("alr_")


def _texts(
    database: Database, renderer: Renderer, place: Place | None, language: str, *, now: datetime | None = None
) -> list[str]:
    assert place is not None
    now = now or minutes(30)
    with database.snapshot() as session:
        shop = views.shop_view(session, renderer, place, language=language, till_key=b"k" * 32, now=now)
    return [task.text for task in shop.todo]
