"""What a campaign cost and brought, on both databases: the ledger's share of it, sums that stay, races, verify.

Tried by hand, each turning a test red: pledges of every sponsor; only `due` of an offer's book; no UNIQUE look-up
before the total is raised; `insert_once` without the total; no `phase` in `totals_of`.
"""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import delete, update
from sqlmodel import Session, col, select

from campaigns import ids, planning, stats
from campaigns.identity import Organisation
from campaigns.planning import Campaign, Phase, holdouts
from campaigns.sponsorship.models import Sponsor
from campaigns.stats import Clerk, Conversion, CostKind, Fate, Taken, Told
from campaigns.stats.costs import is_advertiser
from campaigns.stats.holdouts import arms_of
from campaigns.stats.models import ConversionTotal
from campaigns.storage import Database
from campaigns.verify import verify
from tests.campaigns.counter import set_counter
from tests.factories import NOON, make_campaign, make_mission, make_organisation, make_place, make_token
from tests.racing import race
from tests.treasury import accrue, make_purse, pay, release, take_back

LATER = NOON + timedelta(hours=2)


def told(campaign: Campaign, id: str = "1", **fields: Any) -> Told:
    given: dict[str, Any] = {
        "source": "till",
        "external_id": id,
        "campaign_id": ids.show("cmp", campaign.id),
        "amount_minor": 800,
    }
    return Told(**given | {"currency": "EUR", "occurred_at": NOON} | fields)


def spend(session: Session, campaign: Campaign, amount_minor: int, **fields: Any) -> stats.CostItem:
    given: dict[str, Any] = {
        "kind": CostKind.MEDIA,
        "currency": "EUR",
        "incurred_on": NOON.date(),
        "label": "Posters",
        "now": NOON,
    }
    return stats.add_cost(session, campaign, amount_minor=amount_minor, **given | fields)


def test_pledges_cost_what_acts_made_due_where_the_advertiser_pays(session: Session) -> None:
    owner = make_organisation(session)
    campaign = make_campaign(session, owner)
    mission = make_mission(session, campaign)
    own, other = make_purse(session, mission, sponsor=owner.name.upper()), make_purse(session, mission)
    yens = make_purse(session, mission, sponsor=owner.name, currency="JPY")
    for purse in (own, other, yens):
        acts = [accrue(session, purse, amount) for amount in (10, 20, 30)]
        release(session, purse, acts[:2])  # the third waits
        pay(session, purse, acts[:1], fee=1)
        take_back(session, purse, acts[1])
    spend(session, campaign, 100)
    costs = stats.money_of(session, campaign).costs
    assert (costs.pledges_minor, costs.rewards_minor, costs.total_minor) == (10, 0, 110)
    assert costs.other_currencies == [("pledges", "JPY", 10)]


@pytest.mark.parametrize(
    ("owner", "sponsor", "is_it"),
    [
        ({"registration": "RCS Lyon 552 100 554"}, {"name": "X", "legal_id": "552100554"}, True),
        ({"registration": "552 100 554 00013"}, {"name": "X", "legal_id": "552100554"}, True),
        ({"registration": "RCS Lyon 552 100 554"}, {"name": "La Halle", "legal_id": "333 444 555"}, False),
        ({"registration": None}, {"name": "la halle", "legal_id": "333"}, True),
        ({"legal_name": "Halle SAS"}, {"name": "HALLE S.A.S", "legal_id": None}, True),
        ({}, {"name": "Banque", "legal_id": None}, False),
        ({"legal_name": ""}, {"name": "...", "legal_id": None}, False),
    ],
)
def test_who_the_advertiser_is(owner: dict[str, Any], sponsor: dict[str, Any], is_it: bool) -> None:
    named: dict[str, Any] = {"name": "La Halle", "created_at": NOON}
    brand = Organisation(**named | owner)
    assert is_advertiser(brand, Sponsor(organisation_id=brand.id, created_at=NOON, changed_at=NOON, **sponsor)) is is_it


