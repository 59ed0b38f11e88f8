"""What a confirm or a position carries: a small form or JSON object, with a limit; the protocol has the deadline."""

import json
import math
import re
from typing import Any
from urllib.parse import parse_qs

from starlette.types import Receive

from campaigns.errors import Invalid
from campaigns.scans import Position

BODY_LIMIT = 16_384  # bytes
TOO_LARGE = "This body is too large."
_ONLY_RECEIPT = re.compile(rb"receipt=([A-Za-z0-9_-]*)").fullmatch


async def read_fields(headers: dict[bytes, bytes], receive: Receive) -> dict[str, Any]:
    """The fields of a small form or JSON object. Invalid for anything else."""
    said = headers.get(b"content-length", b"0")
    if len(said) > 9 or int(said) > BODY_LIMIT:  # digits, or the parser had refused it
        raise Invalid(TOO_LARGE, code="too_large")
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise Invalid("The request ended before its body.")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > BODY_LIMIT:
            raise Invalid(TOO_LARGE, code="too_large")
    kind = headers.get(b"content-type", b"").split(b";")[0].strip().lower()
    if kind != b"application/json" and (found := _ONLY_RECEIPT(body)):  # what every page view sends
        return {"receipt": found[1].decode()}
    try:
        if kind == b"application/json":
            fields = json.loads(body)
            if not isinstance(fields, dict):
                raise ValueError("object")
            return fields
        pairs = parse_qs(body.decode("utf-8"), strict_parsing=bool(body), max_num_fields=20, keep_blank_values=True)
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is neither a form nor a JSON object.") from error
    return {name: values[0] for name, values in pairs.items()}


def text_of(fields: dict[str, Any], name: str) -> str:
    """A field that must be there, as text."""
    value = fields.get(name)
    if not isinstance(value, str):
        raise Invalid(f"{name} is missing.", pointer=f"/{name}")
    return value


def position_of(fields: dict[str, Any]) -> Position:
    """The position of a form or JSON body. Invalid names the field that is missing or out of its range."""
    lat = _number(fields, "lat", -90, 90)
    lon = _number(fields, "lon", -180, 180)
    accuracy = _number(fields, "accuracy_m", 0, 50_000_000)
    if accuracy <= 0:
        raise Invalid("accuracy_m is above 0 metres.", pointer="/accuracy_m")
    age = _number(fields, "age_s", 0, 86_400 * 30) if fields.get("age_s") not in (None, "") else 0.0
    return Position(lat, lon, accuracy, age)


def _number(fields: dict[str, Any], name: str, low: float, high: float) -> float:
    value = fields.get(name)
    try:
        if isinstance(value, bool) or value is None or (isinstance(value, str) and len(value) > 40):
            raise ValueError(name)
        number = float(value)
    except (ValueError, TypeError, OverflowError) as error:
        raise Invalid(f"{name} is a number from {low:g} to {high:g}.", pointer=f"/{name}") from error
    if not math.isfinite(number) or not low <= number <= high:
        raise Invalid(f"{name} is a number from {low:g} to {high:g}.", pointer=f"/{name}")
    return number
