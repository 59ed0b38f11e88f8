"""Erasing a person: nothing tells any more who they were, and every figure stays what it was."""

import re
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import select as columns
from sqlmodel import SQLModel, select

from campaigns import community, ids, missions, participants, planning, privacy, worker
from campaigns.community import Idea
from campaigns.errors import CampaignError, Conflict, Gone
from campaigns.missions import Repeat, StepKind, StepPlan
from campaigns.participants import Participant, pseudonym_of
from campaigns.privacy.log import Erasure, ErasureLog
from campaigns.scans import CheckIn, SealedFix
from campaigns.scans.models import ScanPosition, Visit
from campaigns.storage import Database
from tests.factories import NOON
from tests.racing import race
from tests.scene import INSIDE, Scene, minutes, set_scene

LATER = NOON + timedelta(hours=1)
STEPS = [StepPlan(StepKind.SCAN, 0, Repeat.DAILY), StepPlan(StepKind.IDEA)]
SECRET_WORDS = "Quetsches-Zwetschgen-1871"


def no_note(_: UUID, __: datetime) -> None:
    """These tests look at the database."""


def erase(scene: Scene, person: Participant, *, now: datetime = LATER) -> bool:
    with scene.database.erasing() as session:
        return privacy.erase(session, person.id, note=no_note, now=now)


def visitor(scene: Scene, **overrides: Any) -> tuple[Participant, str]:
    """Somebody who scanned, shared a position, checked in with a till code and gave an idea; and their cookie."""
    done = scene.check_in(
        scene.scan(),
        position=INSIDE,
        seal=lambda _: SealedFix(b"sealed", 42),
        till_code_was_right=True,
        **overrides,
    )
    assert done.secret is not None
    scene.post_idea(done.person, text=SECRET_WORDS)
    scene.drain()
    return done.person, done.secret


def everything_stored(database: Database) -> str:
    """Every cell of every table but the list of the erased, as text."""
    with database.snapshot() as session:
        return "\n".join(
            str(row).replace("-", "").lower()
            for table in SQLModel.metadata.sorted_tables
            if table.name != "erasures"
            for row in session.execute(columns(table)).all()
        )


def test_every_column_that_may_name_a_participant_is_known() -> None:
    known = {(column.class_.__tablename__, column.key) for column in privacy.REFERENCES}
    looks = re.compile(r"(participant|person|voter|referrer|author)_id$")
    refers = {
        (table.name, column.name)
        for table in SQLModel.metadata.sorted_tables
        for column in table.columns
        if looks.search(column.name) or any(key.column.table.name == "participants" for key in column.foreign_keys)
    }
    # Who was erased, by an id that is nobody's any more; and the members, keys and phones that changed something.
    others = {("erasures", "participant_id"), ("audit_entries", "author_id")}
    assert refers - others == known


