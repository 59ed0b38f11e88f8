"""Feeds and previews over HTTP on both databases: valid, conditional, without people, and nobody's visit."""

import csv
import io
import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from datetime import datetime
from typing import Any

import httpx2
import pytest
from PIL import Image

from api.pages.feed_formats import Entry, Feed, as_atom, as_json, shortened
from api.pages.preview_card import Card, draw
from tests.api.desk import Desk
from tests.api.helpers import Shop, make_shop
from tests.factories import NOON

ATOM = "{http://www.w3.org/2005/Atom}"
WHY = "Il y a la place & l’argent <ici>."
# An agent of each kind that fetches previews.
BOTS = ("WhatsApp/2.23", "facebookexternalhit/1.1", "Slackbot-LinkExpanding 1.0", "Twitterbot/1.0")


def give(shop: Shop, phone: httpx2.Client, text: str) -> str:
    answer = phone.post(f"/m/{shop.slug}/ideas", json={"text": text})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["id"])


def entries(document: bytes) -> list[dict[str, Any]]:
    """The entries of an Atom document, after all that RFC 4287 asks of it."""
    root = ElementTree.fromstring(document)  # noqa: S314  # our own answer
    assert root.tag == f"{ATOM}feed"
    found = []
    for node in (root, *root.findall(f"{ATOM}entry")):
        one = {name: node.findtext(f"{ATOM}{name}") for name in ("id", "title", "updated")}
        assert all(one.values()), one
        assert str(one["id"]).startswith("urn:uuid:")
        datetime.fromisoformat(str(one["updated"]))
        links = {link.get("rel"): link.get("href") for link in node.findall(f"{ATOM}link")}
        assert links["alternate"]
        assert all(str(link).startswith("http") for link in links.values())
        found.append(one | {"url": links["alternate"], "text": node.findtext(f"{ATOM}content") or ""})
    assert root.findtext(f"{ATOM}author/{ATOM}name")
    assert len({one["id"] for one in found}) == len(found)
    return found[1:]


def items(document: bytes) -> list[dict[str, Any]]:
    """The items of a JSON Feed, after all that version 1.1 asks of it."""
    body = json.loads(document)
    assert body["version"] == "https://jsonfeed.org/version/1.1"
    assert body["title"]
    assert body["feed_url"].startswith("http")
    for one in body["items"]:
        assert isinstance(one["id"], str)
        assert one["content_text"]
        datetime.fromisoformat(one["date_modified"])
    found: list[dict[str, Any]] = body["items"]
    return found


def test_the_feeds_tell_what_happens_and_of_nobody(desk: Desk) -> None:
    shop = make_shop(desk.server)
    page = f"/m/{shop.slug}"
    with (
        shop.server.phone(Accept="application/json") as author,
        shop.server.api() as api,
        shop.server.phone() as reader,
    ):
        kept, hidden = give(shop, author, "Des poiriers & <b>"), give(shop, author, "Zwetschgen")
        name = author.get("/me/export").json()["people"][0]["participant"]["pseudonym"]
        for idea in (kept, hidden):
            made = api.post(f"/v1/ideas/{idea}/decisions", json={"state": "selected", "reason": WHY})
            assert made.status_code == 201
        with desk.signed_in("owner") as person:
            fields = {"act": "hide", "rule": "private_data", "reason": "Une voisine"}
            assert person.post(f"/console/moderation/{shop.mission}/{hidden}", data=fields).status_code == 303
        ideas = reader.get(f"{page}/ideas.atom?lang=fr")
        assert ideas.headers["content-type"] == "application/atom+xml; charset=utf-8"
        (one,) = entries(ideas.content)
        assert (one["title"], one["text"]) == ("Des poiriers & <b>", "Des poiriers & <b>\n\nRetenue")
        (news,) = entries(reader.get(f"{page}/feed.atom?lang=fr").content)
        assert news["title"] == "Retenue – Des poiriers & <b>"
        assert WHY in news["text"]
        feeds = [reader.get(f"{page}/{feed}.json?lang=fr") for feed in ("feed", "ideas")]
        assert [len(items(feed.content)) for feed in feeds] == [1, 1]
        assert feeds[0].headers["content-type"] == "application/feed+json; charset=utf-8"
        said = ideas.text + feeds[0].text + feeds[1].text
        assert "Zwetschgen" not in said
        assert name not in said
        assert "par_" not in said


