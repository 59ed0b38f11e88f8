"""Servers that all tests of the contract share."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.api.desk import Desk
from tests.api.helpers import Shop, make_shop, two_brands
from tests.api.peers import Peers, make_peers
from tests.conftest import SECRET, Server, found, new_postgres_url, running_server


@dataclass(frozen=True)
class House:
    """A server with its database's address, and a live shop of its first organisation.

    The second one has nothing but its key; the third is for the console's tests.
    """

    server: Server
    other_key: str
    console_key: str
    database_url: str
    shop: Shop


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def house(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """One server on each database. Tests that change the shop's state make a shop of their own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('house')}/passerelle.db"
    else:
        url = new_postgres_url(request.getfixturevalue("postgres"))
    console_key = found(url, SECRET, "Maison Croix-Rousse")  # before the server starts: a SQLite file has one writer
    with two_brands(url) as (server, other_key):
        yield House(server, other_key, console_key, url, make_shop(server))


@pytest.fixture(scope="session", params=["sqlite", "postgres"])
def peers(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peers]:
    """The application in this process with organisations that have one of everything, once on each database."""
    folder = tmp_path_factory.mktemp("peers")
    if request.param == "sqlite":
        url = f"sqlite:///{folder}/passerelle.db"
    else:
        url = new_postgres_url(request.getfixturevalue("postgres"))
    yield from make_peers(url, folder)


@pytest.fixture
def server(house: House) -> Server:
    """The shared server: here no test needs one of its own."""
    return house.server


@pytest.fixture
def shop(house: House) -> Shop:
    """The live shop of the shared server."""
    return house.shop


@pytest.fixture(scope="session")
def https_house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server whose base URL is https, as behind a proxy."""
    folder: Path = tmp_path_factory.mktemp("https")
    with running_server(f"sqlite:///{folder}/passerelle.db", PASSERELLE_BASE_URL="https://shop.example") as server:
        yield server


@pytest.fixture
def desk(house: House) -> Iterator[Desk]:
    """The organisation of these tests: what they make and switch on, no other test meets."""
    desk = Desk(replace(house.server, key=house.console_key), house.server)
    yield desk
    with desk.server.api() as api:
        api.patch("/v1/organisation", json={"launch_needs_approval": False})
