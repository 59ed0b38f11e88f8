"""Feeds as Atom (RFC 4287) and JSON Feed 1.1: the same entries in either."""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

ATOM = "application/atom+xml; charset=utf-8"
JSON_FEED = "application/feed+json; charset=utf-8"
TITLE_LENGTH = 100  # characters; the whole text is in the entry
_NAMESPACE = "http://www.w3.org/2005/Atom"
# What XML 1.0 cannot carry, not even escaped.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Entry:
    """One entry. `id` is a URI that never changes, `url` the page it leads to."""

    id: str
    url: str
    title: str
    text: str
    published: datetime
    updated: datetime


@dataclass(frozen=True)
class Feed:
    """A feed, its entries newest first. `url` is its own address, `page_url` that of the page it goes with."""

    id: str
    url: str
    page_url: str
    title: str
    subtitle: str
    author: str
    language: str
    updated: datetime
    entries: Sequence[Entry]


def as_atom(feed: Feed) -> bytes:
    """The feed as an Atom document."""
    ElementTree.register_namespace("", _NAMESPACE)
    root = ElementTree.Element(_name("feed"), {"{http://www.w3.org/XML/1998/namespace}lang": feed.language})
    _texts(root, id=feed.id, title=feed.title, subtitle=feed.subtitle, updated=_instant(feed.updated))
    _link(root, "self", feed.url, "application/atom+xml")
    _link(root, "alternate", feed.page_url, "text/html")
    _texts(ElementTree.SubElement(root, _name("author")), name=feed.author)
    for entry in feed.entries:
        node = ElementTree.SubElement(root, _name("entry"))
        _texts(node, id=entry.id, title=entry.title)
        _texts(node, published=_instant(entry.published), updated=_instant(entry.updated))
        _link(node, "alternate", entry.url, "text/html")
        ElementTree.SubElement(node, _name("content"), {"type": "text"}).text = _NOT_XML.sub("", entry.text)
    return bytes(ElementTree.tostring(root, encoding="utf-8", xml_declaration=True))


def as_json(feed: Feed) -> bytes:
    """The feed as a JSON Feed."""
    body: dict[str, Any] = {
        "version": "https://jsonfeed.org/version/1.1",
        "title": feed.title,
        "home_page_url": feed.page_url,
        "feed_url": feed.url,
        "description": feed.subtitle,
        "language": feed.language,
        "authors": [{"name": feed.author}],
        "items": [
            {
                "id": one.id,
                "url": one.url,
                "title": one.title,
                "content_text": one.text,
                "date_published": _instant(one.published),
                "date_modified": _instant(one.updated),
            }
            for one in feed.entries
        ],
    }
    return json.dumps(body, ensure_ascii=False).encode()


def shortened(text: str) -> str:
    """A text on one line, cut at a word, for a title."""
    line = " ".join(text.split())
    if len(line) <= TITLE_LENGTH:
        return line
    return f"{line[:TITLE_LENGTH].rpartition(' ')[0] or line[:TITLE_LENGTH]}…"


def _name(tag: str) -> str:
    return f"{{{_NAMESPACE}}}{tag}"


def _texts(parent: ElementTree.Element, **texts: str) -> None:
    for tag, text in texts.items():
        ElementTree.SubElement(parent, _name(tag)).text = _NOT_XML.sub("", text)


def _link(parent: ElementTree.Element, rel: str, url: str, kind: str) -> None:
    ElementTree.SubElement(parent, _name("link"), {"rel": rel, "type": kind, "href": url})


def _instant(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
