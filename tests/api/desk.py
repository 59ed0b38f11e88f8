"""The console of the house's third organisation: its members, their browsers, what there is to decide."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from html import unescape
from itertools import count
from typing import Any

import httpx2

from tests.api.helpers import CAMPAIGN, made
from tests.conftest import PHONE, Server, client

COOKIE = "passerelle_member"
_numbers = count(1)


def next_address() -> str:
    """An e-mail address no other test has."""
    return f"m{next(_numbers)}@autre.example"


@dataclass(frozen=True)
class Person:
    """A member and the browser they are signed in with."""

    id: str
    name: str
    browser: httpx2.Client

    def get(self, path: str, **options: Any) -> httpx2.Response:
        return self.browser.get(path, **options)

    def post(self, path: str, **options: Any) -> httpx2.Response:
        return self.browser.post(path, **options)

    @property
    def secret(self) -> str:
        return dict(self.browser.cookies)[COOKIE]


@dataclass(frozen=True)
class Desk:
    """The organisation whose console these tests use; `first` has the key of the house's first one."""

    server: Server
    first: Server

    def member(self, role: str) -> dict[str, Any]:
        """A new member with the link of the invitation."""
        address = next_address()
        fields = {"email": address, "name": f"Camille {address.partition('@')[0]} d’Autre", "role": role}
        with self.server.api() as api:
            return made(api.post("/v1/members", json=fields))

    def browser(self, **headers: str) -> httpx2.Client:
        return client(
            self.server.url, headers={"User-Agent": PHONE, "Accept": "text/html", "Accept-Language": "fr", **headers}
        )

    @contextmanager
    def signed_in(self, role: str) -> Iterator[Person]:
        """A new member who is signed in."""
        invited = self.member(role)
        with self.browser() as it:
            assert it.post(invited["sign_in_link"]["url"]).status_code == 303
            yield Person(invited["id"], invited["name"], it)

    def draft(self, name: str) -> str:
        """A campaign that is not launched yet."""
        with self.server.api() as api:
            return str(made(api.post("/v1/campaigns", json=CAMPAIGN | {"name": name}))["id"])

    def state(self, campaign: str) -> str:
        with self.server.api() as api:
            return str(api.get(f"/v1/campaigns/{campaign}").json()["state"])

    def proposed(self, name: str) -> tuple[str, str]:
        """A draft whose launch a member proposed: the campaign and the proposal."""
        campaign = self.draft(name)
        with self.server.api() as api, self.signed_in("marketer") as it:
            api.patch("/v1/organisation", json={"launch_needs_approval": True})
            assert it.post(f"/console/campaigns/{campaign}/launch").headers["location"] == "/console?done=proposed"
            waiting = api.get("/v1/approvals?state=waiting&limit=100").json()["data"]
        (proposal,) = [one["id"] for one in waiting if one["subject_id"] == campaign]
        return campaign, str(proposal)


def text_of(page: httpx2.Response) -> str:
    """What a page says, without its marks."""
    body = re.sub(r"(?s)<style>.*?</style>", "", page.text)
    return unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", body)))


def sessions_of(desk: Desk, person: Person) -> list[str]:
    """The ids of somebody's sessions, newest first."""
    with desk.server.api() as api:
        return [one["id"] for one in api.get(f"/v1/members/{person.id}/sessions").json()["data"]]
