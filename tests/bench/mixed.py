"""Scans while others act: 32 people check in, and a batch of 100,000 tokens is made in the same server."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from campaigns import clock, ids
from tests.bench import wrk
from tests.bench.measure import Bench, drive_with_cpu, run_of, scan_run, warm_up
from tests.bench.report import Figure, Line
from tests.bench.servers import ROOT, Shop, shop_on

PEOPLE = 32
BATCH = {"count": 100_000, "kind": "serial", "medium": "qr"}
P99_MS = 25.0
PAUSE_MS = 20  # of a connection between two scans: a busy shop, not a flood
PATIENCE_S = 120.0


def mixed(bench: Bench, kind: str) -> Iterator[Line]:
    """Hot scans alone, then beside the acts: once in a steady stream, once as fast as the server answers."""
    with shop_on(kind) as shop, shop.serving() as pid:
        warm_up(shop.url, wrk.hot(shop.hot))
        yield Line("mixed", kind, "hot alone", scan_run(bench, shop, pid, wrk.hot(shop.hot)))
        for name, pause_ms in ((f"beside acts, each pauses {PAUSE_MS} ms", PAUSE_MS), ("beside acts, flat out", 0)):
            yield beside_acts(bench, shop, pid, name, wrk.hot(shop.hot, pause_ms))
        bench.faults += shop.verify()


def beside_acts(bench: Bench, shop: Shop, pid: int, name: str, work: wrk.Workload) -> Line:
    """One run, and what the others did meanwhile."""
    mark = ids.first_of(clock.utc_now())
    with crowd_of(shop) as crowd:
        job = Job(shop)
        start = time.monotonic()
        load, cpu_us, database_us = drive_with_cpu(shop.url, work, bench.seconds, pid, shop.postmaster)
        at_the_end = job.progress()
        acts = leave(crowd)
        seconds = time.monotonic() - start
    job.wait()
    bench.faults += [f"mixed {shop.kind}: {fault}" for fault in job.faults]
    stored = shop.scans_since(mark)
    bench.check_stored(f"mixed {shop.kind} {name}", load, stored, acts["scans"])
    if acts["errors"]:
        bench.faults.append(f"mixed {shop.kind}: {acts['errors']} acts failed, the first: {acts['first_error']}")
    figures = [
        Figure("p99 of scans", load.p99_ms, "ms", at_most=P99_MS),
        Figure(f"check-ins of {PEOPLE} people", acts["check_ins"] / seconds, "a second"),
        Figure("p99 of check-ins", acts["p99_ms"], "ms"),
    ]
    run = run_of(load, cpu_us, database_us, stored - acts["scans"])
    return Line("mixed", shop.kind, name, run, figures, f"CPU is that of the acts too; {job.story(at_the_end)}")


@contextmanager
def crowd_of(shop: Shop, people: int = PEOPLE, **asked: Any) -> Iterator[subprocess.Popen[str]]:
    """The people, each of whom has checked in once before the block. With `mission` and `ideas` they vote too."""
    command = [sys.executable, "-m", "tests.bench.shoppers"]
    asked |= {"url": shop.url, "places": shop.places, "people": people}
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as crowd:
        assert crowd.stdin is not None
        assert crowd.stdout is not None
        try:
            crowd.stdin.write(json.dumps(asked) + "\n")
            crowd.stdin.flush()
            assert crowd.stdout.readline() == "ready\n"
            yield crowd
        finally:
            if crowd.poll() is None and not crowd.stdin.closed:
                crowd.kill()


def leave(crowd: subprocess.Popen[str]) -> dict[str, Any]:
    """Send the people home; what they did."""
    said, _ = crowd.communicate(timeout=60)
    found: dict[str, Any] = json.loads(said)
    return found


class Job:
    """The batch of tokens, made by the server in the background. 404: this server makes none."""

    def __init__(self, shop: Shop) -> None:
        self._shop = shop
        self._path = ""
        self._started = time.monotonic()
        self._took_s: float | None = None
        self.faults: list[str] = []
        with shop.api() as api:
            answer = api.post(f"/v1/campaigns/{shop.hosted_campaign}/token-batches", json=BATCH)
        self._is_there = answer.status_code not in (404, 405)
        if answer.status_code == 202:
            self._path = answer.headers["location"]
        elif self._is_there:
            self.faults.append(f"a batch of {BATCH['count']:,} answers {answer.status_code}: {answer.text[:200]}")

    def progress(self) -> dict[str, Any]:
        """What the server says of the job now; nothing when there is none."""
        if not self._path:
            return {}
        with self._shop.api() as api:
            found: dict[str, Any] = api.get(self._path).raise_for_status().json()
        return found

    def wait(self) -> None:
        """Until it is over, two minutes at most."""
        end = self._started + PATIENCE_S
        while self._path and (found := self.progress())["state"] in ("queued", "running"):
            if time.monotonic() > end:
                self.faults.append(f"the batch was not done after {PATIENCE_S:g} s: {found}")
                return
            time.sleep(0.5)
        self._took_s = time.monotonic() - self._started
        if self._path and found["state"] != "done":
            self.faults.append(f"the batch is {found['state']}: {found}")

    def story(self, at_the_end: dict[str, Any]) -> str:
        """The batch in words."""
        if not self._is_there:
            return "the batch of tokens is left out: this server answers 404 to it"
        if self._took_s is None or not at_the_end:
            return "the batch of tokens failed"
        if at_the_end["state"] == "done":
            return f"the batch of {BATCH['count']:,} tokens was done before the run ended"
        made = at_the_end["progress"]["done"]
        return f"{made:,} of {BATCH['count']:,} tokens were made when the run ended, all after {self._took_s:.0f} s"
