"""The addresses a code may lead to: which are accepted, and what is added to them. Pure: no database, no HTTP.

Hosts are compared as browsers do, in lower case and in their ASCII form (UTS 46, RFC 5891).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple
from urllib.parse import SplitResult, quote, unquote, urlsplit

import idna

from campaigns.errors import Invalid

MOST_HOSTS = 50
LONGEST = 2000  # characters of a destination
SCAN_PARAMETER = "passerelle_scan"
PLACEHOLDERS = ("place", "token", "campaign", "medium", "channel", "label")
_PORTS = {"http": 80, "https": 443}
_HOLE = re.compile(r"\{([^{}]*)\}")


def normal_host(text: str) -> str:
    """A host as it is compared: lower case, ASCII. ValueError for anything but a bare host name."""
    host = text.strip().rstrip(".")
    if not host or len(host) > 253 or any(c in host for c in "/:@?#[]\\% ") or host.startswith("."):
        raise ValueError("a bare host name")
    return idna.encode(host, uts46=True).decode().lower()


def verified_hosts(given: Sequence[str]) -> list[str]:
    """Hosts in the order given, each once. `*.example.com` means its sub-domains. Invalid names the first bad one."""
    found = []
    for number, text in enumerate(given):
        pointer = f"/verified_hosts/{number}"
        star, bare = ("*.", text[2:]) if text.startswith("*.") else ("", text)
        try:
            host = normal_host(bare)
        except (ValueError, UnicodeError) as error:  # idna's own errors are UnicodeErrors
            detail = "A verified host is a host name such as shop.example.com, without scheme, port or path."
            raise Invalid(detail, pointer=pointer) from error
        if star and "." not in host:
            raise Invalid("A wildcard stands for the sub-domains of a domain: *.example.com.", pointer=pointer)
        found.append(star + host)
    if len(found) > MOST_HOSTS:
        raise Invalid(f"At most {MOST_HOSTS} hosts can be verified.", pointer="/verified_hosts")
    return list(dict.fromkeys(found))


def host_of(destination: str) -> str:
    """The host of an accepted destination, as it is compared and shown."""
    return normal_host(urlsplit(destination).hostname or "")


class Limits(NamedTuple):
    """Where the codes of an organisation may lead: its verified hosts, or anywhere while it has none.

    `own` is the base URL of this installation: a code that leads to a code would go round in circles.
    """

    hosts: tuple[str, ...] = ()
    own: str = ""

    def require(self, destination: str | None, pointer: str = "/destination") -> None:
        """Invalid, with its pointer, unless a code may lead there. None is the hosted page, which is always good."""
        if destination is None:
            return
        url = _required(destination, pointer)
        if self.own and _is_scan(url, urlsplit(self.own)):
            raise Invalid("This is the address of a code: a code cannot lead to a code.", pointer=pointer)
        if not self.allows(destination):
            named = ", ".join(self.hosts[:10])
            raise Invalid(f"Destinations lead to your verified hosts only: {named}.", pointer=pointer)

    def allows(self, destination: str) -> bool:
        """Whether the host is a verified one, or none is named."""
        if not self.hosts:
            return True
        host = host_of(destination)
        return host in self.hosts or any(one[0] == "*" and host.endswith(one[1:]) for one in self.hosts)


def require_destination(destination: str | None) -> None:
    """Invalid unless it is an http or https URL with a host and without user info."""
    Limits().require(destination)


def _required(destination: str, pointer: str) -> SplitResult:
    try:
        url = urlsplit(destination)
        is_good = url.scheme in ("http", "https") and url.hostname and url.username is None and url.port != 0
    except ValueError:  # an unclosed bracket, a port beyond 65,535
        is_good = False
    if not is_good or len(destination) > LONGEST:
        detail = "A destination is an http or https URL of at most 2,000 characters, without a user name in it."
        raise Invalid(detail, pointer=pointer)
    if not destination.isascii() or any(ord(c) <= 32 or c in '<>"\\' for c in destination):
        detail = "A destination is plain ASCII without spaces; percent-encode the rest, and write a host as xn--..."
        raise Invalid(detail, pointer=pointer)
    return url


def _is_scan(url: SplitResult, own: SplitResult) -> bool:
    # The usual ports are one: a plain http address is mostly sent on to the https one.
    is_same = url.hostname == own.hostname and _unusual_port(url) == _unusual_port(own)
    return is_same and unquote(url.path).lower().startswith(f"{own.path.rstrip('/')}/t/".lower())


def _unusual_port(url: SplitResult) -> int | None:
    return url.port if url.port != _PORTS.get(url.scheme) else None


def require_utm(utm: Mapping[str, str]) -> None:
    """Invalid, with its pointer, when a template has a hole nobody fills."""
    for name, template in utm.items():
        unknown = [hole for hole in _HOLE.findall(template) if hole not in PLACEHOLDERS]
        if unknown or "{" in _HOLE.sub("", template) or "}" in _HOLE.sub("", template):
            holes = ", ".join(f"{{{one}}}" for one in PLACEHOLDERS)
            raise Invalid(f"A UTM template is text with {holes} in it.", pointer=f"/utm/{name}")


def with_utm(destination: str, utm: Mapping[str, str], facts: Mapping[str, str | None]) -> str:
    """The destination with `utm_source` and so on, filled in. A parameter it has already is left as it is."""
    query = urlsplit(destination).query
    present = {unquote(pair.partition("=")[0]) for pair in query.split("&")}
    added = []
    for name, template in utm.items():
        value = _HOLE.sub(_filler(facts), template)
        if value and f"utm_{name}" not in present:
            added.append(f"utm_{name}={quote(value, safe='')}")
    return with_query(destination, "&".join(added)) if added else destination


def _filler(facts: Mapping[str, str | None]) -> Callable[[re.Match[str]], str]:
    return lambda hole: facts.get(hole[1]) or ""


def with_query(destination: str, pairs: str) -> str:
    """The destination with more of a query, encoded already; what was there stays byte for byte."""
    head, mark, fragment = destination.partition("#")
    joint = "?" if "?" not in head else "" if head[-1] in "?&" else "&"
    return f"{head}{joint}{pairs}{mark}{fragment}"


def with_scan(destination: str, scan_hex: str) -> str:
    """The destination with the scan's id, for its server to confirm it."""
    return with_query(destination, f"{SCAN_PARAMETER}=scn_{scan_hex}")
