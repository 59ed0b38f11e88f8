"""Legal texts: made from the data, kept as versions that only grow, recorded with the acts they governed."""

import re
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError
from sqlalchemy import delete, event, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session, col, select

from api.rules_in_force import RulesInForce
from campaigns import identity, legal, missions, planning
from campaigns.community import Idea
from campaigns.errors import NotFound
from campaigns.identity import LegalData, Organisation
from campaigns.identity.legal_data import NEEDED
from campaigns.ids import uuid7
from campaigns.legal import Document, LegalVersion
from campaigns.legal.service import text_of
from campaigns.missions import Membership, Mission, Repeat, StepKind, StepPlan
from campaigns.planning import Campaign
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_mission, make_organisation
from tests.racing import race
from tests.scene import set_scene

COMPLETE: dict[str, Any] = {
    "legal_name": "La Halle SAS",
    "legal_form": "SAS au capital de 10 000 €",
    "address": "12 place Bellecour\n69002 Lyon",
    "registration": "RCS Lyon 123 456 789",
    "publication_director": "Ada Martin",
    "contact_email": "bonjour@lahalle.example",
    "contact_phone": "+33 4 00 00 00 00",
    "privacy_contact": "donnees@lahalle.example",
    "hosting": {"name": "Hôte SA", "address": "1 quai du Port, 69009 Lyon", "phone": "04 00 00 00 01"},
    "mandatory_notice": {"fr": "Mangez bouger.", "en": "Eat and move."},
}
DOCUMENTS = tuple(Document)


def describe(session: Session, organisation: Organisation, **fields: Any) -> Organisation:
    return identity.describe(session, organisation, now=NOON, **LegalData(**fields).stored())


def words_in(text: Any) -> Iterator[str]:
    """Every text of a stored document."""
    if isinstance(text, str):
        yield text
    else:
        for one in text.values() if isinstance(text, dict) else text:
            yield from words_in(one)


def all_words(session: Session, document: Document, mission: Mission, language: str) -> str:
    organisation = identity.organisation_by_id(session, mission.organisation_id)
    return "\n".join(words_in(text_of(session, document, organisation, mission)[language]))


def test_a_document_is_a_new_version_only_when_its_text_changed(session: Session) -> None:
    ours = make_organisation(session)
    mission = make_mission(session, make_campaign(session, ours))
    for document in DOCUMENTS:
        of = mission if document is Document.RULES else None
        assert legal.find_in_force(session, document, ours, of) is None
        first = legal.version_in_force(session, document, ours, of, now=NOON)
        again = legal.version_in_force(session, document, ours, of, now=NOON + timedelta(days=1))
        found = legal.find_in_force(session, document, ours, of)
        assert found is not None
        assert (first.number, first.id) == (1, again.id) == (1, found.id)
    describe(session, ours, legal_name="La Halle SAS")
    later = NOON + timedelta(days=2)
    for document in DOCUMENTS:
        of = mission if document is Document.RULES else None
        assert legal.find_in_force(session, document, ours, of) is None
        second = legal.version_in_force(session, document, ours, of, now=later)
        assert (second.number, second.in_force_from) == (2, later)
        assert [one.number for one in legal.history(session, document, ours.id, of)] == [2, 1]
        assert "La Halle SAS" not in str(legal.version_by_number(session, document, ours.id, of, number=1).text)


@pytest.mark.parametrize("change", ["promise", "steps", "dates", "launch"])
def test_rules_change_with_the_mission_and_its_campaign(session: Session, change: str) -> None:
    ours = make_organisation(session)
    campaign = make_campaign(session, ours, live=change != "launch")
    mission = make_mission(session, campaign)
    first = legal.version_in_force(session, Document.RULES, ours, mission, now=NOON)
    acts: dict[str, Callable[[], Any]] = {
        "promise": lambda: missions.change_mission(session, mission, now=NOON, promise={"": "Two trees"}),
        "steps": lambda: missions.set_steps(session, mission, [StepPlan(StepKind.SCAN, 2)], now=NOON),
        "dates": lambda: planning.change_campaign(session, campaign, now=NOON, ends_at=NOON + timedelta(days=9)),
        "launch": lambda: planning.launch(session, campaign, planning.LaunchFacts(1, 0, 1, 1), now=NOON),
    }
    acts[change]()
    assert legal.version_in_force(session, Document.RULES, ours, mission, now=NOON).number == first.number + 1


def test_a_version_is_never_changed_nor_deleted(database: Database) -> None:
    with database.transaction() as session:
        version = legal.version_in_force(session, Document.LEGAL, make_organisation(session), now=NOON)
    for statement in (
        update(LegalVersion).values(digest="x"),
        update(LegalVersion).values(in_force_from=NOON - timedelta(days=1)),
        delete(LegalVersion),
    ):
        with pytest.raises(DBAPIError, match="only grows"), database.transaction() as session:
            session.execute(statement)
    with database.snapshot() as session:
        assert session.get_one(LegalVersion, version.id).digest == version.digest


