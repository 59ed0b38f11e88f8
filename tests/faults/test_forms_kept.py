"""A form sent while nothing can be written comes back as it was typed, and is taken when it is sent again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

import httpx2
import pytest

from tests.api.helpers import make_shop
from tests.conftest import Server, running_server, wait_until
from tests.faults.cluster import Postgres
from tests.faults.test_disk_full import fill, make_room

IDEA = 'Des poiriers & <b>"pruniers"</b>\n\nprès du préau 🍐'
WORDS = {
    "fr": ("Réessayez dans un instant", "Ce que vous avez saisi est toujours là", "Réessayer"),
    "en": ("Please try again in a moment", "What you typed is still here", "Try again"),
}


@dataclass
class Form:
    """A form of a page as a browser without JavaScript would send it."""

    action: str
    fields: dict[str, str]
    shown: list[str]
    button: str


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.forms: list[Form] = []
        self._inside = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self._inside = given.get("name", "") if tag == "textarea" else tag
        if tag == "form":
            assert given["method"] == "post"
            self.forms.append(Form(given["action"], {}, [], ""))
        elif tag in ("input", "textarea"):
            self.forms[-1].fields[given["name"]] = given.get("value", "")
            if given.get("type") != "hidden":
                self.forms[-1].shown.append(given["name"])

    def handle_data(self, data: str) -> None:
        if self._inside == "button":
            self.forms[-1].button += data
        elif self.forms and self._inside in self.forms[-1].fields:
            self.forms[-1].fields[self._inside] += data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":  # a browser drops the line break that opens it
            field = self.forms[-1].fields
            field[self._inside] = field[self._inside].removeprefix("\n")
        self._inside = ""


def form_of(page: httpx2.Response, language: str) -> Form:
    """The one form of the page of a refusal that will pass, whose words are checked."""
    assert page.status_code == 503
    assert page.headers["content-type"].startswith("text/html")
    assert page.headers["cache-control"] == "no-store"
    assert int(page.headers["retry-after"]) > 0
    assert f'<html lang="{language}"' in page.text
    title, kept, button = WORDS[language]
    assert title in page.text
    assert kept in page.text
    parser = _Forms()
    parser.feed(page.text)
    (form,) = parser.forms
    assert form.button == button
    return form


@dataclass
class House:
    """A server, and how to take away and give back what it writes on."""

    server: Server
    take_away: Callable[[], None]
    give_back: Callable[[], None]


@pytest.fixture(params=["database away", "disk full"])
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    if request.param == "disk full":
        with running_server(f"sqlite:///{tmp_path}/passerelle.db") as server:
            yield House(server, lambda: fill(server, 4_096), lambda: make_room(server))
        return
    own: Postgres = request.getfixturevalue("own_postgres")
    with running_server(own.url, PASSERELLE_SPOOL_DIR=str(tmp_path / "spool")) as server:
        yield House(server, own.stop, own.start)


@contextmanager
def browser(server: Server, language: str) -> Iterator[httpx2.Client]:
    with server.phone(Accept="text/html", **{"Accept-Language": "es"}) as phone:
        phone.headers["Origin"] = server.url
        phone.params = httpx2.QueryParams(lang=language)
        yield phone


def test_what_a_person_typed_outlives_a_503(house: House) -> None:
    shop = make_shop(house.server)
    receipts = {language: shop.scan()["receipt"] for language in WORDS}
    held: dict[tuple[str, str], Form] = {}
    house.take_away()
    for language in WORDS:
        with browser(house.server, language) as phone:
            typed = {"receipt": receipts[language], "till_code": "12 34 56"}
            form = form_of(phone.post(f"/t/{shop.code}/check-in", data=typed), language)
            assert form.fields == typed
            assert form.shown == ["till_code"]
            held[language, "check-in"] = form
            typed = {"text": IDEA.replace("\n", "\r\n"), "client_id": f"made-on-the-phone-{language}"}
            typed |= {"age": "15_or_older"}
            form = form_of(phone.post(f"/m/{shop.slug}/ideas", data=typed), language)
            assert {name: value.replace("\r\n", "\n") for name, value in form.fields.items()} == {**typed, "text": IDEA}
            assert form.shown == ["text"]
            assert "<b>" not in form.action
            held[language, "idea"] = form
            assert phone.post(f"/m/{shop.slug}/join", data={}).status_code == 503
    house.give_back()
    wait_until(lambda: httpx2.get(f"{house.server.url}/readyz").status_code == 200, seconds=20)
    for (language, kind), form in held.items():
        assert f"lang={language}" in form.action
        with house.server.phone(Accept="text/html", Origin=house.server.url) as phone:
            fields = {**form.fields, **({"till_code": ""} if kind == "check-in" else {})}  # its 30 seconds are over
            for _ in range(2):  # sent twice, it counts once
                sent = phone.post(form.action, data=fields, follow_redirects=True)
                assert sent.status_code == 200, sent.text
                assert f'<html lang="{language}"' in sent.text
    with house.server.phone(Accept="text/html") as phone:
        assert phone.get(f"/m/{shop.slug}").text.count("près du préau") == len(WORDS)
    assert house.server.passerelle("verify").stdout.strip() == "Everything adds up."


def test_a_client_that_wants_json_is_told_in_json(house: House) -> None:
    shop = make_shop(house.server)
    receipt = shop.scan()["receipt"]
    house.take_away()
    with house.server.phone(Accept="application/json") as phone:
        for data in ({"receipt": receipt}, {"receipt": receipt, "till_code": "123456"}):
            answer = phone.post(f"/t/{shop.code}/check-in", data=data)
            assert answer.status_code == 503
            assert answer.json()["code"] == "storage_unavailable"
    house.give_back()
    wait_until(lambda: house.server.passerelle("verify").stdout.strip() == "Everything adds up.", seconds=30)
