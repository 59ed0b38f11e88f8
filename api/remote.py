"""Asking a server for the command line, with a key; refusals are the server's own words."""

import json
from typing import Annotated, Any

import typer

from api.terminal import refuse

ServerUrl = Annotated[str, typer.Option(help="The server's address.", envvar="PASSERELLE_BASE_URL")]
ServerKey = Annotated[str, typer.Option(help="An API key.", envvar="PASSERELLE_API_KEY")]


def ask(
    method: str,
    server: str,
    path: str,
    key: str,
    *,
    content: bytes | None = None,
    kind: str = "application/json",
    **query: str,
) -> dict[str, Any]:
    """Send a request; the JSON of the answer, empty for none. Exits 1 with the reason when it is refused."""
    answer = _send(method, server, path, key, content, {"Content-Type": kind}, query)
    return {} if answer.status_code == 204 else _json(server, answer)


def fetch(server: str, path: str, key: str, *, accept: str, **query: str) -> bytes:
    """GET what is no JSON to read, or is to be kept as it comes. Exits 1 with the reason when it is refused."""
    return bytes(_send("GET", server, path, key, None, {"Accept": accept}, query).content)


def _send(
    method: str,
    server: str,
    path: str,
    key: str,
    content: bytes | None,
    headers: dict[str, str],
    query: dict[str, str],
) -> Any:
    import httpx2

    if not key or not key.isascii():
        refuse("Give a key: --key psr_live_... or PASSERELLE_API_KEY.")
    headers = {"Authorization": f"Bearer {key}", **headers}
    try:
        answer = httpx2.request(
            method, f"{server.rstrip('/')}{path}", params=query, headers=headers, content=content, timeout=60
        )
    except httpx2.HTTPError as error:
        refuse(f"The server at {server} does not answer: {error}")
    if not answer.is_success:
        body = _json(server, answer)
        detail, faults = body.get("detail", answer.text), body.get("errors", [])
        if len(faults) == 1 and faults[0]["detail"] == detail:
            refuse(f"{faults[0]['pointer']}: {detail}")
        refuse(detail + "".join(f"\n  {one['pointer']}: {one['detail']}" for one in faults))
    return answer


def _json(server: str, answer: Any) -> dict[str, Any]:
    try:
        body: dict[str, Any] = answer.json()
    except ValueError:
        refuse(f"{server} answered {answer.status_code}, and not as Passerelle does. Is it the right address?")
    return body


def post(server: str, path: str, key: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """POST a JSON body, or none."""
    return ask("POST", server, path, key, content=json.dumps(body).encode() if body is not None else None)


def all_rows(server: str, path: str, key: str, **query: str) -> list[Any]:
    """All of a list, page by page, newest first."""
    query["limit"] = "200"
    rows: list[Any] = []
    while True:
        page = ask("GET", server, path, key, content=None, kind="application/json", **query)
        rows += page["data"]
        if page["next_cursor"] is None:
            return rows
        query["cursor"] = page["next_cursor"]
