"""People who scan and check in, as fast as they are answered, until standard input ends: a process of its own.

Reads a JSON line `{url, places: [[code, place id]], people, mission, ideas}`, says "ready" when everyone has checked in
once, and at the end prints `{scans, check_ins, votes, p99_ms, errors, first_error}`. With ideas each one votes for one
of them then. Every visit is of a new person: no cookie is kept for the next.
"""

import json
import random
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode, urlsplit

from campaigns import clock, ids
from campaigns.places.till import till_code, window_of
from campaigns.sealing import Keyring
from tests.bench.servers import SECRET
from tests.bench.wrk import AGENTS

LAT, LON = 45.7578, 4.8320


class Shopper(threading.Thread):
    """One client on a connection and a loopback address of its own, so that its visitor keys are its own too."""

    def __init__(self, number: int, asked: dict[str, Any], till_key: bytes, stopping: threading.Event) -> None:
        super().__init__(daemon=True)
        self.scans = self.check_ins = self.votes = 0
        self.took_ms: list[float] = []  # of each act
        self.errors: list[str] = []
        self._chance = random.Random(number)
        self._places = asked["places"]
        self._mission, self._ideas = asked.get("mission", ""), asked.get("ideas", [])
        self._cookie = ""
        self._till_key = till_key
        self._stopping = stopping
        address = urlsplit(asked["url"])
        source = (f"127.0.1.{number + 1}", 0)
        self._connection = HTTPConnection(address.hostname or "", address.port, timeout=30, source_address=source)

    def run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._visit()
            except (OSError, HTTPException, ValueError) as error:
                self.errors.append(f"{type(error).__name__}: {error}")
                self._connection.close()
                time.sleep(0.1)

    def _visit(self) -> None:
        code, place_id = self._chance.choice(self._places)
        agent = self._chance.choice(AGENTS)
        receipt = self._ask("GET", f"/t/{code}", agent)["receipt"]
        self.scans += 1
        if self._chance.random() < 0.5:
            now = clock.utc_now()
            fields = {"till_code": till_code(self._till_key, ids.parse("plc", place_id), window_of(now))}
        else:
            fields = {"lat": self._near(LAT), "lon": self._near(LON), "accuracy_m": "12"}
        self._cookie = ""
        self._act(f"/t/{code}/check-in", agent, {"receipt": receipt} | fields)
        self.check_ins += 1
        if self._ideas:
            vote = {"idea": self._chance.choice(self._ideas), "age": "15_or_older"}
            self._act(f"/m/{self._mission}/votes", agent, vote)
            self.votes += 1

    def _act(self, path: str, agent: str, fields: dict[str, str]) -> None:
        start = time.monotonic()
        self._ask("POST", path, agent, urlencode(fields))
        self.took_ms.append((time.monotonic() - start) * 1000)

    def _near(self, degrees: float) -> str:
        return f"{degrees + self._chance.uniform(-0.0003, 0.0003):.7f}"

    def _ask(self, method: str, path: str, agent: str, body: str | None = None) -> dict[str, Any]:
        headers = {"User-Agent": agent, "Accept": "application/json"}
        if body is not None:
            headers |= {"Content-Type": "application/x-www-form-urlencoded", "Cookie": self._cookie}
        self._connection.request(method, path, body, headers)
        answer = self._connection.getresponse()
        said = answer.read()
        self._cookie = answer.headers.get("Set-Cookie", self._cookie).partition(";")[0]
        if answer.status not in (200, 201):
            raise ValueError(f"{path} answers {answer.status}: {said[:200]!r}")
        found: dict[str, Any] = json.loads(said)
        return found


def main() -> None:
    """Everyone at once, until standard input ends."""
    asked = json.loads(sys.stdin.readline())
    stopping = threading.Event()
    till_key = Keyring(SECRET).derive("till-code")
    crowd = [Shopper(number, asked, till_key, stopping) for number in range(asked["people"])]
    for one in crowd:
        one.start()
    while not all(one.took_ms or one.errors for one in crowd):
        time.sleep(0.05)
    print("ready", flush=True)
    sys.stdin.read()
    stopping.set()
    for one in crowd:
        one.join(timeout=40)
    took_ms = sorted(ms for one in crowd for ms in one.took_ms)
    errors = [error for one in crowd for error in one.errors]
    figures = {
        "scans": sum(one.scans for one in crowd),
        "check_ins": sum(one.check_ins for one in crowd),
        "votes": sum(one.votes for one in crowd),
        "p99_ms": took_ms[len(took_ms) * 99 // 100] if took_ms else 0,
        "errors": len(errors),
        "first_error": errors[0] if errors else "",
    }
    print(json.dumps(figures), flush=True)


if __name__ == "__main__":
    main()
