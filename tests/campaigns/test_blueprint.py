"""A whole campaign from one description, on both databases."""

import tomllib
from importlib import resources
from typing import Any

import pytest
from pydantic import ValidationError
from sqlmodel import Session, select

from campaigns import missions, planning, sponsorship, tokens
from campaigns.blueprint import Blueprint, Difference, apply
from campaigns.errors import CampaignError, Conflict, Invalid
from campaigns.identity import Organisation
from campaigns.places import Place
from campaigns.planning import Campaign, LaunchFacts
from campaigns.sponsorship import Pledge
from campaigns.storage import Database
from campaigns.tokens import Token
from tests.factories import NOON, make_organisation
from tests.scene import minutes

FILE: dict[str, Any] = {
    "external_id": "verger",
    "name": "Verger",
    "objective": "cause",
    "targets": [{"kpi": "check_ins", "value": 2000}, {"kpi": "ideas", "value": 50}],
    "places": [
        {"external_id": "bellecour", "name": "Bellecour", "lat": 45.7578, "lon": 4.8320},
        {"external_id": "part-dieu", "name": "Part-Dieu", "address": "17 rue du Docteur Bouchut, Lyon"},
    ],
    "mission": {
        "external_id": "orchard",
        "title": {"fr": "Un verger", "en": "An orchard"},
        "promise": "A tree for each hundred visits",
        "goal": {"metric": "check_ins", "value": 2000},
        "steps": [{"kind": "scan", "min_presence": 1, "repeat": "daily"}, {"kind": "idea", "title": "Say it"}],
    },
    "tokens": [{"media": ["qr", "nfc"], "label": "Window"}],
}


def plan(**changes: Any) -> Blueprint:
    return Blueprint.model_validate(FILE | changes)


