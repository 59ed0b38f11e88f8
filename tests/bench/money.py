"""What `/money` costs: a campaign of 200 places drawn from, 13 weeks of exposures, each place's sales of 90 days.

CPU of the server and its database a question, asked through HTTP.
"""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, Final
from uuid import UUID

from sqlmodel import select

from campaigns import clock, ids, stats
from campaigns.places import Place
from campaigns.planning import Campaign
from campaigns.planning.holdouts import Holdout, HoldoutUnit
from campaigns.stats import CostKind
from campaigns.stats.models import ConversionTotal, Exposure
from tests.bench.cpu import CpuOf
from tests.bench.crowd import SEED, write_rows
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on

UNITS: Final = 200
DAYS, WEEK = 91, 7
ASKED: Final = 50
AT_MOST_MS: Final = 25.0


def money(bench: Bench, kind: str) -> Iterator[Line]:
    """The whole answer, ROI and its interval with it."""
    with shop_on(kind) as shop:
        campaign_id = _write_trial(shop)
        shop.settle()
        with shop.serving() as pid, shop.api() as api:
            path = f"/v1/campaigns/{campaign_id}/money"
            for _ in range(5):
                shown = api.get(path).raise_for_status().json()
            server, database, times = CpuOf(pid), CpuOf(shop.postmaster), []
            for _ in range(ASKED):
                start = time.perf_counter()
                api.get(path)
                times.append((time.perf_counter() - start) * 1000)
            cpu_ms = (server.seconds() + database.seconds()) * 1000 / ASKED
        if shown["incremental"]["roi"] is None:
            bench.faults.append(f"money {kind}: no ROI")
        figures = [
            Figure("CPU of server and database a question", cpu_ms, "ms", at_most=AT_MOST_MS),
            Figure("from question to answer, the fastest", min(times), "ms"),
        ]
        yield Line("money", kind, f"{UNITS} places", None, figures, f"{UNITS * DAYS:,} sums of days")


def _write_trial(shop: Shop) -> str:
    chance = random.Random(SEED)
    now = clock.utc_now()
    with shop.database.transaction() as session:
        campaign = session.exec(select(Campaign).where(Campaign.id == ids.parse("cmp", shop.hosted_campaign))).one()
        place = session.exec(select(Place).limit(1)).one().model_dump()
        owner: dict[str, Any] = {"organisation_id": campaign.organisation_id, "campaign_id": campaign.id}
        cost: dict[str, Any] = {
            "kind": CostKind.MEDIA,
            "amount_minor": 10_000_00,
            "currency": "EUR",
            "label": "Posters",
        }
        stats.add_cost(session, campaign, incurred_on=now.date(), now=now, **cost)
        stats.set_margin(session, campaign, 4_000, now=now)
        drawn: dict[str, Any] = {
            "unit": "place",
            "seed": "0" * 32,
            "drawn_from": UNITS,
            "held_out": UNITS // 2,
            "drawn_at": now,
        }
        holdout = Holdout(id=ids.uuid7_at(now), **owner, **drawn)
        session.add(holdout)
    units = [ids.uuid7() for _ in range(UNITS)]
    write_rows(shop, Place, (place | {"id": one, "name": one.hex, "external_id": None} for one in units))
    sides = ({"unit_id": one, "is_held_out": number % 2 == 0} for number, one in enumerate(units))
    write_rows(shop, HoldoutUnit, ({"holdout_id": holdout.id, **one} for one in sides))
    start = now.date() - timedelta(days=DAYS)
    weeks = [start + timedelta(days=one) for one in range(0, DAYS, WEEK)]
    told = ({"since": one, "until": one + timedelta(days=WEEK - 1), "recorded_at": now} for one in weeks)
    write_rows(
        shop,
        Exposure,
        (
            {"campaign_id": campaign.id, "place_id": place_id, "number": chance.randrange(500, 700), **period}
            for period in told
            for place_id in units
        ),
    )
    days = [start + timedelta(days=one) for one in range(DAYS)]
    sales = ((day, number, place_id) for day in days for number, place_id in enumerate(units))
    rows = (_sum(campaign.id, day, place_id, chance, is_held_out=number % 2 == 0) for day, number, place_id in sales)
    write_rows(shop, ConversionTotal, rows)
    return shop.hosted_campaign


def _sum(campaign_id: UUID, day: Any, place_id: UUID, chance: random.Random, *, is_held_out: bool) -> dict[str, Any]:
    sold = chance.randrange(2, 6) + (not is_held_out)
    key = {"campaign_id": campaign_id, "phase": "holdout" if is_held_out else "live", "civil_day": day}
    sums = {"conversions": sold, "revenue_minor": sold * 80_00, "squares": sold * 80_00.0**2}
    return key | {"place_id": place_id, "token_id": ids.NIL} | sums