def test_the_record_of_a_community_holds_what_is_public_and_nobody(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with shop.server.phone(Accept="application/json") as author, shop.server.api() as api:
        idea, hidden = give(shop, author, "=Des poiriers"), give(shop, author, "Zwetschgen")
        name = author.get("/me/export").json()["people"][0]["participant"]["pseudonym"]
        assert author.post(f"/m/{shop.slug}/comments", json={"idea": idea, "text": "Oui, vite"}).status_code == 201
        window = {"opens_at": "2026-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z", "totals": "shown"}
        round = api.post(f"/v1/missions/{shop.mission}/rounds", json=window).json()["id"]
        assert author.post(f"/m/{shop.slug}/votes", json={"idea": idea}).status_code == 201
        made = api.post(f"/v1/ideas/{idea}/decisions", json={"state": "shortlisted", "reason": WHY})
        assert made.status_code == 201
        with desk.signed_in("owner") as person:
            fields = {"act": "hide", "rule": "private_data", "reason": "Une voisine"}
            assert person.post(f"/console/moderation/{shop.mission}/{hidden}", data=fields).status_code == 303
            assert f"/console/ideas/records/{shop.mission}.csv" in person.get("/console/ideas").text
            for kind in ("csv", "ndjson"):
                at_console = person.get(f"/console/ideas/records/{shop.mission}.{kind}")
                assert at_console.text == api.get(f"/v1/missions/{shop.mission}/community.{kind}").text
        lines = [json.loads(line) for line in at_console.text.splitlines()]
        rows = list(csv.DictReader(io.StringIO(api.get(f"/v1/missions/{shop.mission}/community.csv").text)))
        assert [(one["record"], one["id"]) for one in lines] == [(one["record"], one["id"]) for one in rows]
        found = Counter(one["record"] for one in lines)
        wanted = {"mission": 1, "step": 2, "idea": 2, "decision": 1, "comment": 1, "round": 1, "votes": 1}
        assert found == wanted | {"moderation": 1}
        by = {(one["record"], one["id"]): one for one in lines}
        assert (by["votes", idea]["about"], by["votes", idea]["number"]) == (round, 1)
        assert by["idea", idea]["text"] == "=Des poiriers"
        assert next(one for one in rows if one["id"] == idea)["text"] == "'=Des poiriers"
        assert by["idea", hidden]["text"] is None
        said = at_console.text
        assert [one for one in (name, "par_", "Zwetschgen", "voisine") if one in said] == []


def test_the_record_keeps_hidden_totals_hidden(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with shop.server.phone(Accept="application/json") as author, shop.server.api() as api:
        idea = give(shop, author, "Des poiriers")
        window = {"opens_at": "2026-01-01T00:00:00Z", "closes_at": "2099-01-01T00:00:00Z", "totals": "hidden"}
        assert api.post(f"/v1/missions/{shop.mission}/rounds", json=window).status_code == 201
        assert author.post(f"/m/{shop.slug}/votes", json={"idea": idea}).status_code == 201
        lines = api.get(f"/v1/missions/{shop.mission}/community.ndjson").text.splitlines()
        found = [json.loads(line) for line in lines if '"votes"' in line or '"round"' in line]
        assert [(one["record"], one["state"], one["number"]) for one in found] == [("round", "hidden", None)]
        assert api.get(f"/v1/ideas/{idea}").json()["votes"] == []


def test_a_reader_that_has_a_feed_is_told_that_nothing_is_new(shop: Shop) -> None:
    path = f"/m/{shop.slug}/ideas.json?lang=en"
    with shop.server.phone(Accept="application/json") as phone:
        give(shop, phone, "One")
        first = phone.get(path)
        again = phone.get(path, headers={"If-None-Match": f"W/{first.headers['etag']}"})
        assert (again.status_code, again.content) == (304, b"")
        assert "max-age" in again.headers["cache-control"]
        give(shop, phone, "Two")
        changed = phone.get(path, headers={"If-None-Match": first.headers["etag"]})
        assert (changed.status_code, changed.headers["etag"] != first.headers["etag"]) == (200, True)
        assert phone.get(f"/m/{shop.slug}/feed.rss").status_code in (404, 422)
        assert phone.get("/m/nothing/feed.atom").status_code == 404


def test_the_pages_name_their_feeds_and_their_picture(shop: Shop) -> None:
    with shop.server.phone(Accept="text/html") as phone:
        idea = phone.post(
            f"/m/{shop.slug}/ideas", json={"text": 'Un "poirier"'}, headers={"Accept": "application/json"}
        )
        for path in (f"/m/{shop.slug}", f"/m/{shop.slug}/ideas/{idea.json()['id']}"):
            page = phone.get(f"{path}?lang=fr").text
            said = dict(re.findall(r'<meta property="(og:[a-z:]+)" content="([^"]*)"', page))
            assert said["og:title"] == "Un verger pour l’école"
            assert said["og:url"].startswith(shop.server.url)
            feeds = re.findall(r'<link rel="alternate" type="[a-z+/]+" title="[^"]+" href="([^"]+)"', page)
            assert len(feeds) == 4
            for feed in feeds:
                assert phone.get(feed).status_code == 200
            picture = phone.get(said["og:image"])
            assert picture.headers["content-type"] == "image/png"
            with Image.open(io.BytesIO(picture.content)) as image:
                assert image.size == (1200, 630)
            assert phone.get(said["og:image"], headers={"If-None-Match": picture.headers["etag"]}).status_code == 304
        assert "Un &#34;poirier&#34;" in page


def test_who_fetches_a_preview_is_nobody(shop: Shop) -> None:
    with shop.server.api() as api:
        before = api.get(f"/v1/missions/{shop.mission}").json()["totals"]
        for agent in BOTS:
            with shop.server.phone(**{"User-Agent": agent}) as bot:
                for path in ("", "/feed.atom", "/ideas.json", "/preview.png"):
                    answer = bot.get(f"/m/{shop.slug}{path}")
                    assert answer.status_code == 200, path
                    assert "set-cookie" not in answer.headers
        assert api.get(f"/v1/missions/{shop.mission}").json()["totals"] == before


def test_the_picture_of_a_hidden_idea_is_that_of_its_mission(desk: Desk) -> None:
    shop = make_shop(desk.server)
    with shop.server.phone(Accept="application/json") as phone:
        idea = give(shop, phone, "Zwetschgen")
        path = f"/m/{shop.slug}/ideas/{idea}/preview.png?lang=fr"
        before = phone.get(path).content
        with desk.signed_in("owner") as person:
            fields = {"act": "hide", "rule": "private_data", "reason": "Une voisine"}
            assert person.post(f"/console/moderation/{shop.mission}/{idea}", data=fields).status_code == 303
        assert phone.get(path).content != before
        assert "Zwetschgen" not in phone.get(f"/m/{shop.slug}/ideas/{idea}", headers={"Accept": "text/html"}).text


@pytest.mark.parametrize("text", ["", "日本語 🍐", "x" * 200, "« é »\ufffe"])
def test_every_text_makes_a_picture(text: str) -> None:
    with Image.open(io.BytesIO(draw(Card(text, text, text, 100)))) as image:
        assert image.size == (1200, 630)


@pytest.mark.parametrize("text", ["a\ufffeb", "]]>", "\t\n", "x" * 500, "&amp;", "🍐"])
def test_every_text_makes_a_valid_feed(text: str) -> None:
    entry = Entry("urn:uuid:1", "http://x/1", shortened(text) or "-", text or "-", NOON, NOON)
    feed = Feed("urn:uuid:0", "http://x/f", "http://x/", "Mission", text, "Brand", "fr", NOON, [entry])
    assert len(entries(as_atom(feed))) == len(items(as_json(feed))) == 1
