"""`ETag`, `If-None-Match` and `If-Match` (RFC 9110, sections 8.8.3 and 13) for single resources.

The tag is a hash of what is shown, so that nothing has to be kept and a state that time alone changes changes it too.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Annotated, TypeVar

from fastapi import Depends, Request, Response
from pydantic import BaseModel
from sqlmodel import Session, SQLModel

from campaigns.errors import Conflict

Shown = TypeVar("Shown", bound=BaseModel)
Row = TypeVar("Row", bound=SQLModel)


class Tags:
    """The preconditions of one request, and the tag of its answer."""

    def __init__(self, request: Request, response: Response) -> None:
        self._wanted = request.headers.get("if-match")
        self._known = request.headers.get("if-none-match")
        self._response = response

    def read(self, shown: Shown) -> Shown | Response:
        """What a GET answers: the object with its tag, or 304 when the client has it already."""
        tag = tag_of(shown)
        if self.has(tag):
            return Response(status_code=304, headers={"ETag": tag})
        self._response.headers["ETag"] = tag
        return shown

    def changing(self, shown: BaseModel, *fields: str) -> Response:
        """What a GET of figures answers: the object, with a tag of all but the fields whose times go on by themselves.

        Written once: FastAPI would read a long answer again, field by field.
        """
        still = shown.model_dump_json(exclude=set(fields))
        headers = {"ETag": _tag(still.encode())}
        if self.has(headers["ETag"]):
            return Response(status_code=304, headers=headers)
        going = shown.model_dump_json(include=set(fields))
        return Response(f"{going[:-1]},{still[1:]}", media_type="application/json", headers=headers)

    def has(self, tag: str) -> bool:
        """Whether the client has what a tag names: for what is too long to be hashed whole."""
        return self._known is not None and _names(self._known.replace("W/", ""), tag)

    def json(self, body: object, cache_control: str) -> Response:
        """What a GET of figures answers that change by themselves: as a file, in JSON."""
        return self.file(json.dumps(body, ensure_ascii=False).encode(), "application/json", cache_control)

    def file(self, content: bytes, media_type: str, cache_control: str) -> Response:
        """What a GET of a file answers: its bytes with the tag of them, or 304."""
        headers = {"ETag": _tag(content), "Cache-Control": cache_control, "Vary": "Authorization"}
        if self.has(headers["ETag"]):
            return Response(status_code=304, headers=headers)
        return Response(content, media_type=media_type, headers=headers)

    def changed(self, shown: Shown) -> Shown:
        """What a PATCH answers: the object with its new tag."""
        self._response.headers["ETag"] = tag_of(shown)
        return shown

    def require(self, session: Session, row: Row, show: Callable[[Row], BaseModel]) -> None:
        """Conflict when `If-Match` names another state of the object. Locks the row, so that it stays so."""
        if self._wanted is None:
            return
        session.refresh(row, with_for_update=True)
        if not _names(self._wanted, tag_of(show(row))):
            raise Conflict("The object changed since you read it. Read it again.", code="precondition_failed")


Tagged = Annotated[Tags, Depends(Tags)]


def tag_of(shown: BaseModel) -> str:
    """The strong tag of an answer."""
    return _tag(shown.model_dump_json().encode())


def _tag(content: bytes) -> str:
    return f'"{hashlib.sha256(content).hexdigest()[:24]}"'


def _names(header: str, tag: str) -> bool:
    return any(one.strip() in ("*", tag) for one in header.split(","))