def test_rewards_cost_their_face_value_unless_the_use_was_rolled_back(database: Database) -> None:
    counter = set_counter(database)
    first, second = counter.coupon(), counter.coupon()
    used = counter.redeem(first.code)
    counter.redeem(second.code)
    value = used.redemption.value_minor
    assert value
    with database.transaction() as session:
        campaign = session.get_one(Campaign, counter.scene.campaign.id)
        assert stats.money_of(session, campaign).costs.rewards_minor == 0  # no currency was ever told
        spend(session, campaign, 1)
        assert stats.money_of(session, campaign).costs.rewards_minor == 2 * value
    counter.roll_back(used.redemption.id)
    with database.snapshot() as session:
        found = stats.money_of(session, counter.scene.campaign)
        assert (found.costs.rewards_minor, found.results.redemptions) == (value, 1)
        assert found.cost_per(found.results.redemptions) == value + 1


def test_a_sale_that_two_tills_tell_at_once_counts_once(anew: Any) -> None:
    database = anew()
    with database.transaction() as session:
        campaign = make_campaign(session, make_organisation(session))

    def tell(_: int) -> Fate:
        with database.transaction() as session:
            return Clerk(session, campaign.organisation_id, now=LATER).take(told(campaign))[0]

    def import_all(number: int) -> int:
        rows = [(at, told(campaign, f"i{at}")) for at in range(200)]
        taken = Taken()
        with database.transaction() as session:
            # In either order: rows are locked in one order all the same.
            Clerk(session, campaign.organisation_id, now=LATER).take_all(rows[:: (-1) ** number], taken)
        return taken.accepted

    fates = race(6, tell)
    assert sorted(map(str, fates)) == ["accepted", *["duplicate"] * 5]
    counted = race(6, import_all)
    assert [one for one in counted if not isinstance(one, int)] == []  # nobody waited for who waited for them
    assert sum(one for one in counted if isinstance(one, int)) == 200
    with database.snapshot() as session:
        money = stats.money_of(session, campaign)
    assert (money.conversions, money.revenue_minor) == (201, 201 * 800)
    assert verify(database) == []


def test_two_first_amounts_at_once_agree_on_one_currency(anew: Any) -> None:
    database = anew()
    with database.transaction() as session:
        campaign = make_campaign(session, make_organisation(session))

    def tell(number: int) -> str:
        currency = ("EUR", "CHF")[number % 2]
        with database.transaction() as session:
            Clerk(session, campaign.organisation_id, now=LATER).take(told(campaign, str(number), currency=currency))
        return currency

    booked = [one for one in race(6, tell) if isinstance(one, str)]
    assert len(booked) == 3
    assert len(set(booked)) == 1


def test_a_pilots_sales_are_in_no_total_and_old_and_early_ones_are_refused(database: Database) -> None:
    with database.transaction() as session:
        owner = make_organisation(session)
        place = make_place(session, owner)
        campaign = make_campaign(session, owner, live=False)
        team = planning.PilotPlan([ids.show("plc", place.id)], 10, {"people": 1})
        planning.declare_pilot(session, campaign, team, now=NOON)
        planning.start_pilot(session, campaign, now=NOON)
        clerk = Clerk(session, owner.id, now=LATER)
        _, sale = clerk.take(told(campaign))
        assert sale.phase == Phase.PILOT
        money = stats.money_of(session, campaign)
        assert (money.conversions, money.revenue_minor) == (0, 0)
        taken = Taken()
        rows = [NOON - timedelta(minutes=1), LATER + timedelta(minutes=6), LATER - timedelta(days=361)]
        clerk.take_all([(at, told(campaign, f"x{at}", occurred_at=when)) for at, when in enumerate(rows)], taken)
        assert (taken.accepted, [one.field for one in taken.refused]) == (0, ["occurred_at"] * 3)


