"""Shares of a campaign with many people are counted once a minute, anew where an act came or went, and say when."""

from datetime import datetime, timedelta

import pytest
from sqlmodel import select

from campaigns import stats
from campaigns.stats import whole
from campaigns.stats.kept import WholeFigures
from campaigns.stats.watch import keep_shares
from campaigns.stats.whole import Whole
from campaigns.storage import Database
from tests.campaigns.test_marks import come_daily
from tests.campaigns.test_reversal import void
from tests.factories import NOON
from tests.scene import Scene, set_scene

LATER = NOON + timedelta(hours=2)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def scene(database: Database, monkeypatch: pytest.MonkeyPatch) -> Scene:
    monkeypatch.setattr(whole, "MANY", 3)
    return set_scene(database)


def shares(scene: Scene, now: datetime) -> Whole:
    with scene.database.moment() as session:
        return stats.whole_of(session, scene.campaign.id, now=now)


def counted_at(scene: Scene) -> datetime:
    with scene.database.snapshot() as session:
        return session.exec(select(WholeFigures.counted_at)).one()


def test_of_few_they_are_counted_at_once(scene: Scene) -> None:
    one, _ = come_daily(scene, people=2, days=1)
    keep_shares(scene.database, now=LATER)
    scene.post_idea(one.name, now=LATER)
    assert shares(scene, LATER) == (0.5, None, None)


def test_of_many_they_are_those_of_the_last_minute(scene: Scene) -> None:
    one, other, *_ = come_daily(scene, people=4, days=1)
    scene.post_idea(one.name, now=LATER)
    keep_shares(scene.database, now=LATER)
    scene.post_idea(other.name, now=LATER)
    assert shares(scene, LATER + MINUTE) == (0.25, None, LATER)  # four people are too few for the team's share
    keep_shares(scene.database, now=LATER + MINUTE)
    assert shares(scene, LATER + MINUTE).bridge_rate == 0.5
    assert shares(scene, LATER + MINUTE).as_of == LATER + MINUTE


def test_a_void_is_counted_anew_and_nothing_is_where_nothing_happened(scene: Scene) -> None:
    one, other, *_ = come_daily(scene, people=4, days=1)
    scene.post_idea(one.name, now=LATER)
    keep_shares(scene.database, now=LATER)
    keep_shares(scene.database, now=LATER + MINUTE)
    assert (counted_at(scene), shares(scene, LATER + MINUTE).as_of) == (LATER, LATER + MINUTE)
    void(scene, other.scan_ids[0], now=LATER + MINUTE)
    keep_shares(scene.database, now=LATER + 2 * MINUTE)
    assert counted_at(scene) == LATER + 2 * MINUTE
    assert shares(scene, LATER + 2 * MINUTE).bridge_rate == round(1 / 3, 4)
    keep_shares(scene.database, now=LATER + 63 * MINUTE)
    assert counted_at(scene) == LATER + 63 * MINUTE  # once an hour, whatever is told


def test_what_nobody_kept_for_five_minutes_is_not_believed(scene: Scene) -> None:
    one, *_ = come_daily(scene, people=4, days=1)
    keep_shares(scene.database, now=LATER)
    scene.post_idea(one.name, now=LATER)
    assert shares(scene, LATER + 4 * MINUTE)[::2] == (0.0, LATER)
    assert shares(scene, LATER + 5 * MINUTE)[::2] == (0.25, None)


def test_a_campaign_that_has_fewer_again_is_counted_at_once(scene: Scene) -> None:
    everybody = come_daily(scene, people=3, days=1)
    keep_shares(scene.database, now=LATER)
    void(scene, everybody[0].scan_ids[0], now=LATER)
    keep_shares(scene.database, now=LATER + MINUTE)
    assert shares(scene, LATER + 6 * MINUTE).as_of is None


def test_the_team_and_the_public_are_told_when_there_are_enough(scene: Scene) -> None:
    come_daily(scene, people=5, days=1)
    keep_shares(scene.database, now=LATER)
    assert shares(scene, LATER) == (0.0, 0.0, LATER)