class Town:
    """An organisation and the geocoder of its town, which notes what it was asked."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.asked: list[str] = []
        with database.transaction() as session:
            self.organisation: Organisation = make_organisation(session)

    def geocode(self, address: str) -> tuple[float, float]:
        self.asked.append(address)
        return 45.7605, 4.8593

    def apply(self, blueprint: Blueprint, *, minute: int = 0) -> Difference:
        with self.database.transaction() as session:
            return apply(session, self.organisation.id, blueprint, geocode=self.geocode, now=minutes(minute))

    def stored(self) -> list[Any]:
        with self.database.snapshot() as session:
            kinds: tuple[Any, ...] = (
                Place,
                Campaign,
                Token,
                missions.Mission,
                missions.Step,
                planning.Target,
            )
            return [sorted(map(repr, session.exec(select(kind)).all())) for kind in kinds]


def test_a_file_makes_places_campaign_mission_and_tokens(database: Database) -> None:
    town = Town(database)
    difference = town.apply(plan())
    assert difference.created == [
        "place bellecour",
        "place part-dieu",
        "campaign verger",
        "mission orchard",
        "token bellecour-qr",
        "token bellecour-nfc",
        "token part-dieu-qr",
        "token part-dieu-nfc",
    ]
    assert (difference.changed, difference.unchanged, town.asked) == ([], 0, ["17 rue du Docteur Bouchut, Lyon"])
    with database.snapshot() as session:
        (mission,) = session.exec(select(missions.Mission)).all()
        assert (mission.title, mission.promise) == (FILE["mission"]["title"], {"": FILE["mission"]["promise"]})
        assert [step.kind for step in missions.steps_of(session, mission.id)] == ["scan", "idea"]
        assert tokens.launch_facts(session, mission.campaign_id, missions=1) == LaunchFacts(4, 0, 2, 1)


def test_applying_a_file_twice_changes_nothing(database: Database) -> None:
    town = Town(database)
    first = town.apply(plan())
    before = town.stored()
    again = town.apply(plan(), minute=5)
    assert (again.created, again.changed, again.unchanged) == ([], [], 8)
    assert again.campaign_id == first.campaign_id
    assert town.stored() == before
    assert len(town.asked) == 1  # an address that did not change is not looked up again


@pytest.mark.parametrize(
    ("changes", "shown"),
    [
        ({"name": "Le verger"}, ["campaign verger: name"]),
        ({"targets": [{"kpi": "ideas", "value": 60}]}, ["campaign verger: targets"]),
        (
            {"objective": "sales", "targets": [{"kpi": "conversions", "value": 60}]},
            ["campaign verger: objective, targets"],
        ),
        (
            {"places": [FILE["places"][0] | {"radius_m": 50, "name": "Place Bellecour"}, FILE["places"][1]]},
            ["place bellecour: name, radius_m"],
        ),
        ({"mission": FILE["mission"] | {"goal": {"metric": "check_ins", "value": 9}}}, ["mission orchard: goal_value"]),
        ({"mission": FILE["mission"] | {"steps": [{"kind": "scan"}]}}, ["mission orchard: steps"]),
        (
            {"tokens": [{"media": ["qr"], "label": "Door"}]},
            ["token bellecour-qr: label", "token part-dieu-qr: label"],
        ),
    ],
)
def test_an_edited_file_changes_what_was_edited_and_says_so(
    database: Database, changes: dict[str, Any], shown: list[str]
) -> None:
    town = Town(database)
    town.apply(plan())
    difference = town.apply(plan(**changes), minute=5)
    assert (difference.created, difference.changed) == ([], shown)
    assert town.apply(plan(**changes), minute=6).changed == []


def test_targets_are_locked_after_the_launch(database: Database) -> None:
    town = Town(database)
    made = town.apply(plan())
    with database.transaction() as session:
        campaign = session.get_one(Campaign, made.campaign_id)
        planning.launch(session, campaign, LaunchFacts(4, 0, 2, 1), now=NOON)
    before = town.stored()
    assert town.apply(plan(), minute=5).changed == []
    for changes in ({"targets": [{"kpi": "ideas", "value": 60}]}, {"objective": "image"}):
        with pytest.raises(Conflict) as refusal:
            town.apply(plan(name="Le verger", **changes))
        assert refusal.value.code == "targets_locked"
    assert town.stored() == before


def test_a_dry_run_shows_the_difference_and_leaves_nothing(database: Database) -> None:
    town = Town(database)
    with database.engine.connect() as connection, connection.begin() as transaction:
        with Session(connection) as session:
            shown = apply(session, town.organisation.id, plan(), geocode=town.geocode, now=NOON)
        transaction.rollback()
    assert len(shown.created) == 8
    assert town.stored() == [[]] * 6


@pytest.mark.parametrize(
    "changes",
    [
        {"tokens": [{"places": ["elsewhere"]}]},
        {"destination": "javascript:alert(1)"},
        {"mission": FILE["mission"] | {"steps": [{"kind": "idea", "mode": "offline"}]}},
        {"targets": [{"kpi": "likes", "value": 1}]},
        {"places": [FILE["places"][0] | {"lat": 91}]},
        {"time_zone": "Europe/Lyon"},
    ],
)
def test_a_refused_file_leaves_nothing(database: Database, changes: dict[str, Any]) -> None:
    town = Town(database)
    with pytest.raises(CampaignError) as refusal:
        town.apply(plan(**changes))
    assert isinstance(refusal.value, Invalid)
    assert town.stored() == [[]] * 6


def test_a_place_with_an_address_only_needs_a_geocoder(database: Database) -> None:
    town = Town(database)
    with database.transaction() as session, pytest.raises(Invalid, match="no geocoder"):
        apply(session, town.organisation.id, plan(), geocode=None, now=NOON)


@pytest.mark.parametrize(
    "changes",
    [
        {"targets": []},
        {"colour": "green"},
        {"objective": "fame"},
        {"starts_at": "2026-10-14T10:00:00"},
        {"places": [FILE["places"][0]] * 2},
        {"places": [FILE["places"][0] | {"lat": float("nan")}]},
        {"languages": ["de"]},
        {"external_id": ""},
    ],
)
def test_a_file_that_is_not_one_is_refused_before_anything_is_written(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        plan(**changes)


@pytest.mark.parametrize("name", ["neighbourhood", "trail", "employees"])
def test_a_template_is_applied_as_it_is_and_twice_is_once(database: Database, name: str) -> None:
    file = tomllib.loads((resources.files("campaigns") / "templates" / f"{name}.toml").read_text(encoding="utf-8"))
    template = Blueprint.model_validate(file)
    town = Town(database)
    first = town.apply(template)
    assert (first.changed, first.unchanged) == ([], 0)
    again = town.apply(template, minute=1)
    assert (again.created, again.changed) == ([], [])
    with database.snapshot() as session:
        (campaign,) = session.exec(select(Campaign)).all()
        mission = missions.mission_of(session, campaign.id)
        assert mission is not None
        steps = missions.steps_of(session, mission.id)
    assert [step.kind for step in steps] == [step["kind"] for step in file["mission"]["steps"]]
    assert all(step.points and step.title for step in steps)


def test_a_file_names_places_of_a_step_by_their_external_ids(database: Database) -> None:
    town = Town(database)
    step = {"kind": "trail", "params": {"places": ["part-dieu", "bellecour"]}}
    town.apply(plan(mission=FILE["mission"] | {"steps": [step]}))
    with database.snapshot() as session:
        names = {place.id: place.external_id for place in session.exec(select(Place))}
        (trail,) = session.exec(select(missions.Step)).all()
        assert [names[id] for id in trail.places] == ["part-dieu", "bellecour"]
    step["params"] = {"places": ["bellecour", "nowhere"]}
    with pytest.raises(Invalid) as refused:
        town.apply(plan(mission=FILE["mission"] | {"steps": [step]}), minute=1)
    assert refused.value.context["pointer"] == "/mission/steps/0/params/places/1"


MONEY: dict[str, Any] = {
    "sponsors": [{"external_id": "bank", "name": "Banque du Rhône"}],
    "beneficiaries": [
        {"external_id": "school", "name": "École", "legal_id": "W1"},
        {"external_id": "choir", "name": "Chorale", "legal_id": "W2"},
    ],
}
PLEDGE: dict[str, Any] = {
    "external_id": "visits",
    "sponsor": "bank",
    "beneficiaries": ["school", "choir"],
    "kind": "per_act",
    "unit_minor": 10,
    "currency": "EUR",
    "cap_minor": 500_000,
    "ends_at": "2026-12-01T00:00:00Z",
    "step": 1,
}
MATCH: dict[str, Any] = {
    "external_id": "match",
    "sponsor": "bank",
    "beneficiaries": ["school"],
    "kind": "match",
    "currency": "EUR",
    "cap_minor": 1000,
    "matches": "visits",
    "match_percent": 50,
}


def with_pledges(*pledges: dict[str, Any], **mission: Any) -> Blueprint:
    return plan(**MONEY, mission=FILE["mission"] | mission | {"pledges": list(pledges)})


def pledges_of(session: Session) -> dict[str, Pledge]:
    return {str(one.external_id): one for one in session.exec(select(Pledge)).all()}


def test_a_file_makes_sponsors_causes_and_pledges_once(database: Database) -> None:
    town = Town(database)
    made = town.apply(with_pledges(PLEDGE, MATCH))
    new = ["sponsor bank", "beneficiary school", "beneficiary choir", "pledge visits", "pledge match"]
    assert [one for one in made.created if one in new] == new
    again = town.apply(with_pledges(PLEDGE, MATCH), minute=5)
    assert (again.created, again.changed) == ([], [])
    edited = town.apply(with_pledges(PLEDGE | {"unit_minor": 40, "beneficiaries": ["choir"]}, MATCH), minute=6)
    assert edited.changed == ["pledge visits: beneficiary_ids, unit_minor"]
    with database.snapshot() as session:
        found = pledges_of(session)
        assert (found["visits"].unit_minor, found["match"].unit_minor) == (40, 20)
        assert found["match"].matches_id == found["visits"].id
        assert [one.name for one in sponsorship.causes_of(session, found["visits"].id)] == ["Chorale"]


def test_a_file_changes_no_signed_pledge(database: Database) -> None:
    town = Town(database)
    town.apply(with_pledges(PLEDGE))
    with database.transaction() as session:
        found = pledges_of(session)["visits"]
        _, secret = sponsorship.issue_signature_link(session, found, now=NOON)
        hash = sponsorship.terms_hash_of(session, found, organisation_name=town.organisation.name)
        sponsorship.sign(session, secret, name="Jeanne", terms_hash=hash, now=NOON)
    again = town.apply(with_pledges(PLEDGE), minute=5)
    assert (again.created, again.changed) == ([], [])
    before = town.stored()
    for changed in (
        with_pledges(PLEDGE | {"cap_minor": 400_000}, goal={"metric": "check_ins", "value": 9}),
        with_pledges(PLEDGE, steps=[{"kind": "scan"}]),
        plan(**MONEY | {"sponsors": [{"external_id": "bank", "name": "Another"}]}),
    ):
        with pytest.raises(Conflict) as refusal:
            town.apply(changed, minute=6)
        assert refusal.value.code in ("terms_frozen", "rules_frozen")
        assert town.stored() == before


@pytest.mark.parametrize(
    "wrong",
    [
        {"sponsor": "nobody"},
        {"beneficiaries": ["nobody"]},
        {"step": 3},
        {"matches": "later", "kind": "match", "unit_minor": None, "step": None, "match_percent": 50},
        {"cap_minor": 9, "last_slice": "keep_remainder"},
        {"currency": "EUX"},
    ],
)
def test_a_file_promises_nothing_that_cannot_be(database: Database, wrong: dict[str, Any]) -> None:
    town = Town(database)
    with pytest.raises(Invalid):
        town.apply(with_pledges(PLEDGE | wrong))
    assert town.stored() == [[], [], [], [], [], []]


@pytest.mark.parametrize("amount", [0, -1, 10.0, 1e3, "10", True, 2**53])
def test_an_amount_in_a_file_is_a_whole_number(amount: Any) -> None:
    with pytest.raises(ValidationError):
        with_pledges(PLEDGE | {"unit_minor": amount})