def test_of_racing_threads_one_writes_the_version(database: Database) -> None:
    with database.transaction() as session:
        ours = make_organisation(session)
        mission = make_mission(session, make_campaign(session, ours))

    def act(number: int) -> tuple[UUID, int]:
        document = (Document.LEGAL, Document.RULES)[number % 2]
        with database.transaction() as session:
            organisation = session.get_one(Organisation, ours.id)
            of = session.get_one(Mission, mission.id) if document is Document.RULES else None
            version = legal.version_in_force(session, document, organisation, of, now=NOON)
            return version.id, version.number

    for round in (1, 2):
        outcomes = race(8, act)
        assert len(set(outcomes)) == 2, outcomes
        assert {one[1] for one in outcomes if isinstance(one, tuple)} == {round}
        with database.transaction() as session:
            describe(session, session.get_one(Organisation, ours.id), legal_name=f"La Halle {round}")
    with database.snapshot() as session:
        assert len(session.exec(select(LegalVersion)).all()) == 4


def test_a_version_belongs_to_its_organisation_and_mission(session: Session) -> None:
    ours, theirs = make_organisation(session), make_organisation(session, name="Autre Maison")
    mission, other = (make_mission(session, make_campaign(session, one)) for one in (ours, theirs))
    legal.version_in_force(session, Document.LEGAL, ours, now=NOON)
    legal.version_in_force(session, Document.RULES, ours, mission, now=NOON)
    for document, owner, of, number in (
        (Document.LEGAL, theirs, None, 1),
        (Document.LEGAL, ours, None, 2),
        (Document.PRIVACY, ours, None, 1),
        (Document.RULES, theirs, other, 1),
        (Document.RULES, theirs, mission, 1),
        (Document.RULES, ours, None, 1),
    ):
        with pytest.raises(NotFound):
            legal.version_by_number(session, document, owner.id, of, number=number)


def test_what_is_missing_is_said_and_breaks_nothing(session: Session) -> None:
    mission = make_mission(session, make_campaign(session, make_organisation(session)))
    for document, said in ((Document.LEGAL, 8), (Document.PRIVACY, 2), (Document.RULES, 2)):
        for language, words in (("fr", r"(?i)pas encore indiquée?"), ("en", r"(?i)not given yet")):
            text = all_words(session, document, mission, language)
            assert len(re.findall(words, text)) >= said, (document, language)
            assert "None" not in text


def test_what_was_given_stands_in_the_texts_of_both_languages(session: Session) -> None:
    ours = make_organisation(session)
    mission = make_mission(session, make_campaign(session, ours, ends_at=NOON + timedelta(days=40)))
    assert ours.missing_legal_data == list(NEEDED)
    describe(session, ours, **COMPLETE)
    assert ours.missing_legal_data == []
    for language in ("fr", "en"):
        text = {one: all_words(session, one, mission, language) for one in DOCUMENTS}
        assert not re.search(r"(?i)pas encore indiqu|not given yet", "".join(text.values()))
        for value in ("La Halle SAS", "12 place Bellecour, 69002 Lyon", "RCS Lyon 123 456 789", "Ada Martin"):
            assert value in text[Document.LEGAL]
        for value in ("Hôte SA", "1 quai du Port", "04 00 00 00 01", "bonjour@lahalle.example", "+33 4 00 00 00 00"):
            assert value in text[Document.LEGAL]
        for value in ("La Halle SAS", "Hôte SA", "donnees@lahalle.example", "CNIL", "72", "48", "13", "25", "90", "10"):
            assert value in text[Document.PRIVACY]
        assert f"passerelle_p_{ours.id.hex[-12:]}" in text[Document.PRIVACY]
        for value in ("A tree for each hundred visits", "23 novem", "bonjour@lahalle.example", "15", "2026"):
            assert value in text[Document.RULES].replace("November", "novem")


def test_a_host_without_an_address_is_named_as_missing(session: Session) -> None:
    ours = describe(session, make_organisation(session), **{**COMPLETE, "hosting": {"name": "Hôte SA"}})
    assert ours.missing_legal_data == ["hosting.address"]


def test_the_two_languages_have_the_same_sections(session: Session) -> None:
    ours = describe(session, make_organisation(session), **COMPLETE)
    mission = make_mission(session, make_campaign(session, ours))
    for document in DOCUMENTS:
        text = text_of(session, document, ours, mission)
        shapes = [
            [[len(part) if isinstance(part, list) else 0 for part in one["body"]] for one in text[language]["sections"]]
            for language in ("fr", "en")
        ]
        assert shapes[0] == shapes[1]


