"""Reading what phones send: a form and a JSON post to the same path do the same thing."""

import json
from collections.abc import Mapping
from typing import Any, TypeVar
from urllib.parse import parse_qsl

from fastapi import Request as HttpRequest
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ValidationError

from campaigns.errors import Forbidden, Invalid

_FORMS = ("", "application/x-www-form-urlencoded", "multipart/form-data")  # "": a post without a body
MAX_FIELDS = 40
Model = TypeVar("Model", bound=BaseModel)


async def read_fields(request: HttpRequest, schema: type[Model]) -> Model:
    """The body as `schema`. Empty fields of a form count as not given. 422 names what is wrong."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        fields = await _json(request)
    elif kind not in _FORMS:
        raise Invalid("Send a form or a JSON object.")
    else:
        form = await _form(request, is_parts=kind == "multipart/form-data")
        fields = {name: value for name, value in form.items() if value != ""}
        request.state.typed = fields  # a refusal that will pass shows the form once more, as it was
    try:
        return schema.model_validate(fields)
    except ValidationError as error:
        faults = [{**fault, "loc": ("body", *fault["loc"])} for fault in error.errors(include_url=False)]
        raise RequestValidationError(faults) from error


def wants_json(request: HttpRequest) -> bool:
    """Whether the answer is JSON: asked for, or the body was JSON and no page was asked for."""
    accept = request.headers.get("accept", "")
    return "application/json" in accept or (sent_json(request) and "text/html" not in accept)


def sent_json(request: HttpRequest) -> bool:
    """Whether the body is JSON: a program's, not a form that a person filled in."""
    return request.headers.get("content-type", "").startswith("application/json")


def require_same_site(request: HttpRequest) -> None:
    """Forbidden for a form sent from another site. Either header is enough; a client without both is no browser."""
    site = request.headers.get("sec-fetch-site")
    if site in ("same-origin", "none"):
        return
    origin = request.headers.get("origin")
    if site is None and (origin is None or origin.partition("://")[2] == request.headers.get("host")):
        return
    raise Forbidden("This form was sent from another site.", code="cross_site")


async def _form(request: HttpRequest, *, is_parts: bool) -> Mapping[str, Any]:
    """The fields of a form; of those with one name the last."""
    if is_parts:
        return await request.form(max_fields=MAX_FIELDS, max_files=0)
    try:  # a tenth of what the framework's own takes, which reads a stream, and the same fields
        return dict(parse_qsl((await request.body()).decode("latin-1"), True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise Invalid("The form has too many fields.") from error


async def _json(request: HttpRequest) -> dict[str, Any]:
    try:
        fields = json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise Invalid("The body is not JSON.") from error
    if not isinstance(fields, dict):
        raise Invalid("The body is a JSON object.")
    return fields
