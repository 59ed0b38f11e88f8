"""What is changed elsewhere is heard here: by NOTIFY, by the sweep when nobody notified, all of it after a gap."""

import time
from collections.abc import Iterator
from contextlib import suppress
from uuid import UUID

import psycopg
import pytest

from campaigns.announcements import CHANNEL, SWEEP_S, Listener, announce
from campaigns.ids import NIL, uuid7
from campaigns.storage import Database
from tests.conftest import wait_until
from tests.scene import set_scene

Heard = list[tuple[str, UUID]]
EVERYTHING = ("everything", NIL)


@pytest.fixture
def heard(postgres_database: Database) -> Iterator[Heard]:
    """What the caches of another process hear of."""
    other = Database(postgres_database.url)
    told: Heard = []
    other.listen(lambda kind, id: told.append((kind, id)))
    listener = Listener(other)
    listener.start()
    wait_until(lambda: EVERYTHING in told)
    yield told
    listener.stop()
    other.close()


def test_an_announcement_is_heard_after_its_commit(postgres_database: Database, heard: Heard) -> None:
    """Of an id that no row has: the sweep could not tell of it."""
    id, never = uuid7(), uuid7()
    with postgres_database.transaction() as session:
        announce(session, "campaign", id)
        time.sleep(0.3)
        assert ("campaign", id) not in heard
    with suppress(ZeroDivisionError), postgres_database.transaction() as session:
        announce(session, "campaign", never)
        raise ZeroDivisionError
    wait_until(lambda: ("campaign", id) in heard)
    assert ("campaign", never) not in heard


@pytest.mark.parametrize("table", ["campaigns", "places", "tokens", "organisations"])
def test_a_change_that_nobody_announced_is_found_by_the_sweep_and_told_once(
    postgres_database: Database, heard: Heard, table: str
) -> None:
    scene = set_scene(postgres_database)
    assert scene.entry.place is not None
    id = {
        "campaigns": scene.campaign.id,
        "places": scene.entry.place.id,
        "tokens": scene.token.id,
        "organisations": scene.campaign.organisation_id,
    }[table]
    kind = table.removesuffix("s")
    wait_until(lambda: ("code", scene.token.id) in heard)  # the last of what the scene told
    heard.clear()
    with psycopg.connect(postgres_database.dsn, autocommit=True) as connection:
        connection.execute(f"UPDATE {table} SET changed_at = now() WHERE id = %s", (id,))
    wait_until(lambda: (kind, id) in heard)
    time.sleep(2 * SWEEP_S)
    assert [one for one in heard if one != ("code", NIL)] == [(kind, id)]


def test_a_new_code_that_nobody_announced_ends_that_codes_are_unknown(
    postgres_database: Database, heard: Heard
) -> None:
    scene = set_scene(postgres_database)
    with psycopg.connect(postgres_database.dsn, autocommit=True) as connection:
        as_new = "UPDATE tokens SET created_at = now(), changed_at = now() WHERE id = %s"
        connection.execute(as_new, (scene.token.id,))
    wait_until(lambda: ("code", NIL) in heard)
    assert ("token", scene.token.id) not in heard


def test_after_a_lost_connection_anything_may_have_changed(postgres_database: Database, heard: Heard) -> None:
    heard.clear()
    with psycopg.connect(postgres_database.dsn, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
            f"AND pid <> pg_backend_pid() AND (query = 'LISTEN {CHANNEL}' OR query LIKE '%changed_at > now()%')"
        )
    wait_until(lambda: EVERYTHING in heard)


def test_a_listener_stops_when_it_is_told(postgres_database: Database) -> None:
    listener = Listener(postgres_database)
    listener.start()
    listener.stop()
    assert not listener.is_alive()