def test_verify_sees_a_total_that_is_not_what_was_told(database: Database) -> None:
    with database.transaction() as session:
        campaign = make_campaign(session, make_organisation(session))
        clerk = Clerk(session, campaign.organisation_id, now=LATER)
        for number in range(3):
            clerk.take(told(campaign, str(number)))
    assert verify(database) == []
    with database.transaction() as session:
        session.execute(update(ConversionTotal).values(conversions=4))
    assert len(verify(database)) == 1
    with database.transaction() as session:
        session.execute(update(ConversionTotal).values(conversions=3))
        one = session.exec(select(Conversion.id).limit(1)).one()
        session.execute(delete(Conversion).where(col(Conversion.id) == one))
    assert len(verify(database)) == 1


def test_codes_are_exposed_to_the_visitors_of_each_day_and_sell_what_names_them(database: Database) -> None:
    with database.transaction() as session:
        owner = make_organisation(session)
        campaign = make_campaign(session, owner, live=False)
        tokens = [make_token(session, campaign, None) for _ in range(4)]
        kind = planning.HoldoutUnitKind.TOKEN
        units = stats.drawable(session, campaign, kind)
        assert set(units) == {one.id for one in tokens}
        planning.draw_holdout(session, campaign, kind, units, share=0.5, seed="7" * 32, now=NOON)
        planning.launch(session, campaign, planning.LaunchFacts(4, 4, 0, 0), now=NOON)
        held = planning.held_out_of(session, campaign.id)
        assert len(held) == 2
    scanned = scan_each(database, [one.id for one in tokens])
    with database.transaction() as session:
        clerk = Clerk(session, owner.id, now=LATER)
        for one in tokens:
            clerk.take(told(campaign, one.code, token=one.code, occurred_at=NOON + timedelta(hours=1)))
        clerk.take(told(campaign, "nowhere", occurred_at=NOON + timedelta(hours=1)))
        found = stats.money_of(session, campaign)
        assert found.returned is not None
        sides = (found.returned.exposed, found.returned.held_out)
        assert sum(one.exposures for one in sides) == scanned
        assert [(one.conversions, one.revenue_minor) for one in sides] == [(2, 1600), (2, 1600)]
        assert found.conversions == 3  # two of exposed codes, and one that names none
        assert (found.verdict, found.lack) == ("not_measured", "no_margin")


def scan_each(database: Database, token_ids: list[UUID]) -> int:
    """Each code scanned by so many visitors as its place in the list says; how many in all."""
    from campaigns import worker
    from campaigns.tokens import Token
    from tests.factories import make_entry, make_scan, write

    key = 0
    for number, token_id in enumerate(token_ids, 1):
        with database.snapshot() as session:
            entry = make_entry(session, session.get_one(Token, token_id))
        rows = []
        for _ in range(number):
            key += 1
            rows.append(make_scan(entry, at=NOON + timedelta(minutes=key), visitor_key=key))
        write(database, *rows, number=20 + number)
    while worker.drain(database, now=LATER).done:
        pass
    return key


def test_sales_count_within_the_periods_that_were_told_and_on_their_edges(session: Session) -> None:
    """Two periods that follow one another, a day of which nothing was told, and one more."""
    owner = make_organisation(session)
    campaign = make_campaign(session, owner, live=False)
    units = [make_place(session, owner, name=name).id for name in ("Bellecour", "Terreaux")]
    holdout = holdouts.draw(session, campaign, holdouts.HoldoutUnitKind.PLACE, units, number=1, seed="0" * 32, now=NOON)
    start = NOON.date()
    days = [start + timedelta(days=one) for one in range(7)]
    for since, until in ((days[1], days[2]), (days[3], days[3]), (days[5], days[5])):
        stats.set_exposures(session, campaign, holdout, since, until, dict.fromkeys(units, 100), now=NOON)
    key: dict[str, Any] = {"campaign_id": campaign.id, "token_id": ids.NIL, "phase": Phase.LIVE}
    for number, day in enumerate(days):
        for place_id in units:
            sums: dict[str, Any] = {"conversions": 10**number, "revenue_minor": 800, "squares": 800.0**2}
            session.add(ConversionTotal(**key, civil_day=day, place_id=place_id, **sums))
    session.flush()
    for side in arms_of(session, campaign, holdout):
        assert [(one.exposures, one.conversions) for one in side] == [(300, 101_110)]
