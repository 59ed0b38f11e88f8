"""Scans of the past, written by the log's own writer: real rows, indexes, counters, visitors and months."""

import random
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice

from campaigns import clock, ids
from campaigns.scans import Verdict, take_writer_number
from campaigns.scans.agents import classify
from campaigns.scans.log import ScanRow
from campaigns.scans.verdict import RULES_VERSION
from campaigns.scans.writers import open_writer
from tests.bench.servers import Shop
from tests.bench.wrk import PHONE

BATCH = 10_000
SEED = 20_260_101


def write_history(shop: Shop, number: int, *, over: timedelta, visitors: int | None = None) -> Iterator[list[ScanRow]]:
    """Spread scans of the wide codes evenly over a time that ends now, oldest first; each batch once it is stored.

    `visitors` is how many keys they share; by default each has its own. The server must be stopped: a SQLite file has
    one writer.
    """
    now = clock.utc_now()
    with shop.database.transaction() as session:
        writer_number = take_writer_number(session, now=now)
    writer = open_writer(shop.database, writer_number, clock.utc_now)
    rows = _rows(shop, number, ids.milliseconds(now - over), over, visitors)
    try:
        while batch := list(islice(rows, BATCH)):
            writer.write(batch)
            yield batch
    finally:
        writer.close()
    shop.settle()


def _rows(shop: Shop, number: int, start_ms: int, over: timedelta, visitors: int | None) -> Iterator[ScanRow]:
    chance = random.Random(SEED + number)  # another history for another number: its keys are new
    device = classify(PHONE).device
    keys = [chance.getrandbits(63) for _ in range(visitors or 0)]
    tokens = [(one.campaign_id.hex, one.id.hex, one.place_id.hex if one.place_id else None) for one in shop.wide]
    step_ms = over.total_seconds() * 1000 / number
    for index in range(number):
        key = chance.choice(keys) if keys else chance.getrandbits(63)
        yield ScanRow(
            ids.uuid7_hex(int(start_ms + index * step_ms)),
            *chance.choice(tokens),
            None,
            key,
            "live",
            Verdict.VALID.value,
            0,
            "",
            RULES_VERSION,
            device,
            "fr",
        )
