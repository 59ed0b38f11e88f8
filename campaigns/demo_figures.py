"""What the demo's figures tell of: a code that fell silent, and a sale with its cost, its shops' tills, and its lift.

Five of the twelve shops are held out, drawn as the API draws them; the others sell a fifth more, each day give or take
chance. What the figures then say of it is theirs: often that the lift is proven and that it paid is not.
"""

import random
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlmodel import Session

from campaigns import blueprint, clock, missions, planning, stats, tokens
from campaigns.audit import Author
from campaigns.blueprint import Blueprint
from campaigns.planning import Campaign, HoldoutUnitKind
from campaigns.stats import Clerk, Comparison, CostKind, Taken, Told
from campaigns.stats.watch import keep_forecasts, raise_alerts
from campaigns.storage import Database
from campaigns.tokens.directory import Directory, Entry

NAME = "gouter-2026"
SILENT_H = 36  # hours without a scan that raise an alert: a night is no news
HELD_OUT = 5  # of the twelve shops
LASTS = timedelta(days=42)
SCANS_A_DAY = 3  # of a code, about
CHECKS_IN = 0.25  # of those who scan where the mission is shown
CUSTOMERS_A_DAY = 110  # of a shop, about
BUYS = 0.03  # of the customers, without the campaign
LIFT = 0.2  # what the campaign adds to that
SOURCE = "caisse"
LEARNED = "Les boutiques du centre tirent les ventes. Relancer le samedi."
_AT_ONCE = 200  # conversions a transaction, as the API has it
_PLAN: dict[str, Any] = {
    "external_id": NAME,
    "name": "Le goûter de saison",
    "objective": "sales",
    "targets": [
        {"kpi": "conversions", "value": 1000},
        {"kpi": "revenue_minor", "value": 900_000},
        {"kpi": "verified_scans", "value": 1200},
        {"kpi": "check_ins", "value": 150},
    ],
    "budget_minor": 150_000,
    "currency": "EUR",
    "mission": {
        "external_id": "gouter",
        "title": {"fr": "Le goûter de saison", "en": "The snack of the season"},
        "promise": {
            "fr": "À 150 visites, un panier de fruits pour chaque classe de l’école.",
            "en": "At 150 visits, a basket of fruit for each class of the school.",
        },
        "goal": {"metric": "check_ins", "value": 150},
        "steps": [{"kind": "scan", "repeat": "daily", "title": {"fr": "Passez goûter", "en": "Come and taste"}}],
    },
    "tokens": [{"channel": "shelf"}],
}
_COSTS = (
    (CostKind.MEDIA, 36_000, "Affiches dans les abribus"),
    (CostKind.PRINT, 9_500, "Codes et chevalets"),
    (CostKind.STAFF_HOURS, 22_000, "Dégustations, onze heures"),
)
_BASKETS = (690, 740, 790, 890, 990, 1190, 1490)  # cents


@dataclass(frozen=True)
class Sale:
    """The campaign with its codes, in the order of their shops; and the shops by their external ids."""

    campaign_id: UUID
    entries: list[Entry]
    shops: dict[str, UUID]
    began_at: datetime


def open_sale(session: Session, organisation_id: UUID, shops: dict[str, dict[str, Any]], began_at: datetime) -> Sale:
    """A campaign in these shops, with its holdout drawn before the launch, its costs and its margin."""
    ends_at = began_at + LASTS
    plan = Blueprint.model_validate({**_PLAN, "places": list(shops.values()), "ends_at": ends_at})
    done = blueprint.apply(session, organisation_id, plan, geocode=None, now=began_at)
    assert done.campaign_id is not None  # noqa: S101  # apply sets it
    campaign = planning.campaign_by_id(session, organisation_id, done.campaign_id, lock=True)
    session.flush()
    drawn = stats.drawable(session, campaign, HoldoutUnitKind.PLACE)
    seed = secrets.token_hex(16)
    planning.draw_holdout(session, campaign, HoldoutUnitKind.PLACE, drawn, number=HELD_OUT, seed=seed, now=began_at)
    facts = tokens.launch_facts(session, campaign.id, missions=len(missions.list_missions(session, campaign.id)))
    planning.launch(session, campaign, facts, now=began_at)
    day = clock.civil_day(began_at, campaign.time_zone)
    for kind, amount_minor, label in _COSTS:
        stats.add_cost(
            session,
            campaign,
            kind=kind,
            amount_minor=amount_minor,
            currency="EUR",
            incurred_on=day,
            label=label,
            now=began_at,
        )
    stats.set_margin(session, campaign, 6_000, now=began_at)
    codes = tokens.list_tokens(session, campaign.id, before=None, limit=200)
    directory = Directory()
    entries = [entry for one in codes if (entry := directory.load(session, one.code))]
    at = {entry.place.external_id: entry.place.id for entry in entries if entry.place and entry.place.external_id}
    return Sale(campaign.id, entries, at, began_at)


