"""What the headers and the query of a scan say of its visitor. Odd ones cost nobody the page."""

from contextlib import suppress
from functools import lru_cache
from urllib.parse import parse_qs

from starlette.types import Scope

from api.onward import first_language
from api.pages.render import kept_language, language_of
from campaigns.scans.agents import LONGEST_AGENT, Agent, classify
from campaigns.tokens.directory import Entry

ASKED_LIMIT = 64  # characters of an unknown code that are kept
LONGEST_LANGUAGES = 200  # characters of Accept-Language that are read
OBJECTIONS = frozenset((b"sec-gpc", b"dnt"))
PURPOSES = frozenset((b"sec-purpose", b"purpose", b"x-purpose", b"x-moz"))

YOUNG_COOKIE = "passerelle_young"
_YOUNG = f"{YOUNG_COOKIE}=".encode()

RawHeaders = dict[bytes, bytes]


def wants_json(headers: RawHeaders) -> bool:
    """Whether the answer to a POST is JSON: what it accepts, else what it sent."""
    accept = headers.get(b"accept", b"")
    return b"application/json" in accept or (
        b"application/json" in headers.get(b"content-type", b"") and b"text/html" not in accept
    )


def agent_of(headers: RawHeaders) -> tuple[str, Agent]:
    """The user agent as it was sent, and what it is."""
    return _agent(headers.get(b"user-agent", b"")[:LONGEST_AGENT])


def is_prefetch(headers: RawHeaders) -> bool:
    """Whether a browser fetches the page before anybody asked for it."""
    if PURPOSES.isdisjoint(headers):
        return False
    stated = b" ".join(headers.get(name, b"") for name in PURPOSES).lower()
    return b"prefetch" in stated or b"preview" in stated or b"prerender" in stated


def objects(headers: RawHeaders) -> bool:
    """Sec-GPC and DNT are one objection (W3C Global Privacy Control)."""
    if OBJECTIONS.isdisjoint(headers):
        return False
    return any(headers.get(name, b"").strip() == b"1" for name in OBJECTIONS)


def is_young(headers: RawHeaders) -> bool:
    """Whether the phone's person said that they are under 15."""
    return _YOUNG in headers.get(b"cookie", b"")


def language_for(scope: Scope, headers: RawHeaders, entry: Entry | None) -> str:
    """The page's language: the one asked for, else the phone's, else the campaign's."""
    query = scope["query_string"]
    asked = None
    if b"lang=" in query:
        with suppress(ValueError):  # more fields than anyone sends
            asked = parse_qs(query[:500].decode("latin-1"), max_num_fields=20).get("lang", [""])[0]
    default = entry.language if entry else "en"
    return _chosen_language(asked, headers.get(b"accept-language", b"")[:LONGEST_LANGUAGES], default)


def language_of_rules(headers: RawHeaders, shown: str, default: str) -> str:
    """What a rule about languages is held against: the phone's first choice, unless the page's was chosen by hand."""
    accepted = headers.get(b"accept-language", b"")[:LONGEST_LANGUAGES]
    by_itself = _chosen_language(None, accepted, default)
    return first_language(accepted.decode("latin-1"), shown) if shown == by_itself else shown


def language_to_keep(headers: RawHeaders, shown: str) -> str:
    """The page's language when the phone would not choose it by itself, else empty."""
    return _kept_language(shown, headers.get(b"accept-language", b"")[:LONGEST_LANGUAGES])


def printable(text: str) -> str:
    """The beginning of a text in ASCII."""
    return "".join(c if " " <= c <= "~" else "?" for c in text[:ASKED_LIMIT])


@lru_cache(4096)
def _agent(sent: bytes) -> tuple[str, Agent]:
    text = sent.decode("latin-1")
    return text, classify(text)


@lru_cache(1024)
def _chosen_language(asked: str | None, accepted: bytes, default: str) -> str:
    return language_of(asked, accepted.decode("latin-1"), default)


@lru_cache(1024)
def _kept_language(language: str, accepted: bytes) -> str:
    return kept_language(language, accepted.decode("latin-1"))
