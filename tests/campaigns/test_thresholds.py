"""Thresholds on both databases: an alert a crossing, whoever looks how often; and what can be watched."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from campaigns import ids, stats, worker
from campaigns.care.models import Case, CaseState
from campaigns.errors import CampaignError, Conflict, Invalid, NotFound
from campaigns.events import Event
from campaigns.identity import Organisation
from campaigns.planning import Campaign
from campaigns.scans.models import ScanRollup
from campaigns.scans.rollup_writing import COUNTED
from campaigns.stats import Comparison, RaisedAlert, thresholds
from campaigns.stats.watch import raise_alerts
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_place, make_token
from tests.racing import race
from tests.scene import INSIDE, Scene, set_scene

ABOVE, BELOW = Comparison.ABOVE, Comparison.BELOW
HOUR = timedelta(hours=1)


@pytest.fixture
def scene(database: Database) -> Scene:
    return set_scene(database, campaign={"targets": {"check_ins": 10.0}})


def watch(scene: Scene, watched: str, comparison: Comparison, value: float) -> stats.AlertThreshold:
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        return stats.set_threshold(session, campaign, watched=watched, comparison=comparison, value=value, now=NOON)


def raised(scene: Scene, **filters: Any) -> list[RaisedAlert]:
    with scene.database.snapshot() as session:
        found = stats.list_raised(session, scene.campaign.organisation_id, before=None, limit=50, **filters)
    return list(found)


def come(scene: Scene, number: int) -> None:
    row = scene.scan_and_confirm(visitor_key=number)
    scene.check_in(row, position=INSIDE)


def set_verdicts(scene: Scene, **verdicts: int) -> None:
    """The rollup of the campaign's day, as if so many scans had such verdicts."""
    fields: dict[str, Any] = dict.fromkeys((*COUNTED, "confirmed", "verified"), 0)
    with scene.database.transaction() as session:
        for row in session.exec(select(ScanRollup)):
            session.delete(row)
        session.flush()
        key: dict[str, Any] = {"dimension": "", "span": "day", "phase": "live", "value": "", "period": 20_740}
        key |= {"campaign_id": scene.campaign.id, "visitors": 0}
        session.add(ScanRollup(**key, **fields | verdicts))


def test_a_crossing_is_told_once_and_again_only_after_it_was_back(scene: Scene) -> None:
    watch(scene, "inflation", ABOVE, 2.0)
    steps = (
        (50, 0),  # 2.0 is not above 2.0
        (40, 1),  # 2.5 is
        (40, 1),
        (50, 1),  # back, but not by a twentieth
        (45, 1),
        (60, 1),  # 1.667: it is over
        (40, 2),
    )
    for step, (verified, number) in enumerate(steps):
        set_verdicts(scene, valid=100, confirmed=verified, verified=verified)
        raise_alerts(scene.database, now=NOON + step * HOUR)
        assert len(raised(scene)) == number, verified
    assert [one.over_at is None for one in raised(scene)] == [True, False]
    assert len(raised(scene, is_open=True)) == len(raised(scene, is_open=False)) == 1
    assert {one.found for one in raised(scene)} == {2.5}


def test_a_count_is_back_as_soon_as_it_is_not_crossed(scene: Scene) -> None:
    watch(scene, "check_ins", BELOW, 2)
    assert raise_alerts(scene.database, now=NOON) == 1
    for number in range(1, 3):
        come(scene, number)
        raise_alerts(scene.database, now=NOON + HOUR)
        assert (raised(scene)[0].over_at is None) == (number < 2)


def test_a_crossing_is_an_event_that_says_what_was_found_and_of_nobody(scene: Scene) -> None:
    watch(scene, "check_ins", ABOVE, 1)
    come(scene, 1)
    come(scene, 2)
    scene.drain()
    raise_alerts(scene.database, now=NOON)
    with scene.database.snapshot() as session:
        (event,) = session.exec(select(Event).where(Event.name == "alert.raised")).all()
    (alert,) = raised(scene)
    assert json.loads(event.payload) == {
        "alert_id": alert.id.hex,
        "organisation_id": scene.campaign.organisation_id.hex,
        "campaign_id": scene.campaign.id.hex,
        "watched": "check_ins",
        "comparison": "above",
        "threshold": 1.0,
        "found": 2,
    }
    while worker.drain(scene.database, now=NOON).done:
        pass
    assert scene.problems() == []