def watch_silence(session: Session, campaign: Campaign, now: datetime) -> None:
    """Somebody wants to hear of a code that nobody scans any more, on the second day."""
    above = Comparison.ABOVE
    stats.set_threshold(session, campaign, watched="silent_token_hours", comparison=above, value=SILENT_H, now=now)


def visits(chance: random.Random, sale: Sale, start: datetime) -> Iterator[tuple[Entry, datetime, bool]]:
    """Who scans the sale's codes on a day: the code, when, and whether they check in there."""
    for entry in sale.entries:
        for _ in range(chance.randrange(2 * SCANS_A_DAY)):
            at = start + timedelta(hours=chance.uniform(9, 19))
            yield entry, at, not entry.is_held_out and chance.random() < CHECKS_IN


def settle(database: Database, sale: Sale, seed: int, author: Author, now: datetime) -> UUID:
    """What the shops' own systems tell of the days that are over, and what the figures make of it: a frozen report."""
    chance = random.Random(f"sales of {seed}")
    with database.transaction(author=author) as session:
        campaign = session.get_one(Campaign, sale.campaign_id)
        holdout = planning.find_holdout(session, campaign.id)
        assert holdout is not None  # noqa: S101  # drawn when the sale was opened
        held_out = planning.held_out_of(session, campaign.id)
        zone = campaign.time_zone
        since, until = (clock.civil_day(one, zone) for one in (sale.began_at, now - timedelta(days=1)))
        customers = {id: _customers(chance, (until - since).days + 1) for id in sale.shops.values()}
        numbers = {id: sum(days) for id, days in customers.items()}
        stats.set_exposures(session, campaign, holdout, since, until, numbers, now=now)
    sold = [
        one
        for name, id in sale.shops.items()
        for one in _sales(chance, name, since, customers[id], lift=0 if id in held_out else LIFT)
    ]
    taken = Taken()
    for first in range(0, len(sold), _AT_ONCE):
        with database.transaction(author=author) as session:
            clerk = Clerk(session, campaign.organisation_id, now=now)
            clerk.take_all(list(enumerate(sold[first : first + _AT_ONCE])), taken)
    keep_forecasts(database, now=now)
    raise_alerts(database, now=now)
    with database.transaction(author=author) as session:
        stats.note_import(session, campaign.organisation_id, taken, now=now)
        campaign = session.get_one(Campaign, sale.campaign_id)
        return stats.freeze(session, campaign, learned=LEARNED, author=author, now=now).id


def _customers(chance: random.Random, days: int) -> list[int]:
    """What a shop's door counter says of each day."""
    usual = CUSTOMERS_A_DAY * chance.uniform(0.6, 1.4)
    return [round(usual * chance.uniform(0.8, 1.2)) for _ in range(days)]


def _sales(chance: random.Random, shop: str, since: date, customers: Sequence[int], *, lift: float) -> Iterator[Told]:
    """What a shop's till sold of it: each customer buys or not, in some shops a little more than in others."""
    rate = BUYS * chance.uniform(0.9, 1.1) * (1 + lift)
    for ahead, number in enumerate(customers):
        day = since + timedelta(days=ahead)
        opens = datetime(day.year, day.month, day.day, 8, tzinfo=UTC)
        for at in range(sum(chance.random() < rate for _ in range(number))):
            yield Told(
                source=SOURCE,
                external_id=f"{shop}-{day:%m%d}-{at}",
                campaign_id=f"ext_{NAME}",
                amount_minor=chance.choice(_BASKETS),
                currency="EUR",
                occurred_at=opens + timedelta(minutes=chance.randrange(600)),
                place_id=f"ext_{shop}",
            )
