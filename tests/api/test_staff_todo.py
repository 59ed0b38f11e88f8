"""What the staff page asks a shop to look at."""

from api.pages import views
from api.pages.render import Renderer
from campaigns.places import Place
from campaigns.scans.signals import SPREAD_VISITORS
from campaigns.storage import Database
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


def _texts(database: Database, renderer: Renderer, place: Place | None, language: str) -> list[str]:
    assert place is not None
    with database.snapshot() as session:
        shop = views.shop_view(session, renderer, place, language=language, till_key=b"k" * 32, now=minutes(30))
    return [task.text for task in shop.todo]
