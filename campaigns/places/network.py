"""Where an address is, as far as a city: from any MaxMind DB file the operator names, or nowhere.

The file is read into memory once, at start: one that is replaced or cut short under a running server changes nothing.
Whatever it holds, a look-up never fails. The address is used here and kept nowhere but in a bounded cache.
"""

import logging
import re
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import maxminddb

LONGEST_CITY = 80  # characters
_REMEMBERED = 16_384  # addresses; a look-up that is not remembered costs 20 to 60 µs
_COUNTRY = re.compile(r"[A-Z]{2}")

log = logging.getLogger("passerelle.places.network")


class Whereabouts(NamedTuple):
    """ISO 3166 country and the English name of a city; None for what is not known. Never anything finer."""

    country: str | None = None
    city: str | None = None


NOWHERE = Whereabouts()


class NetworkMap:
    """The operator's file of addresses; without one, or with one that cannot be read, everybody is nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._reader = _read(path) if path else None
        self.is_there = self._reader is not None
        self.of = lru_cache(_REMEMBERED)(self._look_up)

    def _look_up(self, address: str) -> Whereabouts:
        """The whereabouts of an address."""
        if self._reader is None:
            return NOWHERE
        try:
            return _whereabouts(self._reader.get(address))
        except Exception:  # no address, a damaged record: the scan goes on without
            return NOWHERE


def _read(path: Path) -> maxminddb.Reader | None:
    try:
        # Not mapped into memory: a mapped file that is overwritten kills the process that reads it.
        reader = maxminddb.open_database(path, maxminddb.MODE_MEMORY)
        kind, networks = reader.metadata().database_type, reader.metadata().node_count
    except Exception as error:
        log.error(
            "PASSERELLE_GEOIP_FILE %s cannot be read (%s): scans are stored without a city", path, type(error).__name__
        )
        return None
    log.info("addresses are located with %s (%s, %d nodes)", path, kind, networks)
    return reader


def _whereabouts(record: Any) -> Whereabouts:
    """Of a record as MaxMind and DB-IP nest it, or as IPinfo has it: flat."""
    if not isinstance(record, dict):
        return NOWHERE
    country = record.get("country_code") or record.get("country")
    if isinstance(country, dict):
        country = country.get("iso_code")
    city = record.get("city")
    if isinstance(city, dict):
        names = city.get("names")
        city = names.get("en") if isinstance(names, dict) else None
    return Whereabouts(
        country if isinstance(country, str) and _COUNTRY.fullmatch(country) else None,
        city[:LONGEST_CITY] if isinstance(city, str) and city.isprintable() and city else None,
    )
