"""Recovery codes: kept as a keyed hash, good once, one at a time, on both databases."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlmodel import select

from campaigns import participants, privacy
from campaigns.errors import CampaignError, Conflict, NotFound
from campaigns.participants import Participant
from campaigns.participants.models import ParticipantKey, RecoveryCode
from campaigns.storage import Database
from tests.campaigns.test_steps import someone
from tests.campaigns.test_votes import waiting
from tests.conftest import wait_until
from tests.factories import NOON
from tests.racing import race
from tests.scene import set_scene

KEY = b"k" * 32


def issue(database: Database, person: Participant) -> str:
    with database.transaction() as session:
        return participants.issue_code(session, person, key=KEY, now=NOON)


def use(database: Database, code: str) -> Participant:
    with database.transaction() as session:
        person = participants.owner_of(session, code, key=KEY)
        participants.use_code(session, code, key=KEY, now=NOON)
        return person


def test_only_a_keyed_hash_of_a_code_is_kept(database: Database) -> None:
    person = someone(set_scene(database))
    code = issue(database, person)
    with database.snapshot() as session:
        (row,) = session.exec(select(RecoveryCode)).all()
        with pytest.raises(NotFound):
            participants.owner_of(session, code, key=b"of another installation's 32 byte")
        assert participants.owner_of(session, f" {code.lower()} ", key=KEY).id == person.id
    stored = str(row.model_dump()).upper()
    assert code not in stored
    assert code.replace("-", "") not in stored


@pytest.mark.parametrize("typed", ["", "2", "2" * 16, "\u0000", "é" * 16, "A" * 80])
def test_what_is_no_code_is_refused_in_words(database: Database, typed: str) -> None:
    set_scene(database)
    with database.snapshot() as session, pytest.raises(NotFound) as refused:
        participants.owner_of(session, typed, key=KEY)
    assert refused.value.code == "unknown_recovery_code"


def test_of_racing_codes_of_one_person_one_is_good(database: Database) -> None:
    person = someone(set_scene(database))
    issue(database, person)
    codes = race(6, lambda _: issue(database, person))
    assert all(isinstance(one, str) or getattr(one, "code", "") == "busy" for one in codes), codes

    def told(code: str) -> str:
        try:
            use(database, code)
        except CampaignError as error:
            return error.code
        return "good"

    answers = [told(one) for one in codes if isinstance(one, str)]
    assert answers.count("good") == 1
    assert set(answers) <= {"good", "recovery_code_replaced"}


def test_a_code_that_is_being_used_is_waited_for_and_then_used_up(postgres_database: Database) -> None:
    """Where writers do not queue: both have seen that it was good."""
    person = someone(set_scene(postgres_database))
    code = issue(postgres_database, person)
    with ThreadPoolExecutor(1) as pool:
        with postgres_database.transaction() as session:
            participants.use_code(session, code, key=KEY, now=NOON)
            other = pool.submit(use, postgres_database, code)
            wait_until(lambda: waiting(postgres_database))
        refused = other.exception(timeout=30)
    assert isinstance(refused, Conflict)
    assert refused.code == "recovery_code_used"


def test_codes_and_further_keys_go_with_their_person(database: Database) -> None:
    person = someone(set_scene(database))
    code = issue(database, person)
    with database.transaction() as session:
        key = participants.add_key(session, person, now=NOON)
    with database.erasing() as session:
        assert privacy.erase(session, person.id, note=lambda *_: None, now=NOON)
    with database.snapshot() as session:
        assert [*session.exec(select(ParticipantKey)), *session.exec(select(RecoveryCode))] == []
        assert participants.recognise(session, key) is None
        with pytest.raises(NotFound):
            participants.owner_of(session, code, key=KEY)


def test_ten_wrong_tries_an_hour_are_enough_and_a_right_one_costs_nothing(database: Database) -> None:
    with database.transaction() as session:
        for _ in range(30):
            participants.take_try(session, 7, now=NOON)
            participants.give_back_try(session, 7, now=NOON)
        for _ in range(10):
            participants.take_try(session, 7, now=NOON)
        with pytest.raises(CampaignError) as refused:
            participants.take_try(session, 7, now=NOON)
        participants.take_try(session, 8, now=NOON)
    assert refused.value.code == "recovery_tries"
    assert refused.value.context["retry_after_s"] == 3601
