"""Idempotency keys and visitor keys, on both databases."""

from datetime import timedelta
from uuid import UUID

import pytest

from campaigns import idempotency
from campaigns.errors import CampaignError, Conflict, Invalid
from campaigns.scans.visitor import VisitorKeys, salt_of_day
from campaigns.storage import Database
from tests.factories import NOON, make_organisation
from tests.racing import race


class Caller:
    def __init__(self, database: Database) -> None:
        self.database = database
        with database.transaction() as session:
            self.id: UUID = make_organisation(session).id

    def begin(self, body: bytes = b"{}", *, hours: float = 0) -> bytes | None:
        """The stored body, or None to go ahead."""
        print_ = idempotency.fingerprint("POST", "/api/v1/campaigns", body, self.id)
        with self.database.transaction() as session:
            kept = idempotency.begin(session, self.id, "key-1", print_, now=NOON + timedelta(hours=hours))
            return kept.body if kept else None

    def finish(self, body: bytes) -> None:
        with self.database.transaction() as session:
            idempotency.finish(session, self.id, "key-1", status=201, body=body, content_type="application/json")


def test_the_same_key_and_body_get_the_same_answer_for_a_day(database: Database) -> None:
    caller = Caller(database)
    assert caller.begin() is None
    with pytest.raises(Conflict) as refusal:
        caller.begin(hours=0.01)
    assert refusal.value.code == "still_running"
    caller.finish(b"made")
    assert caller.begin(hours=23.9) == b"made"
    with pytest.raises(Invalid) as reused:
        caller.begin(b'{"another": 1}')
    assert reused.value.code == "idempotency_key_reused"
    assert Caller(database).begin(b'{"another": 1}') is None  # another organisation's keys are its own
    assert caller.begin(hours=24.1) is None


def test_a_request_that_died_or_failed_may_be_tried_again(database: Database) -> None:
    caller = Caller(database)
    assert caller.begin() is None
    assert caller.begin(hours=0.05) is None  # three minutes without an answer
    with database.transaction() as session:
        idempotency.abandon(session, caller.id, "key-1")
    assert caller.begin(b"other", hours=0.06) is None


def test_of_racing_requests_with_one_key_one_goes_ahead(database: Database) -> None:
    caller = Caller(database)
    outcomes = race(6, lambda _: caller.begin())
    assert outcomes.count(None) == 1
    assert [one.code for one in outcomes if isinstance(one, CampaignError)] == ["still_running"] * 5


def test_the_salt_of_a_day_is_one_for_all_and_gone_the_next_day(database: Database) -> None:
    salts = race(6, lambda _: salt_of_day(database, 20_000)) if not database.is_sqlite else []
    salts += [salt_of_day(database, 20_000) for _ in range(2)]
    assert len(set(map(str, salts))) == 1
    assert salt_of_day(database, 20_001) not in salts
    assert salt_of_day(database, 20_000) not in salts  # destroyed, not kept


def test_the_salt_of_a_sqlite_database_is_private_and_made_anew_when_lost(tmp_path: object) -> None:
    database = Database(f"sqlite:///{tmp_path}/passerelle.db")
    salt = salt_of_day(database, 20_000)
    assert database.path is not None
    path = database.path.with_name("passerelle.db.salt")
    assert path.stat().st_mode & 0o777 == 0o600
    path.write_text("half a fi")
    assert salt_of_day(database, 20_000) != salt
    database.close()


def test_a_visitor_has_one_key_a_day_which_says_nothing_of_them() -> None:
    keys = VisitorKeys(lambda day: day.to_bytes(32, "big"))
    keys.prepare(20_000)
    assert keys.is_ready(20_000)
    assert not keys.is_ready(20_001)
    mine = keys.key("192.0.2.1", "phone")
    assert mine == keys.key("192.0.2.1", "phone")
    assert 0 <= mine < 2**63
    others = {keys.key("192.0.2.2", "phone"), keys.key("192.0.2.1", "tablet"), keys.key("192.0.2.1|", "phone")}
    keys.prepare(20_001)
    assert len(others | {mine, keys.key("192.0.2.1", "phone")}) == 5