def test_nothing_stored_names_an_erased_person(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, cookie = visitor(scene)
    before = (scene.figures(), scene.counters())
    assert person.id.hex in everything_stored(database)

    assert erase(scene, person)

    left = everything_stored(database)
    for trace in (person.id.hex, person.pseudonym.lower(), person.secret_hash, SECRET_WORDS.replace("-", "").lower()):
        assert trace not in left
    assert (scene.figures(), scene.counters()) == before
    assert scene.problems() == []
    with database.snapshot() as session:
        assert participants.recognise(session, cookie) is None
        (surrogate,) = session.exec(select(Participant)).all()
        (visit,) = session.exec(select(Visit)).all()
        (idea,) = session.exec(select(Idea)).all()
        (position,) = session.exec(select(ScanPosition)).all()
    assert surrogate.is_erased
    assert surrogate.id == visit.participant_id == idea.participant_id
    assert surrogate.id.version == 4, "a UUIDv7 would tell when they joined"
    assert surrogate.pseudonym != pseudonym_of(surrogate.id)
    assert surrogate.created_at < NOON
    assert (idea.text, idea.state, idea.client_id == "phone-1") == ("", "erased", False)
    assert (position.sealed, position.point, position.geofence) == (None, None, "inside")


def test_an_idea_that_was_taken_back_is_listed_without_words_and_without_a_name(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)
    erase(scene, person)
    with database.snapshot() as session:
        ((idea, name),) = community.list_ideas(session, scene.mission.id, limit=10)
    assert (idea.state, idea.text, name) == ("erased", "", "")


def test_pages_with_the_words_of_an_erased_person_are_to_be_made_anew(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)
    heard: list[tuple[str, UUID]] = []
    database.listen(lambda kind, id: heard.append((kind, id)))
    erase(scene, person)
    assert heard == [("campaign", scene.campaign.id)]


def test_a_person_is_erased_once(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)
    assert [erase(scene, person), erase(scene, person)] == [True, False]
    with database.erasing() as session:
        assert privacy.erase(session, uuid4(), note=no_note, now=LATER) is False


def test_a_surrogate_cannot_be_erased(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)
    erase(scene, person)
    with database.snapshot() as session:
        (surrogate,) = session.exec(select(Participant)).all()
    assert erase(scene, surrogate) is False


def test_only_the_erased_person_is_touched(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)
    other, cookie = visitor(scene)
    erase(scene, person)
    with database.snapshot() as session:
        assert participants.recognise(session, cookie) is not None
        (idea,) = community.ideas_of(session, other.id)
        kept = [row.sealed for row in session.exec(select(ScanPosition)).all()]
    assert idea.text == SECRET_WORDS
    assert sorted(kept, key=str) == [None, b"sealed"] or sorted(kept, key=str) == [b"sealed", None]


def test_the_act_after_an_erasure_makes_a_new_person(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, cookie = visitor(scene)
    erase(scene, person)
    again = scene.check_in(scene.scan(at=minutes(61)), cookie=cookie, now=minutes(61))
    assert again.secret is not None
    assert again.person.id != person.id


def test_a_scan_that_an_erased_person_checked_in_on_takes_no_other_person(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    row = scene.scan()
    done = scene.check_in(row)
    erase(scene, done.person)
    with pytest.raises(Gone) as refused:
        scene.check_in(row, cookie=done.secret, now=minutes(5))
    assert refused.value.code == "erased"


def test_the_erasure_is_noted_before_it_is_committed_and_a_note_that_fails_erases_nobody(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, cookie = visitor(scene)

    def full(_: UUID, __: datetime) -> None:
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"), database.erasing() as session:
        privacy.erase(session, person.id, note=full, now=LATER)
    with database.snapshot() as session:
        assert participants.recognise(session, cookie) is not None
    assert erase(scene, person), "the connection is as good as before"


def test_a_replay_erases_whom_an_older_backup_brought_back(database: Database, tmp_path: Path) -> None:
    scene = set_scene(database, steps=STEPS)
    people = [visitor(scene)[0] for _ in range(3)]
    log = ErasureLog(tmp_path / "erasures")
    for person in people[:2]:
        log.append(person.id, LATER)
    list_of_all = [*log.read(), Erasure(uuid4(), LATER)]
    with database.erasing() as session:
        assert privacy.replay(session, list_of_all, now=LATER) == 2
    with database.erasing() as session:
        assert privacy.replay(session, list_of_all, now=LATER) == 0
    with database.snapshot() as session:
        known = [one.id for one in session.exec(select(Participant)) if not one.is_erased]
    assert known == [people[2].id]
    assert scene.problems() == []


@pytest.mark.parametrize("what", ["check in", "idea", "erase"])
def test_an_act_that_races_an_erasure_is_erased_or_is_a_new_persons(database: Database, what: str) -> None:
    scene = set_scene(database, steps=STEPS)
    number = 6
    cookies = [visitor(scene) for _ in range(number)]
    rows = [scene.scan(at=minutes(20)) for _ in range(number)]

    def act(index: int) -> object:
        person, cookie = cookies[index % number]
        if index >= number:
            return erase(scene, person)
        acts: dict[str, Callable[[], object]] = {
            "check in": lambda: scene.check_in(rows[index], cookie=cookie, till_code_was_right=True, now=minutes(21)),
            "idea": lambda: post_by_cookie(scene, cookie),
            "erase": lambda: erase(scene, person),
        }
        return acts[what]()

    outcomes = race(2 * number, act)

    failed = [one for one in outcomes if isinstance(one, Exception) and not isinstance(one, CampaignError)]
    assert failed == []
    scene.drain(now=minutes(30))
    assert scene.problems() == []
    left = everything_stored(database)
    assert [person.pseudonym for person, _ in cookies if person.id.hex in left] == []


def post_by_cookie(scene: Scene, cookie: str) -> object:
    """An idea as the page posts it: whoever the cookie is, else somebody new."""
    from campaigns import missions

    with scene.database.transaction() as session:
        campaign = session.get_one(planning.Campaign, scene.campaign.id)
        person, _ = missions.recognise_or_join(session, campaign, cookie, language="fr", now=minutes(21))
        return community.post_idea(
            session,
            scene.mission,
            campaign,
            person,
            text="Poires",
            client_id="phone-2",
            language="fr",
            now=minutes(21),
        )


def test_what_an_erased_person_wrote_is_nowhere_in_the_files_of_sqlite(tmp_path: Path, migrated_sqlite: Path) -> None:
    path = tmp_path / "passerelle.db"
    path.write_bytes(migrated_sqlite.read_bytes())
    database = Database(f"sqlite:///{path}")
    scene = set_scene(database, steps=STEPS)
    people = [visitor(scene)[0] for _ in range(40)]
    assert SECRET_WORDS.encode() in path.read_bytes() + path.with_name("passerelle.db-wal").read_bytes()
    for person in people:
        erase(scene, person)
    worker.sweep(database)
    stored = b"".join(file.read_bytes() for file in tmp_path.iterdir())
    database.close()
    for person in people:
        for trace in (SECRET_WORDS.encode(), person.pseudonym.encode(), person.secret_hash.encode()):
            assert trace not in stored


def test_postgresql_has_thrown_away_the_rows_of_the_erased_after_a_sweep(postgres_database: Database) -> None:
    scene = set_scene(postgres_database, steps=STEPS)
    person, _ = visitor(scene)
    erase(scene, person)
    worker.sweep(postgres_database)
    with postgres_database.snapshot() as session:
        assert privacy.unswept(session) == []


def test_who_objects_is_another_person_in_each_campaign(database: Database) -> None:
    from campaigns import missions
    from campaigns.identity import Organisation
    from tests.factories import make_campaign

    scene = set_scene(database, steps=STEPS)
    with database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        second = make_campaign(session, organisation, name="Pommes")
    with database.transaction() as session:
        first = session.get_one(planning.Campaign, scene.campaign.id)
        person, cookie = missions.recognise_or_join(session, first, None, language="fr", objected=True, now=NOON)
        assert missions.recognise(session, first, cookie, objected=True) == person
        assert missions.recognise(session, first, cookie) == person, "also when the phone objects no more"
        assert missions.recognise(session, second, cookie, objected=True) is None
        assert missions.recognise(session, second, cookie) is None


def test_who_began_before_objecting_goes_on_where_they_are_known_and_nowhere_else(database: Database) -> None:
    from campaigns import missions
    from campaigns.identity import Organisation
    from tests.factories import make_campaign

    scene = set_scene(database, steps=STEPS)
    person, cookie = visitor(scene)
    with database.transaction() as session:
        organisation = session.get_one(Organisation, scene.campaign.organisation_id)
        second = make_campaign(session, organisation, name="Pommes")
        assert missions.recognise(session, scene.campaign, cookie, objected=True) is not None
        assert missions.recognise(session, second, cookie, objected=True) is None
        known = missions.recognise(session, second, cookie)
    assert known is not None
    assert known.id == person.id


def test_a_position_of_who_is_under_15_is_neither_kept_nor_used(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    done = scene.check_in(scene.scan(), position=INSIDE, is_young=True)
    with database.snapshot() as session:
        assert session.exec(select(ScanPosition)).all() == []
        (check_in,) = session.exec(select(CheckIn)).all()
    assert done.person.is_under_15
    assert (check_in.presence, check_in.geofence) == (0, "none")


def test_who_is_under_15_gives_no_idea(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    done = scene.check_in(scene.scan(), is_young=True)
    with pytest.raises(CampaignError) as refused:
        scene.post_idea(done.person)
    assert refused.value.code == "under_age"


def test_an_age_is_declared_once_but_for_a_younger_one(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)

    def declare(is_under_15: bool) -> tuple[bool | None, datetime | None]:
        with database.transaction() as session:
            now = participants.declare_age(session, person, is_under_15=is_under_15, now=LATER)
            return now.is_under_15, now.age_declared_at

    assert declare(False) == (False, LATER)
    assert declare(True) == (True, LATER)
    assert declare(False) == (True, LATER), "nobody grows older by the same form"


def test_the_positions_of_before_go_when_somebody_says_that_they_are_under_15(database: Database) -> None:
    scene = set_scene(database, steps=STEPS)
    person, _ = visitor(scene)
    with database.erasing() as session:
        privacy.declare_young(session, session.get_one(Participant, person.id), now=LATER)
    with database.snapshot() as session:
        (position,) = session.exec(select(ScanPosition)).all()
    assert (position.sealed, position.point) == (None, None)


def test_who_is_erased_leaves_their_place_in_a_pilot_taken(database: Database) -> None:
    scene = set_scene(database, live=False, steps=STEPS)
    place = scene.entry.place
    assert place is not None
    with database.transaction() as session:
        campaign = session.get_one(planning.Campaign, scene.campaign.id)
        team = planning.PilotPlan([ids.show("plc", place.id)], 1, {"people": 1})
        planning.declare_pilot(session, campaign, team, now=NOON)
        planning.start_pilot(session, campaign, now=NOON)
        link, _ = participants.issue_cohort_link(session, campaign.organisation_id, max_uses=2, now=NOON)
        owner = campaign.organisation_id
        people = [participants.join(session, owner, language="fr", now=NOON)[0] for _ in range(2)]
        first, second = (participants.enter_cohort(session, link, one, now=NOON) for one in people)
        missions.take_part(session, scene.mission, first, phase="pilot", now=NOON)
    assert erase(scene, first)
    with pytest.raises(Conflict) as refused, database.transaction() as session:
        missions.take_part(session, scene.mission, second, phase="pilot", now=NOON)
    assert refused.value.code == "pilot_full"
    assert scene.problems() == []
