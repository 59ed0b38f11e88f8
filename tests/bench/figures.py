"""Questions about ten million scans of 200 codes over 90 days, beside the same about 100,000.

The rollups are written as the worker leaves them, weeks included; of the log only the check-ins, one in a hundred
scans: no question reads a scan. Each question is asked through HTTP, of both campaigns in turn.
"""

import os
import random
import statistics
import time
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

import httpx2
from sqlalchemy import insert
from sqlmodel import select

from campaigns import clock, ids, worker
from campaigns.participants import Participant
from campaigns.participants.service import pseudonym_of
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.scans.rollup_pairs import shared_out
from campaigns.scans.rollup_writing import COLUMNS, DIMENSIONS, add
from campaigns.stats.watch import keep_shares
from campaigns.tokens import Token, codes
from tests.bench.cpu import CpuOf
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on

DAYS, CODES, FEW, MANY = 90, 200, 100_000, 10_000_000
AT_MOST_MS, AT_MOST_TIMES = 25.0, 1.5
ASKED = 5  # times each question
SEED = 20_261_130
# As a scan may be: device, language, country, and how many of a hundred are so.
KINDS: Final = (
    ("phone", "fr", "FR", 40),
    ("phone", "en", "FR", 15),
    ("phone", "de", "CH", 10),
    ("phone", "fr", "CH", 10),
    ("tablet", "fr", "FR", 8),
    ("tablet", "en", "GB", 5),
    ("desktop", "fr", "FR", 7),
    ("desktop", "", "", 5),
)
RANGES: Final = (DAYS, 30, 7)
GROUPED: Final = (
    *("", "day", "week", "verdict", *DIMENSIONS),
    *("token,device", "place,device", "device,language", "channel,country", "medium,place"),
    *("day,medium", "day,device", "week,place", "week,device"),
)


class Filled(NamedTuple):
    """A campaign, and a code and place of it."""

    campaign: str
    token: str
    place: str


def figures(bench: Bench, kind: str) -> Iterator[Line]:
    """How long an answer takes, from the first byte of the question to the last of the answer; the network is ours."""
    with shop_on(kind) as shop:
        began = time.monotonic()
        few, many = (fill(shop, scans) for scans in (FEW, MANY))
        filled_s = time.monotonic() - began
        with shop.serving() as pid, shop.api() as api:
            taken: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in questions()}
            for number in range(ASKED + 1):
                for params, times in taken.items():
                    for filled, found in zip((few, many), times, strict=True):
                        took_ms = _ask(api, filled, params)
                        if number:  # the first reads the file
                            found.append(took_ms)
            cpu = CpuOf(pid)
            for params in taken:
                _ask(api, many, params)
            cpu_ms = cpu.seconds() * 1000 / len(taken)
        yield Line(
            "figures", kind, "any question", None, _figures(taken, cpu_ms), f"rollups written in {filled_s:.0f} s"
        )


def _figures(taken: dict[str, tuple[list[float], list[float]]], cpu_ms: float) -> list[Figure]:
    few, many = ([one for pair in taken.values() for one in pair[at]] for at in (0, 1))
    medians = {name: statistics.median(times) for name, (_, times) in taken.items()}
    slowest = max(medians, key=medians.__getitem__)
    timed = [one for name, (_, times) in taken.items() if "since=" in name for one in times]
    return [
        Figure("questions", len(taken), ""),
        Figure(f"p95 of {FEW:,} scans", _p95(few), "ms"),
        Figure(f"p95 of {MANY:,} scans", _p95(many), "ms", at_most=AT_MOST_MS),
        Figure("median of those", statistics.median(many), "ms"),
        Figure("p95 where a week or a month was asked for", _p95(timed), "ms", at_most=AT_MOST_MS),
        Figure("median, as many times that of the few", statistics.median(many) / statistics.median(few), "x"),
        Figure("p95, as many times", _p95(many) / _p95(few), "x", at_most=AT_MOST_TIMES),
        Figure(f"the slowest, {slowest or 'all'}", medians[slowest], "ms"),
        Figure("CPU of the server a question", cpu_ms, "ms"),
    ]


def _p95(times: list[float]) -> float:
    return statistics.quantiles(times, n=20)[-1]


def questions() -> Iterator[str]:
    """As they stand in a URL."""
    today = clock.utc_now().date()
    for days in RANGES:
        since = f"&since={today - timedelta(days=days)}" if days < DAYS else ""
        yield from (f"group_by={group}{since}" if group else since.strip("&") for group in GROUPED)
    yield "group_by=hour"
    yield f"group_by=hour&since={today - timedelta(days=7)}"
    yield "group_by=day&compare=previous&device=phone"
    yield "group_by=day&language=fr&country=FR"
    for days in RANGES:
        since = f"&since={today - timedelta(days=days)}" if days < DAYS else ""
        yield from (f"{one}{since}" for one in ("token_id={token}", "place_id={place}", "channel=till", "medium=nfc"))


def _ask(api: httpx2.Client, filled: Filled, params: str) -> float:
    began = time.perf_counter()
    answer = api.get(f"/v1/campaigns/{filled.campaign}/stats?{params.format_map(filled._asdict())}")
    took_ms = (time.perf_counter() - began) * 1000
    assert answer.status_code == 200, answer.text
    return took_ms


# Filling ---------------------------------------------------------------------------------------------------------


