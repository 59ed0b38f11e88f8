"""Cases on both databases: opened once, answered, reopened, escalated when late, and forgotten with their person."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from sqlmodel import select

from campaigns import care, participants, privacy, worker
from campaigns.audit import AuditEntry
from campaigns.care import Case, CaseMessage, Opened, Speaker
from campaigns.care.models import CaseDay
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound, TooMany
from campaigns.events import Event
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.storage import Database
from tests.factories import NOON
from tests.racing import race
from tests.scene import Scene, minutes, set_scene

KEY = b"k" * 32
WORDS = "Quetsches-Zwetschgen-1871"


def someone(scene: Scene) -> Participant:
    with scene.database.transaction() as session:
        return participants.join(session, scene.campaign.organisation_id, language="fr", now=NOON)[0]


def tell(scene: Scene, **fields: Any) -> Opened:
    given: dict[str, Any] = {
        "mission_id": scene.mission.id,
        "place": scene.entry.place,
        "text": WORDS,
        "person": None,
        "sender_key": 1,
        "client_id": "phone-1",
        "language": "fr",
        "now": NOON,
        **fields,
    }
    with scene.database.transaction() as session:
        return care.open_case(session, session.get_one(Campaign, scene.campaign.id), **given)


def move(scene: Scene, what: Any, case: Case, *, now: datetime = NOON, **fields: Any) -> Case:
    with scene.database.transaction() as session:
        moved: Case = what(session, session.get_one(Case, case.id), now=now, **fields)
        return moved


def stored(scene: Scene) -> list[Case]:
    with scene.database.snapshot() as session:
        return list(session.exec(select(Case).order_by(Case.id)))  # type: ignore[arg-type]  # a column


def events(scene: Scene) -> list[str]:
    with scene.database.snapshot() as session:
        return sorted(name for name in session.exec(select(Event.name)) if name.startswith("case."))


@pytest.mark.parametrize("has_cookie", [True, False])
def test_of_racing_repeats_of_a_client_id_one_case_is_kept(database: Database, has_cookie: bool) -> None:
    scene = set_scene(database)
    person = someone(scene) if has_cookie else None
    outcomes = race(12, lambda _: tell(scene, person=person))
    opened = [one for one in outcomes if isinstance(one, Opened)]
    assert len(opened) == 12, outcomes
    assert sum(not one.is_replay for one in opened) == 1
    assert len({one.case.id for one in opened}) == 1
    with database.snapshot() as session:
        assert len(session.exec(select(CaseMessage)).all()) == 1
        assert sorted(one.cases for one in session.exec(select(CaseDay))) == [1, 1]
    assert events(scene) == ["case.opened"]


def test_a_case_is_answered_closed_and_opened_again(database: Database) -> None:
    scene = set_scene(database)
    case = tell(scene).case
    assert (case.state, case.due_at) == ("received", datetime.fromisoformat("2026-10-16T22:00:00+00:00"))
    assert move(scene, care.acknowledge, case, now=minutes(1)).acknowledged_at == minutes(1)
    case = move(scene, care.answer, case, text="Sorry", speaker=Speaker.SHOP, now=minutes(2))
    assert (case.state, case.answered_at) == ("answered", minutes(2))
    assert move(scene, care.close, case, now=minutes(3)).closed_at == minutes(3)
    later = NOON + timedelta(days=5)
    case = move(scene, care.reopen, case, text="No", now=later)
    assert (case.state, case.closed_at, case.reopened_at) == ("reopened", None, later)
    assert case.due_at > later
    with database.snapshot() as session:
        said = [(one.speaker, one.text) for one in care.messages_of(session, case.id)]
        noted = session.exec(select(AuditEntry).where(AuditEntry.action == "case.changed")).all()
        log = str([one.model_dump() for one in session.exec(select(AuditEntry))])
    assert said == [("person", WORDS), ("shop", "Sorry"), ("person", "No")]
    assert sorted(one.changes["state"][1] for one in noted) == ["acknowledged", "answered", "closed"]
    assert WORDS not in log
    assert "Sorry" not in log


def test_a_case_goes_no_way_that_does_not_lead_there(database: Database) -> None:
    scene = set_scene(database)
    case = tell(scene).case
    ways: list[tuple[Any, dict[str, Any]]] = [(care.close, {}), (care.reopen, {"text": "No"})]
    for what, fields in ways:
        with pytest.raises(Conflict) as refused:
            move(scene, what, case, **fields)
        assert refused.value.code == "wrong_state"
    case = move(scene, care.answer, case, text="Sorry", speaker=Speaker.BRAND)
    outcomes = race(6, lambda _: move(scene, care.close, case))
    assert sum(isinstance(one, Case) for one in outcomes) == 1
    with pytest.raises(Conflict):
        move(scene, care.answer, case, text="More", speaker=Speaker.BRAND)


def test_what_nobody_answers_in_time_escalates_once(database: Database) -> None:
    scene = set_scene(database)
    late, answered = tell(scene).case, tell(scene, client_id="phone-2").case
    move(scene, care.answer, answered, text="Sorry", speaker=Speaker.SHOP)
    worker.escalate(database, now=late.due_at)
    assert [one.state for one in stored(scene)] in (["received", "answered"], ["answered", "received"])
    for _ in range(2):
        worker.escalate(database, now=late.due_at + timedelta(seconds=1))
    assert {one.id: one.state for one in stored(scene)} == {late.id: "escalated", answered.id: "answered"}
    assert events(scene).count("case.escalated") == 1
    assert move(scene, care.answer, late, text="Sorry", speaker=Speaker.BRAND).state == "answered"


def test_the_shop_has_its_own_cases_and_the_brand_all_by_deadline(database: Database) -> None:
    scene = set_scene(database)
    place = scene.entry.place
    assert place is not None
    second = tell(scene, now=minutes(1) + timedelta(days=1), client_id="phone-2").case
    first = tell(scene).case
    nowhere = tell(scene, place=None, client_id="phone-3").case
    with database.snapshot() as session:
        here = [one.id for one in care.cases_of_place(session, place.id, limit=9)]
        everywhere = [one.id for one in care.open_cases(session, scene.campaign.organisation_id, limit=9)]
        with pytest.raises(NotFound):
            care.case_of_place(session, place.id, nowhere.id)
    assert here == [first.id, second.id]
    assert set(everywhere) == {first.id, second.id, nowhere.id}
    assert everywhere[-1] == second.id


def test_only_the_secret_of_its_link_opens_a_case(database: Database) -> None:
    scene = set_scene(database)
    case, other = tell(scene).case, tell(scene, client_id="phone-2").case
    with database.snapshot() as session:
        secret = care.secret_of(KEY, case.id)
        assert care.case_by_link(session, case.reference, secret, key=KEY).id == case.id
        wrong = (care.secret_of(KEY, other.id), care.secret_of(b"x" * 32, case.id), "", "é", secret[:-1])
        for one in wrong:
            with pytest.raises(NotFound):
                care.case_by_link(session, case.reference, one, key=KEY)
        with pytest.raises(NotFound):
            care.case_by_link(session, "0000-0000", "", key=KEY)


@pytest.mark.parametrize(("text", "code"), [("", "case_empty"), (" \n ", "case_empty"), ("x" * 2001, "case_too_long")])
def test_an_empty_or_endless_case_is_refused_and_leaves_nothing(database: Database, text: str, code: str) -> None:
    scene = set_scene(database)
    with pytest.raises(Invalid) as refused:
        tell(scene, text=text)
    assert refused.value.code == code
    assert stored(scene) == []


def test_a_phone_opens_five_cases_a_day_and_a_refused_one_leaves_nothing(database: Database) -> None:
    scene = set_scene(database)
    outcomes = race(8, lambda number: tell(scene, client_id=f"phone-{number}"))
    refused = [one for one in outcomes if isinstance(one, TooMany)]
    assert [one.code for one in refused] == ["too_many_cases"] * 3
    assert len(stored(scene)) == 5
    assert not tell(scene, client_id="other", sender_key=2).is_replay
    assert not tell(scene, client_id="tomorrow", now=NOON + timedelta(days=1)).is_replay


def test_who_is_under_15_is_sent_to_the_staff(database: Database) -> None:
    scene = set_scene(database)
    person = someone(scene)
    with database.transaction() as session:
        person = participants.declare_age(session, person, is_under_15=True, now=NOON)
    with pytest.raises(Forbidden) as refused:
        tell(scene, person=person)
    assert refused.value.code == "under_age_text"


def test_a_persons_cases_are_forgotten_with_them(database: Database) -> None:
    scene = set_scene(database)
    person = someone(scene)
    case, other = tell(scene, person=person).case, tell(scene, client_id="phone-9").case
    move(scene, care.answer, case, text=f"Dear {WORDS}", speaker=Speaker.SHOP)
    with database.erasing() as session:
        privacy.erase(session, person.id, note=lambda *_: None, now=minutes(5))
    with database.snapshot() as session:
        kept = session.get_one(Case, case.id)
        assert [one.text for one in care.messages_of(session, case.id)] == ["", ""]
        assert [one.text for one in care.messages_of(session, other.id)] == [WORDS]
    assert (kept.state, kept.closed_at) == ("closed", NOON)
    assert kept.participant_id != person.id
    assert "phone" not in kept.client_id
