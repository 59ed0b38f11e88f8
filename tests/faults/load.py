"""Phones that scan one code over and over, each on its own connection, and remember what they were answered."""

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from uuid import UUID

import httpx2
from sqlmodel import select

from campaigns.scans import Scan
from campaigns.storage import Database
from tests.conftest import PHONE, Server


@dataclass
class Load:
    """What a crowd was answered, and how to send it home."""

    statuses: "Counter[int]" = field(default_factory=Counter)
    answered: list[str] = field(default_factory=list)
    refusals: list[httpx2.Response] = field(default_factory=list)
    took: list[tuple[float, float]] = field(default_factory=list)  # when a scan began, and its seconds
    stopping: threading.Event = field(default_factory=threading.Event)


@contextmanager
def load(server: Server, code: str, phones: int) -> Iterator[Load]:
    """A crowd that scans until the end of the block. It asks for JSON, which tells the id of the scan."""
    told = Load()
    lock = threading.Lock()

    def scan() -> None:
        headers = {"User-Agent": PHONE, "Accept": "application/json"}
        with httpx2.Client(base_url=server.url, headers=headers, timeout=60) as phone:
            while not told.stopping.is_set():
                begun = time.monotonic()
                answer = phone.get(f"/t/{code}")
                with lock:
                    told.took.append((begun, time.monotonic() - begun))
                    told.statuses[answer.status_code] += 1
                    if answer.status_code == 200:
                        told.answered.append(answer.json()["scan_id"])
                    else:
                        told.refusals.append(answer)
                if answer.status_code != 200:
                    told.stopping.wait(0.02)  # an impatient phone, far beyond what Retry-After asks

    threads = [threading.Thread(target=scan, daemon=True) for _ in range(phones)]
    for thread in threads:
        thread.start()
    try:
        yield told
    finally:
        told.stopping.set()
        for thread in threads:
            thread.join(timeout=60)


def lost(server: Server, told: Load) -> set[UUID]:
    """The scans that were answered and are not stored."""
    database = Database(server.environment["PASSERELLE_DATABASE_URL"])
    with database.snapshot() as session:
        stored = set(session.exec(select(Scan.id)).all())
    database.close()
    return {UUID(one.removeprefix("scn_")) for one in told.answered} - stored