def test_two_workers_that_look_at_once_raise_one_alert(scene: Scene) -> None:
    watch(scene, "check_ins", BELOW, 5)
    with scene.database.snapshot() as session:
        looks = thresholds.look(session, now=NOON)

    def tell(_: int) -> int:
        with scene.database.transaction() as session:
            return thresholds.tell(session, looks, now=NOON)

    assert sorted(race(4, tell), key=str) == [0, 0, 0, 1]
    assert len(raised(scene)) == 1
    with scene.database.snapshot() as session:
        assert len(session.exec(select(Event).where(Event.name == "alert.raised")).all()) == 1


def test_what_was_read_before_a_threshold_went_raises_nothing(scene: Scene) -> None:
    """A worker has looked, and then the threshold is taken away: nothing is raised that nobody could ever end."""
    threshold = watch(scene, "check_ins", BELOW, 5)
    with scene.database.snapshot() as session:
        looks = thresholds.look(session, now=NOON)
    with scene.database.transaction() as session:
        stats.remove_threshold(session, session.get_one(Campaign, scene.campaign.id), threshold.id, now=NOON)
    with scene.database.transaction() as session:
        assert thresholds.tell(session, looks, now=NOON) == 0
    assert raised(scene) == []


def test_a_removed_threshold_leaves_what_it_raised_and_ends_it(scene: Scene) -> None:
    threshold = watch(scene, "check_ins", BELOW, 5)
    raise_alerts(scene.database, now=NOON)
    with scene.database.transaction() as session:
        stats.remove_threshold(session, session.get_one(Campaign, scene.campaign.id), threshold.id, now=NOON + HOUR)
    assert [one.over_at for one in raised(scene)] == [NOON + HOUR]
    assert raise_alerts(scene.database, now=NOON + 2 * HOUR) == 0
    with scene.database.transaction() as session, pytest.raises(NotFound):
        stats.remove_threshold(session, session.get_one(Campaign, scene.campaign.id), threshold.id, now=NOON)


def test_held_share_and_open_cases_are_watched(scene: Scene) -> None:
    watch(scene, "held_share", ABOVE, 0.1)
    watch(scene, "open_cases", ABOVE, 0)
    set_verdicts(scene, valid=80, held=20, bot=900)
    with scene.database.transaction() as session:
        session.add(make_case(scene))
    assert raise_alerts(scene.database, now=NOON) == 2
    assert {one.watched: one.found for one in raised(scene)} == {"held_share": 0.2, "open_cases": 1}
    with scene.database.transaction() as session:
        session.exec(select(Case)).one().state = CaseState.CLOSED
    raise_alerts(scene.database, now=NOON + HOUR)
    assert {one.watched for one in raised(scene, is_open=True)} == {"held_share"}


def make_case(scene: Scene) -> Case:
    return Case(
        organisation_id=scene.campaign.organisation_id,
        campaign_id=scene.campaign.id,
        kind="word",
        client_id="c-1",
        reference="R-1",
        language="fr",
        state=CaseState.RECEIVED,
        opened_at=NOON,
        due_at=NOON + 72 * HOUR,
    )


