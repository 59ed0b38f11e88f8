"""A mission page beside a crowd: 100,000 participants, 5,000 ideas and a million votes cost it nothing.

The rows are written as acts would have left them, with their counters; `verify` then finds that all adds up.
"""

import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import timedelta
from itertools import islice
from typing import Any
from uuid import UUID

import httpx2
from sqlalchemy import insert
from sqlmodel import SQLModel, col, select

from campaigns import clock, community, ids
from campaigns.community import Ballot, Idea, Round, RoundPlan, Totals, Vote
from campaigns.community.models import TurnOut, VoteCounter, VoteState
from campaigns.missions import Mission
from campaigns.missions.models import Membership, MissionCounter
from campaigns.participants import Participant
from campaigns.participants.service import pseudonym_of
from tests.bench.cpu import CpuOf
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on
from tests.bench.wrk import PHONE

PEOPLE, IDEAS, QUOTA = 100_000, 5_000, 10
PAGES = 200
AT_MOST_MS = 30.0
BATCH = 5_000
SEED = 20_261_130


def crowd(bench: Bench, kind: str) -> Iterator[Line]:
    """CPU of the server a mission page, empty and with the crowd: a clock would measure the neighbours too."""
    with shop_on(kind) as shop:
        slug = _slug_of(shop)
        with shop.serving() as pid:
            empty = _page_ms(shop, pid, slug)
        start = time.monotonic()
        write_crowd(shop)
        shop.settle()
        filled_s = time.monotonic() - start
        with shop.serving() as pid:
            full = _page_ms(shop, pid, slug)
        figures = [
            Figure("mission page of nobody", empty, "ms CPU"),
            Figure("the same with a million votes", full, "ms CPU", at_most=AT_MOST_MS),
        ]
        note = f"{PEOPLE:,} people, {IDEAS:,} ideas, {PEOPLE * QUOTA:,} votes, written in {filled_s:.0f} s"
        yield Line("crowd", kind, "mission page", None, figures, note)
        bench.faults += shop.verify()


def write_crowd(shop: Shop) -> None:
    """The people, their ideas, ballots and votes, and the counters that go with them."""
    chance = random.Random(SEED)
    now = clock.utc_now()
    with shop.database.transaction() as session:
        mission = session.exec(
            select(Mission).where(Mission.campaign_id == ids.parse("cmp", shop.hosted_campaign))
        ).one()
        hour = timedelta(hours=1)
        plan = RoundPlan(opens_at=now - hour, closes_at=now + hour, quota=QUOTA, totals=Totals.SHOWN)
        round = community.plan_round(session, mission, plan, now=now - 2 * hour)
        round.first_vote_at = now
    people = [ids.uuid7_at(now) for _ in range(PEOPLE)]
    write_rows(shop, Participant, (person_row(mission, one, now) for one in people))
    at = {"mission_id": mission.id, "phase": "live"}
    write_rows(shop, Membership, ({**at, "participant_id": one, "joined_at": now} for one in people))
    ideas = [ids.uuid7_at(now) for _ in range(IDEAS)]
    write_rows(shop, Idea, (_idea(mission, one, people[number], number, now) for number, one in enumerate(ideas)))
    counted: Counter[UUID] = Counter()
    write_rows(shop, Ballot, (_ballot(round, one) for one in people))
    write_rows(shop, Vote, _votes(round, people, ideas, counted, chance))
    key = {"round_id": round.id, "phase": "live"}
    write_rows(shop, VoteCounter, ({**key, "idea_id": one, "votes": number} for one, number in counted.items()))
    write_rows(shop, TurnOut, [{**key, "presence": 0, "voters": PEOPLE}])
    totals = {"participants": PEOPLE, "ideas": IDEAS, "votes": PEOPLE * QUOTA}
    write_rows(
        shop, MissionCounter, ({**at, "metric": name, "writer": 0, "total": total} for name, total in totals.items())
    )


def person_row(mission: Mission, id: UUID, now: Any) -> dict[str, Any]:
    """A person as joining leaves them."""
    fields = {"id": id, "organisation_id": mission.organisation_id, "pseudonym": pseudonym_of(id), "language": "fr"}
    return fields | {"cohort": "public", "secret_hash": id.hex, "created_at": now}


def _idea(mission: Mission, id: UUID, author: UUID, number: int, now: Any) -> dict[str, Any]:
    fields = {"id": id, "mission_id": mission.id, "participant_id": author, "client_id": "c", "language": "fr"}
    text = f"Plant tree number {number} beside the school, where everybody comes by in the morning"
    return fields | {"text": text, "state": "published", "phase": "live", "created_at": now, "comments": 0}


def _ballot(round: Round, person: UUID) -> dict[str, Any]:
    return {
        "id": person,  # any id does
        "round_id": round.id,
        "phase": "live",
        "voter": person.hex,
        "proof": None,
        "presence": 0,
        "live": QUOTA,
    }


def _votes(
    round: Round, people: list[UUID], ideas: list[UUID], counted: Counter[UUID], chance: random.Random
) -> Iterator[dict[str, Any]]:
    for person in people:
        for slot, idea in enumerate(chance.sample(ideas, QUOTA), 1):
            counted[idea] += 1
            yield {
                "id": ids.uuid7(),
                "round_id": round.id,
                "ballot_id": person,
                "idea_id": idea,
                "phase": "live",
                "voter": person.hex,
                "slot": slot,
                "state": VoteState.CAST.value,
                "presence": 0,
                "cast_hour": 0,
                "line": f"{chance.getrandbits(64):016x}",
                "cast_key": f"{person.hex}{slot}",
            }


def write_rows(shop: Shop, table: type[SQLModel], rows: Iterable[dict[str, Any]]) -> None:
    """Write rows with the same columns, 5,000 a transaction."""
    rest = iter(rows)
    while batch := list(islice(rest, BATCH)):
        with shop.database.transaction() as session:
            session.connection().execute(insert(table), batch)


def _slug_of(shop: Shop) -> str:
    with shop.database.snapshot() as session:
        mine = select(Mission.slug).where(col(Mission.campaign_id) == ids.parse("cmp", shop.hosted_campaign))
        return session.exec(mine).one()


def _page_ms(shop: Shop, pid: int, slug: str) -> float:
    """CPU of the server and its database for one mission page, in milliseconds, by somebody new."""
    with httpx2.Client(base_url=shop.url, headers={"User-Agent": PHONE}, timeout=60) as phone:
        for _ in range(10):
            phone.get(f"/m/{slug}").raise_for_status()
        server, database = CpuOf(pid), CpuOf(shop.postmaster)
        for _ in range(PAGES):
            phone.get(f"/m/{slug}").raise_for_status()
        return (server.seconds() + database.seconds()) * 1000 / PAGES
