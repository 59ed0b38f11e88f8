"""Coupons at the till: 100 uses a second, each of a coupon of its own, as tills send them whether answers come or not.

Sixteen tills, each a thread with a connection that is kept. How long a use takes is counted from when it was due: a
server that falls behind is not spared the time that its uses waited.
"""

import threading
import time
from collections.abc import Iterator

from campaigns import clock, ids, participants, rewards
from campaigns.planning import Campaign
from campaigns.rewards import OfferPlan, Unlock, Want
from tests.bench.acts import PROCESSES
from tests.bench.cpu import CpuOf
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on

RATE = 100  # uses a second
TILLS = 16
P99_MS = 100.0


def redemptions(bench: Bench, kind: str) -> Iterator[Line]:
    """How long a till waits for its yes at 100 a second, and the CPU of one: SQLite with one process, else two."""
    seconds, number = max(bench.seconds, 5.0), PROCESSES[kind]
    with shop_on(kind) as shop:
        codes = coupons(shop, int(RATE * seconds))
        with shop.serving(number) as pid:
            server, database = CpuOf(pid), CpuOf(shop.postmaster)
            times_ms, refused = use_all(shop, codes)
            cpu_s, database_s = server.seconds(), database.seconds()
        if refused:
            bench.faults.append(f"redemptions {kind}: {len(refused)} uses were refused, the first: {refused[0]}")
        figures = [
            Figure("p50 of uses", percentile(times_ms, 50), "ms"),
            Figure("p99 of uses", percentile(times_ms, 99), "ms", at_most=P99_MS),
            Figure("CPU of a use", cpu_s * 1000 / len(codes), "ms"),
            Figure("beside it the database's own", database_s * 1000 / len(codes), "ms"),
        ]
        yield Line(
            "redemptions", kind, f"{number} process(es)", None, figures, f"{len(times_ms)} uses at {RATE} a second"
        )
        bench.faults += shop.verify()


def coupons(shop: Shop, number: int) -> list[str]:
    """So many coupons of one offer of 2.00 EUR, each of somebody else; their codes."""
    now = clock.utc_now()
    with shop.database.transaction() as session:
        campaign = session.get_one(Campaign, ids.parse("cmp", shop.hosted_campaign))
        plan = OfferPlan({"": "Apples"}, number, Unlock.STAFF, face_value_minor=200, currency="EUR")
        offer = rewards.make_offer(session, campaign, plan, now=now)
        wants = [
            Want(
                offer.id,
                participants.join(session, offer.organisation_id, language="fr", now=now)[0].id,
                ids.uuid7(),
                "live",
            )
            for _ in range(number)
        ]
        codes = [one.code for one in rewards.issue(session, wants, now=now)]
    shop.settle()
    return codes


def use_all(shop: Shop, codes: list[str]) -> tuple[list[float], list[str]]:
    """Use each coupon when it is due; how long each took, in milliseconds, and what was not accepted."""
    times_ms: list[float] = []
    refused: list[str] = []
    start = time.monotonic() + 0.5
    place_id = shop.places[0][1]

    def till(number: int) -> None:
        with shop.api() as api:
            for at in range(number, len(codes), TILLS):
                due = start + at / RATE
                time.sleep(max(0.0, due - time.monotonic()))
                body = {"code": codes[at], "place_id": place_id, "device": f"till-{number}", "nonce": str(at)}
                answer = api.post("/v1/redemptions", json=body)
                times_ms.append((time.monotonic() - due) * 1000)
                if answer.status_code != 201:
                    refused.append(answer.text)

    threads = [threading.Thread(target=till, args=(number,), daemon=True) for number in range(TILLS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return times_ms, refused


def percentile(values: list[float], percent: int) -> float:
    """The value below which so many hundredths of them lie."""
    return sorted(values)[max(0, len(values) * percent // 100 - 1)]
