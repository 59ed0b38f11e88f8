"""A shop to scan in, made through the API; a socket for what no client library would send; the shape of a refusal."""

import json
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx2

from tests.conftest import PIN, SECRET, Server, client, free_port, passerelle_here, running_server

BELLECOUR = {"lat": 45.7578, "lon": 4.8320}
PLACE: dict[str, Any] = {"name": "Bellecour", **BELLECOUR, "radius_m": 100, "time_zone": "Europe/Paris"}
CAMPAIGN: dict[str, Any] = {
    "name": "Verger",
    "objective": "cause",
    "targets": [{"kpi": "check_ins", "value": 2000}],
    "time_zone": "Europe/Paris",
}
MISSION: dict[str, Any] = {
    "title": {"fr": "Un verger pour l’école", "en": "An orchard for the school"},
    "promise": "A tree for each hundred visits",
    "goal": {"metric": "check_ins", "value": 2000},
    "steps": [{"kind": "scan", "min_presence": 1, "repeat": "daily"}, {"kind": "idea"}],
}


def inside(**more: Any) -> dict[str, Any]:
    """Where a phone is that stands in the place: a step from where any other one does.

    The sixth phone of a day that says the same position to the centimetre is doubted, and the tests share a house.
    """
    return {
        "lat": round(BELLECOUR["lat"] + random.uniform(-1e-4, 1e-4), 7),
        "lon": BELLECOUR["lon"],
        "accuracy_m": 10,
    } | more


@dataclass(frozen=True)
class Shop:
    """A live campaign with a mission and one QR code in one place, all made through the API."""

    server: Server
    place: str
    campaign: str
    mission: str
    slug: str
    token: str
    code: str

    def scan(self, **headers: str) -> dict[str, Any]:
        """A scan by a phone that asks for JSON."""
        with self.server.phone(Accept="application/json", **headers) as phone:
            answer = phone.get(f"/t/{self.code}")
        assert answer.status_code == 200, answer.text
        body: dict[str, Any] = answer.json()
        return body


def make_shop(server: Server, **campaign: Any) -> Shop:
    """Open a place, plan a campaign with a mission and a token, and launch it."""
    with server.api() as api:
        place = made(api.post("/v1/places", json=PLACE))
        planned = made(api.post("/v1/campaigns", json=CAMPAIGN | campaign))
        mission = made(api.post(f"/v1/campaigns/{planned['id']}/missions", json=MISSION))
        wanted = {"medium": "qr", "place_id": place["id"]}
        token = made(api.post(f"/v1/campaigns/{planned['id']}/tokens", json=wanted))
        assert api.post(f"/v1/campaigns/{planned['id']}/launch").status_code == 200
    return Shop(server, place["id"], planned["id"], mission["id"], mission["slug"], token["id"], token["code"])


def made(answer: httpx2.Response) -> dict[str, Any]:
    """The body of a 201."""
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


@contextmanager
def signed_in(shop: Shop, *, role: str = "staff", **headers: str) -> Iterator[httpx2.Client]:
    """A phone of the shop, signed in by a staff link of that role, its PIN chosen."""
    with shop.server.api() as api:
        link = made(api.post(f"/v1/places/{shop.place}/staff-links", json={"role": role}))["url"]
    with shop.server.phone(**headers) as phone:
        assert phone.post(link, data={"pin": PIN}).status_code == 303
        yield phone


def raw(server: Server, request: bytes) -> tuple[int, bytes]:
    """Send bytes as they are; the status and everything that came back."""
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=15) as connection:
        connection.sendall(request)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
    return int(answer.split(b" ", 2)[1]), answer


def problem(answer: httpx2.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """The problem of a refusal: its shape is checked."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    body: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "code", "instance", "errors"} <= body.keys()
    assert body["status"] == status
    assert body["type"] == f"/problems/{body['code']}"
    assert body["detail"]
    if code is not None:
        assert body["code"] == code
    return body


@contextmanager
def two_brands(database_url: str) -> Iterator[tuple[Server, str]]:
    """A running server whose installation has a second organisation, and the owner key of that one.

    It is made before the server starts: a SQLite file has one writer.
    """
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PASSERELLE_")}
    environment |= {"PASSERELLE_DATABASE_URL": database_url, "PASSERELLE_SECRET_KEY": SECRET}
    environment |= {"PASSERELLE_PORT": str(free_port())}
    founded = passerelle_here(environment, "init", "--name", "Autre Maison", "--json")
    assert founded.returncode == 0, founded.stderr
    with running_server(database_url) as server:
        yield server, json.loads(founded.stdout)["api_key"]


def owner(server: Server, key: str) -> httpx2.Client:
    """A client with another key."""
    return client(server.url, headers={"Authorization": f"Bearer {key}"})


def issue(api: httpx2.Client, shop: Shop, **fields: Any) -> dict[str, Any]:
    wanted = {"medium": "qr", "place_id": shop.place, **fields}
    return made(api.post(f"/v1/campaigns/{shop.campaign}/tokens", json=wanted))


def ask(server: Server, code: str, *, query: str = "", method: str = "GET", **headers: str) -> httpx2.Response:
    """A phone's request, with these headers instead of its usual ones."""
    with server.phone(**headers) as phone:
        return phone.request(method, f"/t/{code}{query}")


def way(server: Server, code: str, **headers: str) -> str | None:
    """Where a scan is sent; None when it gets a page."""
    answer = ask(server, code, **headers)
    assert answer.status_code in (200, 302), answer.text
    return answer.headers.get("location")


def newest_scan(api: httpx2.Client, shop: Shop, token: dict[str, Any]) -> dict[str, Any]:
    found = api.get(f"/v1/scans?campaign_id={shop.campaign}&token_id={token['id']}&limit=1").json()["data"]
    return dict(found[0])
