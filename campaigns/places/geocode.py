"""Addresses to positions through geopy, when a geocoder is configured; imported only then."""

from campaigns.errors import Invalid
from campaigns.places.service import Geocode

TIMEOUT_S = 5


def geocoder(name: str | None, agent: str) -> Geocode | None:
    """A function from address to (lat, lon), or None for an address nobody knows. None when no name is given.

    Invalid for a name geopy does not know, and, at a look-up, when the service does not answer.
    """
    if not name:
        return None
    from geopy.exc import GeocoderNotFound, GeopyError
    from geopy.geocoders import get_geocoder_for_service

    try:
        service = get_geocoder_for_service(name)(user_agent=agent, timeout=TIMEOUT_S)
    except GeocoderNotFound as error:
        raise Invalid(f"geopy has no geocoder {name!r} (PASSERELLE_GEOCODER).") from error

    def look_up(address: str) -> tuple[float, float] | None:
        try:
            found = service.geocode(address)
        except GeopyError as error:
            raise Invalid("The geocoder did not answer: give lat and lon.", pointer="/address") from error
        return (found.latitude, found.longitude) if found else None

    return look_up