def fill(shop: Shop, scans: int) -> Filled:
    """A campaign with so many scans in its rollups."""
    chance = random.Random(SEED)
    now = clock.utc_now()
    with shop.database.transaction() as session:
        model = session.exec(select(Campaign).where(Campaign.id == ids.parse("cmp", shop.hosted_campaign))).one()
        facts = model.model_dump() | {"id": ids.uuid7_at(now), "name": f"{scans} scans", "external_id": None}
        session.execute(insert(Campaign).values(**facts))
    today = clock.day_of(now)
    tokens = _tokens(shop, facts["id"], now)
    named = [_code(one) for one in tokens]
    for day in range(today - DAYS + 1, today + 1):
        cells = {
            (facts["id"], "live", day, *code, *kind): _numbers(scans * share // (DAYS * CODES), chance)
            for code in named
            for *kind, share in KINDS
        }
        with shop.database.transaction() as session:
            add(
                session, "rollups", _alone(cells, range(8, 20) if day > today - 10 else ())
            )  # asked by the hour: a week
            add(session, "rollups", shared_out(cells))
    worker.keep_weeks(shop.database, now=now)
    _check_in(shop, facts["id"], tokens, scans // 100, now)
    worker.set_marks(shop.database, now=now)
    keep_shares(shop.database, now=now)
    shop.settle()
    return Filled(ids.show("cmp", facts["id"]), *named[0][:2])


def _tokens(shop: Shop, campaign_id: UUID, now: datetime) -> list[dict[str, Any]]:
    """The codes of a campaign, four a place."""
    rows = [
        shop.wide[number // 4].model_dump()
        | {"id": ids.uuid7_at(now), "code": codes.new_code(os.urandom), "campaign_id": campaign_id}
        | {"channel": ("window", "till", "shelf", None)[number % 4], "medium": ("qr", "nfc")[number % 2]}
        for number in range(CODES)
    ]
    with shop.database.transaction() as session:
        session.execute(insert(Token), rows)
    return rows


def _code(token: dict[str, Any]) -> tuple[str, str, str, str]:
    """A code, its place, channel and medium, as the rollups name them."""
    token_id, place_id = ids.show("tok", token["id"]), ids.show("plc", token["place_id"])
    return token_id, place_id, token["channel"] or "", token["medium"]


def _numbers(hundredfold: int, chance: random.Random) -> list[int]:
    """As `COLUMNS` go, of about so many hundredths of a scan."""
    valid = hundredfold // 100 + (chance.random() < hundredfold % 100 / 100)
    return [valid, *(int(chance.random() < 0.1) for _ in COLUMNS[1:-3]), valid * 3 // 4, valid * 3 // 4]


def _alone(cells: dict[tuple[Any, ...], list[int]], hours: Sequence[int]) -> dict[tuple[Any, ...], list[int]]:
    """The rows of one dimension: their day, and some hours of it."""
    sums: dict[tuple[Any, ...], list[int]] = {}
    for (campaign_id, phase, day, *values), numbers in cells.items():
        for dimension, value in (("", ""), *zip(DIMENSIONS, values, strict=True)):
            for span, period in (("day", day), *(("hour", day * 24 + hour) for hour in hours)):
                row = sums.setdefault((campaign_id, dimension, span, phase, period, value, ""), [0] * len(COLUMNS))
                row[:] = [one + more for one, more in zip(row, (*numbers, numbers[0]), strict=True)]
    return sums


def _check_in(shop: Shop, campaign_id: UUID, tokens: Sequence[dict[str, Any]], number: int, now: datetime) -> None:
    """So many check-ins over the days, one in five by somebody who had come before."""
    with shop.database.snapshot() as session:
        organisation_id = session.get_one(Campaign, campaign_id).organisation_id
    chance = random.Random(SEED)
    people: list[UUID] = []
    last: dict[UUID, datetime] = {}
    for part in range(0, number, 5_000):
        moments = [now - timedelta(days=DAYS * (1 - (part + one) / number)) for one in range(min(5_000, number - part))]
        rows = []
        with shop.database.transaction() as session:
            for at in moments:
                is_first = not people or chance.random() < 0.8
                if is_first:
                    people.append(ids.uuid7_at(at))
                person = people[-1] if is_first else chance.choice(people)
                rows.append(_visit(campaign_id, chance.choice(tokens), person, at, last.get(person)))
                last[person] = at
            new = [(row["participant_id"], row["checked_in_at"]) for row in rows if row["is_first"]]
            session.execute(insert(Participant), [_person(organisation_id, *one) for one in new])
            session.execute(insert(CheckIn), rows)


def _person(organisation_id: UUID, id: UUID, at: datetime) -> dict[str, Any]:
    fields = {"id": id, "organisation_id": organisation_id, "pseudonym": pseudonym_of(id), "language": "fr"}
    return fields | {"cohort": "public", "secret_hash": id.hex, "created_at": at}


def _visit(
    campaign_id: UUID, token: dict[str, Any], person: UUID, at: datetime, before: datetime | None
) -> dict[str, Any]:
    id = ids.uuid7_at(at)
    act = {"id": id, "scan_id": id, "participant_id": person, "campaign_id": campaign_id}
    where = {"token_id": token["id"], "place_id": token["place_id"], "occurred_at": at, "checked_in_at": at}
    proof = {"phase": "live", "presence": 1, "geofence": "inside", "by_till_code": False, "verdict": "valid"}
    way = {"is_first": before is None, "came_before_at": before, "is_late": False}
    return act | where | proof | way | {"reasons": "", "counted": True}