def test_the_code_that_is_silent_for_longest_is_watched(scene: Scene) -> None:
    def silence(now: Any) -> float | None:
        with scene.database.snapshot() as session:
            campaign = session.get_one(Campaign, scene.campaign.id)
            return thresholds.longest_silence_h(session, campaign, now=now)

    scene.scan(at=NOON + 5 * HOUR)
    scene.drain(now=NOON + 5 * HOUR)
    assert silence(NOON + 9 * HOUR) == 4
    scene.scan(at=NOON + 8 * HOUR, agent="Googlebot/2.1")
    scene.drain(now=NOON + 8 * HOUR)
    assert silence(NOON + 9 * HOUR) == 4, "a robot is nobody"
    with scene.database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        place = make_place(session, scene_owner(session, scene))
        make_token(session, campaign, place, now=NOON + 7 * HOUR)
        make_token(session, campaign, None, now=NOON)
    assert silence(NOON + 9 * HOUR) == 4
    scene.scan(at=NOON + 9 * HOUR)
    scene.drain(now=NOON + 9 * HOUR)
    assert silence(NOON + 9 * HOUR) == 2, "the new one since it was made"
    assert silence(NOON + 9000 * HOUR) == thresholds.LONGEST_SILENCE_H
    watch(scene, "silent_token_hours", ABOVE, 24)
    assert raise_alerts(scene.database, now=NOON + 30 * HOUR) == 0
    assert raise_alerts(scene.database, now=NOON + 32 * HOUR) == 1


def scene_owner(session: Session, scene: Scene) -> Organisation:
    return session.get_one(Organisation, scene.campaign.organisation_id)


def test_what_is_not_measured_crosses_nothing(scene: Scene) -> None:
    watch(scene, "inflation", ABOVE, 1.5)
    watch(scene, "held_share", ABOVE, 0.1)
    watch(scene, "conversions", BELOW, 100)
    watch(scene, "return_rate", BELOW, 0.5)
    assert raise_alerts(scene.database, now=NOON) == 0


def test_a_campaign_that_does_not_run_raises_nothing(database: Database) -> None:
    scene = set_scene(database, live=False, campaign={"targets": {"check_ins": 10.0}})
    watch(scene, "check_ins", BELOW, 5)
    assert raise_alerts(database, now=NOON) == 0


@pytest.mark.parametrize(
    ("watched", "comparison", "value", "pointer"),
    [
        ("likes", ABOVE, 1, "/watch"),
        ("held_share", ABOVE, 20, "/value"),
        ("held_share", ABOVE, 1, "/value"),
        ("held_share", BELOW, 0, "/value"),
        ("inflation", BELOW, 1, "/value"),
        ("inflation", ABOVE, 0.5, "/value"),
        ("bridge_rate", ABOVE, -0.1, "/value"),
        ("open_cases", ABOVE, 2.5, "/value"),
        ("open_cases", BELOW, 0, "/value"),
        ("check_ins", ABOVE, -1, "/value"),
        ("silent_token_hours", ABOVE, 721, "/value"),
        ("silent_token_hours", ABOVE, 720, "/value"),
    ],
)
def test_absurd_thresholds_are_refused(
    scene: Scene, watched: str, comparison: Comparison, value: float, pointer: str
) -> None:
    refused(Invalid, lambda: watch(scene, watched, comparison, value), pointer)


def test_the_same_threshold_twice_and_the_51st_are_refused(scene: Scene) -> None:
    watch(scene, "check_ins", ABOVE, 0)
    refused(Conflict, lambda: watch(scene, "check_ins", ABOVE, 0), None)
    for number in range(1, thresholds.MOST):
        watch(scene, "check_ins", ABOVE, number)
    refused(Conflict, lambda: watch(scene, "check_ins", ABOVE, 1000), None)


def test_a_threshold_fits_the_objective(database: Database) -> None:
    scene = set_scene(database)
    with database.transaction() as session:
        awareness = make_campaign(session, scene_owner(session, scene), objective="awareness")
        with pytest.raises(Invalid, match="verified_scans, unique_visitors"):
            stats.set_threshold(session, awareness, watched="votes", comparison=ABOVE, value=1, now=NOON)
        made = stats.set_threshold(session, awareness, watched="check_ins", comparison=ABOVE, value=1, now=NOON)
        with pytest.raises(NotFound):
            stats.remove_threshold(session, session.get_one(Campaign, scene.campaign.id), made.id, now=NOON)
    assert ids.show("alt", made.id).startswith("alt_")


def refused(kind: type[CampaignError], act: Callable[[], object], pointer: str | None) -> None:
    with pytest.raises(kind) as found:
        act()
    assert found.value.context.get("pointer") == pointer
