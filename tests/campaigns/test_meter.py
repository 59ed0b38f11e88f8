"""The public meter: what the balances say, on both databases."""

from dataclasses import replace

import pytest
from sqlmodel import Session

from api.pages.money_views import LEAST, _bars
from campaigns.participants.merging import REASON
from campaigns.sponsorship import ledger, meter
from campaigns.sponsorship.meter import Sums
from tests.factories import make_campaign, make_mission, make_organisation
from tests.treasury import Purse, accrue, make_purse, pay, release, take_back


@pytest.fixture
def purse(session: Session) -> Purse:
    return make_purse(session, make_mission(session, make_campaign(session, make_organisation(session))))


def sums(session: Session, purse: Purse) -> Sums:
    (one,) = meter.meters_of(session, purse.mission.id)
    return one.sums


def test_the_sums_are_the_balances_of_the_ledger(session: Session, purse: Purse) -> None:
    acts = [accrue(session, purse, amount) for amount in (10, 20, 30, 40)]
    release(session, purse, acts[:3])
    pay(session, purse, acts[:2], fee=1)
    found = sums(session, purse)
    assert found == Sums("EUR", 100_000, 60, 40, 29, 1)
    balances = ledger.balances(session, purse.pledge.id)
    assert found.unlocked_minor + found.pending_minor == -balances["commitment"]


def test_what_was_taken_back_is_told_once_an_act(session: Session, purse: Purse) -> None:
    voided, reversed_ = accrue(session, purse, 10), accrue(session, purse, 20)
    release(session, purse, [reversed_])
    for one in (voided, reversed_):
        take_back(session, purse, one)
    found = sums(session, purse)
    assert found == Sums("EUR", 100_000, undone_minor=30, undone_acts=2)


def test_what_two_names_of_one_person_had_too_much_was_not_void(session: Session, purse: Purse) -> None:
    one = accrue(session, purse, 10)
    take_back(session, purse, one)
    one.reason = REASON
    session.add(one)
    session.flush()
    assert sums(session, purse) == Sums("EUR", 100_000)


def test_sums_of_one_currency_add_up_and_things_do_not(session: Session, purse: Purse) -> None:
    further = [
        make_purse(session, purse.mission, cap_minor=500),
        make_purse(session, purse.mission, currency="JPY", cap_minor=70),
        make_purse(session, purse.mission, currency="XXX", unit_label={"en": "trees"}),
        make_purse(session, purse.mission, state="signed", active_at=None),
    ]
    for one in (purse, *further):
        release(session, one, [accrue(session, one, 10)])
    found = meter.meters_of(session, purse.mission.id)
    assert len(found) == 4
    euros = replace(Sums("EUR"), cap_minor=100_500, unlocked_minor=20)
    assert meter.in_all(found) == [euros, Sums("JPY", 70, 10)]
    assert {one.beneficiaries[0] for one in found} == {"Les amis du verger"}


def test_a_bar_shows_each_part_and_never_leaves_its_frame() -> None:
    assert _bars((0, 0, 0), 100) == [(0.0, 0.0)] * 3
    assert _bars((100, 0, 0), 100) == [(0.0, 316.0), (316.0, 0.0), (316.0, 0.0)]
    tiny = _bars((1, 1, 1), 2**53 - 1)
    assert [width for _, width in tiny] == [LEAST] * 3
    for parts in ((99_998, 1, 1), (1, 99_998, 1), (33_333, 33_333, 33_334)):
        assert sum(width for _, width in _bars(parts, 100_000)) <= 316.1
