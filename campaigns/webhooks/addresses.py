"""Which addresses a request of ours may go to: those of the public Internet, and no other machine's by any disguise.

Python's own `is_global` lets through multicast, NAT64 and what clouds answer on global addresses. Pure.
Source: the IANA special-purpose address registries (RFC 6890, RFC 8190).
"""

import ipaddress
from collections.abc import Callable
from urllib.parse import SplitResult, urlsplit

from campaigns.errors import Invalid
from campaigns.tokens.addresses import normal_host

LONGEST = 2000  # characters of a URL
LOCAL_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
Reachable = Callable[[str], bool]

_V6_UNICAST = ipaddress.IPv6Network("2000::/3")  # the only part of IPv6 that is handed out
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # an IPv4 address behind a translator: that one is judged (RFC 6052)
_REFUSED = tuple(
    ipaddress.ip_network(one)
    for one in (
        "100.64.0.0/10",  # shared by providers (RFC 6598)
        "168.63.129.16/32",  # Azure's platform, on a global address
        "192.0.0.0/24",  # protocol assignments
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.175.48.0/24",  # AS112
        "2001::/23",  # protocol assignments: Teredo, ORCHID and others
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4: any IPv4 address in disguise
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation (RFC 9637)
    )
)


def is_public(address: str) -> bool:
    """Whether an address, as a resolver gives it, is one of the public Internet."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(found, ipaddress.IPv6Address):
        if found in _NAT64:
            return is_public(str(ipaddress.IPv4Address(int(found) & 0xFFFFFFFF)))
        if found not in _V6_UNICAST:  # mapped, link-local, unique local, site-local, multicast, NAT64 of one's own
            return False
    if not found.is_global or found.is_multicast:
        return False
    return not any(found in network for network in _REFUSED if network.version == found.version)


def is_loopback(address: str) -> bool:
    """Whether an address is this machine's own, for trials with a receiver beside the server."""
    return ipaddress.ip_address(address).is_loopback


def is_local(url: str) -> bool:
    """Whether a URL names this machine."""
    return (urlsplit(url).hostname or "") in LOCAL_HOSTS


def checked_url(text: str, *, allow_local: bool) -> str:
    """A URL that messages may be sent to. Invalid for anything but https to a host of the public Internet.

    `allow_local`: http or https to `localhost`, 127.0.0.1 and ::1 too. Where a name leads is asked when it is sent to.
    """
    refusal = "A webhook is an https:// address without user name, password and fragment, of at most 2,000 characters."
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise Invalid(refusal, pointer="/url") from error
    is_plain = text.isascii() and text.isprintable() and " " not in text and "\\" not in text
    if not is_plain or len(text) > LONGEST or parts.username is not None or parts.fragment or not host:
        raise Invalid(refusal, pointer="/url")
    if host in LOCAL_HOSTS:
        if not (allow_local and parts.scheme in ("http", "https")):
            raise Invalid("A webhook is an address of the public Internet, not of this machine.", pointer="/url")
        return text
    if parts.scheme != "https":
        raise Invalid(refusal, pointer="/url")
    _require_public_host(parts, refusal)
    return text


def _require_public_host(parts: SplitResult, refusal: str) -> None:
    host = parts.hostname or ""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        try:
            normal_host(host)
        except (ValueError, UnicodeError) as error:  # idna's own errors are UnicodeErrors
            raise Invalid(refusal, pointer="/url") from error
        return
    if not is_public(host):
        raise Invalid("A webhook is an address of the public Internet, not of a network of one's own.", pointer="/url")