def test_french_punctuation_has_its_no_break_spaces(session: Session) -> None:
    mission = make_mission(session, make_campaign(session, make_organisation(session)))
    for document in DOCUMENTS:
        text = all_words(session, document, mission, "fr")
        assert not re.search(r"[^\u00a0][;!?»]|«[^\u00a0]|[^\u00a0]:(?!\d)", text)
        assert "'" not in text


def test_every_step_says_the_presence_it_asks_for(session: Session) -> None:
    steps = [StepPlan(StepKind.SCAN, level, Repeat.WEEKLY) for level in range(4)]
    mission = make_mission(session, make_campaign(session, make_organisation(session)), steps=steps)
    ours = identity.organisation_by_id(session, mission.organisation_id)
    for language in ("fr", "en"):
        sections = text_of(session, Document.RULES, ours, mission)[language]["sections"]
        points = sections[2]["body"][1]
        assert len(set(points)) == 4


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("legal_name", ""),
        ("legal_name", "x" * 201),
        ("address", "x" * 501),
        ("contact_email", "nobody"),
        ("contact_email", "a@b@c.example"),
        ("contact_email", "<b>@x.example"),
        ("contact_phone", "call me"),
        ("privacy_contact", ""),
        ("hosting", {}),
        ("hosting", {"name": "H", "colour": "blue"}),
        ("mandatory_notice", ""),
        ("mandatory_notice", "x" * 301),
        ("mandatory_notice", {}),
        ("mandatory_notice", {"de": "Gesund"}),
        ("mandatory_notice", {"fr": ""}),
        ("slogan", "Bon"),
    ],
)
def test_legal_data_out_of_bounds_is_refused(field: str, value: Any) -> None:
    with pytest.raises(ValidationError):
        LegalData(**{field: value})


def test_an_act_records_the_rules_in_force_at_it(database: Database) -> None:
    scene = set_scene(database)
    shelf = RulesInForce()
    database.listen(shelf.hear)
    first = shelf.version_id(database, scene.mission, now=NOON)
    done = scene.check_in(scene.scan(), rules_version_id=first)
    with database.transaction() as session:
        missions.change_mission(session, session.get_one(Mission, scene.mission.id), now=NOON, promise={"": "Two"})
    second = shelf.version_id(database, scene.mission, now=NOON)
    assert second != first
    idea = scene.post_idea(done.person, rules_version_id=second)
    replay = scene.check_in(scene.scan(), cookie=done.secret)
    assert (done.check_in.rules_version_id, replay.check_in.rules_version_id) == (first, None)
    with database.snapshot() as session:
        assert session.get_one(Idea, idea.idea.id).rules_version_id == second
        member = session.exec(select(Membership).where(Membership.participant_id == done.person.id)).one()
        assert member.rules_version_id == first


def test_known_rules_cost_no_query_and_a_change_is_heard(database: Database) -> None:
    scene = set_scene(database)
    shelf = RulesInForce()
    database.listen(shelf.hear)
    first = shelf.version_id(database, scene.mission, now=NOON)
    closed = Database("sqlite:////nowhere/passerelle.db")  # any query would fail
    assert shelf.version_id(closed, scene.mission, now=NOON) == first
    database.tell("campaign", uuid7())
    assert shelf.version_id(closed, scene.mission, now=NOON) == first
    with database.transaction() as session:
        describe(session, session.get_one(Organisation, scene.campaign.organisation_id), legal_name="La Halle SAS")
    assert shelf.version_id(database, scene.mission, now=NOON) != first


def test_new_steps_are_heard(database: Database) -> None:
    scene = set_scene(database)
    shelf = RulesInForce()
    database.listen(shelf.hear)
    first = shelf.version_id(database, scene.mission, now=NOON)
    with database.transaction() as session:
        missions.set_steps(session, session.get_one(Mission, scene.mission.id), [StepPlan(StepKind.SCAN, 2)], now=NOON)
    assert shelf.version_id(database, scene.mission, now=NOON) != first


def test_a_look_up_that_a_change_overtook_is_not_kept(database: Database) -> None:
    scene = set_scene(database)
    shelf = RulesInForce()

    def overtake(*_: object) -> None:
        shelf.hear("campaign", scene.campaign.id)

    event.listen(database.engine, "before_cursor_execute", overtake)
    shelf.version_id(database, scene.mission, now=NOON)
    event.remove(database.engine, "before_cursor_execute", overtake)
    with database.transaction() as session:
        campaign = session.get_one(Campaign, scene.campaign.id)
        session.execute(
            update(Campaign).where(col(Campaign.id) == campaign.id).values(ends_at=NOON + timedelta(days=3))
        )
    newest = shelf.version_id(database, scene.mission, now=NOON)
    with database.snapshot() as session:
        assert session.get_one(LegalVersion, newest).number == 2
