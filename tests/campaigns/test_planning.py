"""Campaigns: states, targets, flight and launch."""

from collections.abc import Callable
from datetime import datetime, timedelta
from itertools import product
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import planning
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import Event
from campaigns.ids import show
from campaigns.last_writes import write_last
from campaigns.planning import KPIS, Campaign, LaunchFacts, Objective, Pilot, State
from campaigns.planning.models import ALL_KPIS
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_organisation
from tests.racing import race
from tests.scene import colleague, open_pilot, set_scene

READY = LaunchFacts(tokens=1, tokens_without_place=0, places=1, missions=1)
MOVES: dict[str, Callable[[Session, Campaign], object]] = {
    "launch": lambda session, campaign: planning.launch(session, campaign, READY, now=NOON),
    "pause": lambda session, campaign: planning.pause(session, campaign, now=NOON),
    "resume": lambda session, campaign: planning.resume(session, campaign, now=NOON),
    "end": lambda session, campaign: planning.end(session, campaign, now=NOON),
}
ALLOWED = {
    ("draft", "launch"): "live",
    ("live", "pause"): "paused",
    ("live", "end"): "ended",
    ("paused", "resume"): "live",
    ("paused", "end"): "ended",
}


@pytest.mark.parametrize("state", ["draft", "live", "paused", "ended"])
def test_a_campaign_moves_along_its_states_only(session: Session, state: str) -> None:
    for move in MOVES:
        check_move(session, state, move)


def check_move(session: Session, state: str, move: str) -> None:
    campaign = make_campaign(session, make_organisation(session), live=False)
    campaign.state = state
    session.flush()
    if (state, move) in ALLOWED:
        MOVES[move](session, campaign)
        assert campaign.state == ALLOWED[state, move]
        assert session.info["announcements"][-1] == ("campaign", campaign.id)
        write_last(session)
        events = session.exec(select(Event).where(col(Event.name).startswith("campaign."))).all()
        assert [event.facts["campaign_id"] for event in events].count(campaign.id.hex) == 1
        return
    with pytest.raises(Conflict) as refusal:
        MOVES[move](session, campaign)
    assert refusal.value.code == "wrong_state"
    assert campaign.state == state


def test_of_racing_launches_one_succeeds(database: Database) -> None:
    with database.transaction() as session:
        organisation = make_organisation(session)
        campaign = make_campaign(session, organisation, live=False, external_id="verger")

    def launch(_: int) -> None:
        with database.transaction() as session:
            mine = planning.campaign_by_name(session, organisation.id, "ext_verger", lock=True)
            planning.launch(session, mine, READY, now=NOON)

    outcomes = race(6, launch)
    assert outcomes.count(None) == 1
    assert sum(isinstance(one, Conflict) for one in outcomes) == 5
    with database.snapshot() as session:
        launched = session.exec(select(Event).where(Event.name == "campaign.launched")).all()
        assert [event.facts for event in launched] == [{"campaign_id": campaign.id.hex}]


@pytest.mark.parametrize(
    ("state", "now", "expected"),
    [
        ("live", -1, "scheduled"),
        ("live", 0, "live"),
        ("live", 9.999, "live"),
        ("live", 10, "ended"),
        ("paused", -1, "paused"),
        ("paused", 5, "paused"),
        ("paused", 10, "ended"),
        ("draft", -1, "draft"),
        ("draft", 10, "draft"),
        ("ended", 5, "ended"),
    ],
)
def test_a_visitor_meets_the_state_of_the_flight(state: str, now: float, expected: str) -> None:
    campaign = Campaign(
        organisation_id=UUID(int=1),
        name="",
        objective="cause",
        state=state,
        starts_at=NOON,
        ends_at=NOON + timedelta(days=10),
        time_zone="Europe/Paris",
        languages=[],
        created_at=NOON,
        changed_at=NOON,
    )
    assert campaign.state_at(NOON + timedelta(days=now)) is State(expected)


def test_a_campaign_without_a_flight_is_as_it_is_stored() -> None:
    campaign = Campaign(
        organisation_id=UUID(int=1),
        name="",
        objective="cause",
        state="live",
        time_zone="Europe/Paris",
        languages=[],
        created_at=NOON,
        changed_at=NOON,
    )
    assert campaign.state_at(datetime.max.replace(tzinfo=NOON.tzinfo)) is State.LIVE


def test_an_objective_takes_its_own_kpis_and_no_other(session: Session) -> None:
    organisation = make_organisation(session)
    for objective, kpi in product(Objective, ALL_KPIS):
        value = 0.5 if kpi in ("bridge_rate", "return_rate") else 10.0
        if kpi in KPIS[objective]:
            campaign = make_campaign(session, organisation, live=False, objective=objective, targets={kpi: value})
            assert [(one.kpi, one.value) for one in planning.list_targets(session, campaign.id)] == [(kpi, value)]
            continue
        with pytest.raises(Invalid) as refusal:
            make_campaign(session, organisation, live=False, objective=objective, targets={kpi: value})
        assert refusal.value.context["kpis"] == list(KPIS[objective])


