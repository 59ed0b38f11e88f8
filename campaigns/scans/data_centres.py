"""Address ranges of data centres, from a file the operator names: one CIDR a line, `#` begins a remark.

A weight only, never alone a refusal: people who browse through a private relay look like this too.
"""

import logging
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Network, IPv6Address, IPv6Network, collapse_addresses, ip_address, ip_network
from pathlib import Path

log = logging.getLogger("passerelle.data_centres")


class Networks:
    """A set of address ranges; asking costs a dictionary look-up for an address seen before."""

    def __init__(self, ranges: Iterable[IPv4Network | IPv6Network] = ()) -> None:
        networks = list(ranges)
        v4 = collapse_addresses(one for one in networks if isinstance(one, IPv4Network))
        v6 = collapse_addresses(one for one in networks if isinstance(one, IPv6Network))
        self._ranges = {
            version: sorted((int(one.network_address), int(one.broadcast_address)) for one in ranges)
            for version, ranges in ((4, list[IPv4Network | IPv6Network](v4)), (6, list[IPv4Network | IPv6Network](v6)))
        }
        self._is_empty = not networks
        self._known = lru_cache(4096)(self._find)

    def hold(self, address: str) -> bool:
        """Whether an address lies in one of the ranges; never raises."""
        return not self._is_empty and self._known(address)

    def _find(self, address: str) -> bool:
        try:
            parsed = ip_address(address)
        except ValueError:
            return False
        if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        ranges = self._ranges[parsed.version]
        place = bisect_right(ranges, (int(parsed), 1 << 128))
        return place > 0 and ranges[place - 1][1] >= int(parsed)


def load_networks(path: Path | None) -> Networks:
    """The ranges of a file; a line that is none is skipped, and the log says which. No file, no ranges."""
    if path is None:
        return Networks()
    try:
        lines = path.read_text(errors="replace").splitlines()
    except OSError as error:
        log.error("the file of data centre ranges could not be read: %s", error)
        return Networks()
    found: list[IPv4Network | IPv6Network] = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        if text:
            try:
                found.append(ip_network(text, strict=False))
            except ValueError:
                log.warning("line %d of %s is no address range and was skipped", number, path.name)
    return Networks(found)
