"""What people's figures cost beside a crowd: the funnel and the stats of 100,000 people and a million check-ins.

The rows are written as acts would have left them. CPU of one question each, the best of a few, in this process.
"""

import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

from sqlmodel import Session, select

from campaigns import clock, ids, missions, stats
from campaigns.missions import Mission
from campaigns.missions.models import Membership
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.stats import Asked
from campaigns.tokens import Token
from tests.bench.crowd import PEOPLE, SEED, person_row, write_rows
from tests.bench.measure import Bench
from tests.bench.report import Figure, Line
from tests.bench.servers import Shop, shop_on

ACTS = 10  # check-ins of each
DAYS = 90
TIMES = 3


def people(bench: Bench, kind: str) -> Iterator[Line]:
    """One question each: of the whole campaign, of a month, of a place."""
    with shop_on(kind) as shop:
        start = time.monotonic()
        write_visits(shop)
        filled_s = time.monotonic() - start
        note = f"{PEOPLE:,} people, {PEOPLE * ACTS:,} check-ins, written in {filled_s:.0f} s"
        yield Line("people", kind, "people", None, list(_asked(shop)), note)


def _asked(shop: Shop) -> Iterator[Figure]:
    now = clock.utc_now()
    with shop.database.snapshot() as session:
        campaign = session.exec(select(Campaign).where(Campaign.id == ids.parse("cmp", shop.hosted_campaign))).one()
    month = Asked(now - timedelta(days=30))
    place = Asked(where={"place": shop.places[0][1]})

    def acts(asked: Asked, *, with_people: bool) -> Callable[[Session], Any]:
        def ask(session: Session) -> None:
            answer = stats.ask(session, campaign, asked, now=now)
            stats.acts_of(session, campaign, asked, answer.window, with_people=with_people)

        return ask

    def funnel(asked: Asked, by: str | None) -> Callable[[Session], Any]:
        return lambda session: stats.funnel(session, campaign, asked, can_measure=True, by=by, now=now)

    for name, ask in (
        ("stats with check-ins", acts(Asked(), with_people=False)),
        ("the same of a month, with its people", acts(month, with_people=True)),
        ("the same of a place", acts(place, with_people=True)),
        ("bridge rate", lambda session: stats.bridge_rate(session, campaign.id)),
        ("insider share", lambda session: missions.insider_share(session, campaign.id)),
        ("funnel", funnel(Asked(), None)),
        ("funnel by place", funnel(Asked(), "place")),
        ("funnel of a month", funnel(month, None)),
    ):
        yield Figure(name, min(_ms(shop, ask) for _ in range(TIMES)), "ms")


def _ms(shop: Shop, ask: Callable[[Session], Any]) -> float:
    with shop.database.moment() as session:
        start = time.perf_counter()
        ask(session)
        return (time.perf_counter() - start) * 1000


def write_visits(shop: Shop) -> None:
    """People who joined over 90 days and came ten times each, at the places of the campaign."""
    chance = random.Random(SEED)
    now = clock.utc_now()
    start = now - timedelta(days=DAYS)
    with shop.database.snapshot() as session:
        mine = Mission.campaign_id == ids.parse("cmp", shop.hosted_campaign)
        mission = session.exec(select(Mission).where(mine)).one()
        codes = session.exec(select(Token).where(Token.campaign_id == mission.campaign_id)).all()
    people = [ids.uuid7_at(start + timedelta(days=DAYS) * (one / PEOPLE)) for one in range(PEOPLE)]
    write_rows(shop, Participant, (person_row(mission, one, ids.instant_of(one)) for one in people))
    at = {"mission_id": mission.id, "phase": "live"}
    joined = ({**at, "participant_id": one, "joined_at": ids.instant_of(one)} for one in people)
    write_rows(shop, Membership, joined)
    write_rows(shop, CheckIn, (_visit(mission, codes, one, turn, chance, now) for one, turn in _turns(people)))


def _turns(people: list[Any]) -> Iterator[tuple[Any, int]]:
    """Round by round: a person's acts lie apart in the table, as they do."""
    for turn in range(ACTS):
        for one in people:
            yield one, turn


def _visit(mission: Mission, codes: Any, person: Any, turn: int, chance: random.Random, now: Any) -> dict[str, Any]:
    won = ids.instant_of(person)
    at = won + (now - won) * (turn / ACTS)
    token = chance.choice(codes)
    return {
        "id": ids.uuid7_at(at),
        "scan_id": ids.uuid7_at(at),
        "participant_id": person,
        "campaign_id": mission.campaign_id,
        "token_id": token.id,
        "place_id": token.place_id,
        "phase": "live",
        "presence": 1,
        "geofence": "inside",
        "by_till_code": False,
        "verdict": "valid",
        "reasons": "",
        "counted": True,
        "occurred_at": at,
        "checked_in_at": at,
        "by_staff": False,
        "is_first": turn == 0,
        "came_before_at": won + (now - won) * ((turn - 1) / ACTS) if turn else None,
        "is_late": False,
    }