@pytest.mark.parametrize(
    "targets",
    [{}, {"likes": 1.0}, {"check_ins": 0.0}, {"check_ins": 1.5}, {"bridge_rate": 0.0}, {"bridge_rate": 1.1}],
)
def test_a_campaign_without_a_sound_target_is_refused(session: Session, targets: dict[str, float]) -> None:
    organisation = make_organisation(session)
    with pytest.raises(Invalid) as refusal:
        make_campaign(session, organisation, live=False, targets=targets)
    assert refusal.value.context["pointer"] == "/targets"


def test_targets_are_listed_in_the_order_they_were_named(session: Session) -> None:
    targets = {kpi: 0.5 if kpi.endswith("_rate") else 10.0 for kpi in reversed(ALL_KPIS)}
    campaign = make_campaign(session, make_organisation(session), live=False, targets=targets)
    assert [one.kpi for one in planning.list_targets(session, campaign.id)] == list(targets)


def test_a_drafts_targets_are_replaced_and_a_live_campaigns_are_locked(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session), live=False)
    planning.set_targets(session, campaign, {"ideas": 5.0}, now=NOON)
    assert [(one.kpi, one.locked_at) for one in planning.list_targets(session, campaign.id)] == [("ideas", None)]
    planning.launch(session, campaign, READY, now=NOON)
    for change in (
        lambda: planning.set_targets(session, campaign, {"ideas": 6.0}, now=NOON),
        lambda: planning.change_campaign(session, campaign, now=NOON, objective="sales"),
    ):
        with pytest.raises(Conflict) as refusal:
            change()
        assert refusal.value.code == "targets_locked"
    (target,) = planning.list_targets(session, campaign.id)
    assert (target.kpi, target.value, target.locked_at) == ("ideas", 5.0, NOON)
    planning.change_campaign(session, campaign, now=NOON, name="Le verger", objective="cause")
    assert campaign.name == "Le verger"


def test_a_campaign_whose_targets_do_not_fit_its_objective_is_not_launched(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session), live=False, targets={"ideas": 5.0})
    planning.change_campaign(session, campaign, now=NOON, objective="sales")
    with pytest.raises(Invalid) as refusal:
        planning.launch(session, campaign, READY, now=NOON)
    assert refusal.value.context["pointer"] == "/targets"
    assert campaign.state == "draft"
    planning.set_targets(session, campaign, {"check_ins": 5.0}, now=NOON)
    planning.launch(session, campaign, READY, now=NOON)


@pytest.mark.parametrize(
    ("facts", "fields", "warned"),
    [
        (READY, {"ends_at": NOON + timedelta(days=30)}, set()),
        (READY, {}, {"flight"}),
        (LaunchFacts(0, 0, 0, 0), {}, {"places", "tokens", "promise", "flight"}),
        (LaunchFacts(3, 2, 1, 1), {}, {"tokens_placed", "flight"}),
        (LaunchFacts(1, 0, 1, 0), {"destination": "https://example.org/"}, {"flight"}),
    ],
)
def test_launch_answers_with_what_is_missing(
    session: Session, facts: LaunchFacts, fields: dict[str, Any], warned: set[str]
) -> None:
    campaign = make_campaign(session, make_organisation(session), live=False, **fields)
    items = planning.launch(session, campaign, facts, now=NOON)
    assert {one.item for one in items if one.warning} == warned | {"legal_pages"}
    assert all((one.warning is None) == one.ok for one in items)
    assert campaign.launched_at == NOON


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"starts_at": NOON, "ends_at": NOON}, "/ends_at"),
        ({"budget_minor": 100}, "/budget_minor"),
        ({"currency": "EUR"}, "/budget_minor"),
        ({"time_zone": "Mars/Olympus"}, "/time_zone"),
    ],
)
def test_a_campaign_that_contradicts_itself_is_refused(session: Session, fields: dict[str, Any], pointer: str) -> None:
    organisation = make_organisation(session)
    with pytest.raises(Invalid) as refusal:
        make_campaign(session, organisation, live=False, **fields)
    assert refusal.value.context["pointer"] == pointer
    campaign = make_campaign(session, organisation, live=False)
    with pytest.raises(Invalid):
        planning.change_campaign(session, campaign, now=NOON, **fields)


def test_a_campaign_belongs_to_its_organisation(session: Session) -> None:
    ours, theirs = make_organisation(session), make_organisation(session)
    campaign = make_campaign(session, ours, external_id="verger")
    assert planning.campaign_by_name(session, ours.id, "ext_verger").id == campaign.id
    for name in ("ext_verger", show("cmp", campaign.id), "ext_", "cmp_x"):
        with pytest.raises(NotFound):
            planning.campaign_by_name(session, theirs.id, name)
    with pytest.raises(Conflict):
        make_campaign(session, ours, external_id="verger")


def test_verify_finds_a_pilot_that_counts_other_people_than_took_part(database: Database) -> None:
    scene = set_scene(database, live=False)
    open_pilot(scene)
    colleague(scene)
    assert scene.problems() == []
    with database.transaction() as session:
        pilot = planning.require_declared(session, scene.campaign.id)
        session.execute(update(Pilot).where(col(Pilot.id) == pilot.id).values(people=3))
    assert scene.problems() == [f"people of the pilot {pilot.id}: 3 stored, 1 counted"]
