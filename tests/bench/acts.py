"""Acts through HTTP: 16 people scan, check in and vote, each as fast as they are answered, on the same two cores.

SQLite has one server process, PostgreSQL two. An act is a check-in of a new person or their vote; the scans before the
check-ins come on top and are not counted.
"""

import time
from collections.abc import Iterator
from datetime import timedelta

from campaigns import clock
from tests.bench.cpu import CpuOf
from tests.bench.measure import Bench
from tests.bench.mixed import crowd_of, leave
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on
from tests.bench.wrk import AGENTS

CLIENTS = 16
PROCESSES = {"sqlite": 1, "postgres": 2}
AT_LEAST = {"sqlite": 300.0, "postgres": 250.0}
P99_MS = 150.0
IDEAS = 20


def acts(bench: Bench, kind: str) -> Iterator[Line]:
    """Check-ins and votes a second, and how long the slowest of a hundred takes."""
    with shop_on(kind) as shop, shop.serving(PROCESSES[kind]) as pid:
        mission, ideas = open_vote(shop)
        with crowd_of(shop, CLIENTS, mission=mission, ideas=ideas) as crowd:
            server, database, start = CpuOf(pid), CpuOf(shop.postmaster), time.monotonic()
            time.sleep(max(bench.seconds, 5.0))
            done = leave(crowd)
            seconds = time.monotonic() - start
            cpu_s, database_s = server.seconds(), database.seconds()
        if done["errors"]:
            bench.faults.append(f"acts {kind}: {done['errors']} acts failed, the first: {done['first_error']}")
        number = done["check_ins"] + done["votes"]
        figures = [
            Figure("acts", number / seconds, "a second", at_least=AT_LEAST[kind]),
            Figure("CPU of an act, its scan and their judging", cpu_s * 1000 / number, "ms"),
            Figure("beside it the database's own", database_s * 1000 / number, "ms"),
            Figure("p99 of acts", done["p99_ms"], "ms", at_most=P99_MS),
        ]
        note = f"{done['check_ins']} check-ins, {done['votes']} votes, {done['scans']} scans by {CLIENTS} people"
        yield Line("acts", kind, f"{PROCESSES[kind]} process(es)", None, figures, note)
        bench.faults += shop.verify()


def open_vote(shop: Shop) -> tuple[str, list[str]]:
    """A round that is open in the hosted campaign's mission, for whoever was there: the mission's slug, its ideas."""
    with shop.api() as api:
        (mission,) = api.get(f"/v1/campaigns/{shop.hosted_campaign}/missions").raise_for_status().json()["data"]
        now = clock.utc_now()
        window = {"opens_at": now.isoformat(), "closes_at": (now + timedelta(hours=1)).isoformat()}
        api.post(f"/v1/missions/{mission['id']}/rounds", json=window | {"min_presence": 1}).raise_for_status()
    ideas = []
    with shop.api() as phone:
        phone.headers.update({"User-Agent": AGENTS[0], "Accept": "application/json"})
        del phone.headers["authorization"]
        for number in range(IDEAS):
            phone.cookies.clear()
            answer = phone.post(f"/m/{mission['slug']}/ideas", json={"text": f"Plant tree {number}"})
            ideas.append(answer.raise_for_status().json()["id"])
    return mission["slug"], ideas
