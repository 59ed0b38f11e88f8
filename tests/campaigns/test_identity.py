"""Organisations, keys and the secret key, on both databases; sealing without one."""

from pathlib import Path
from uuid import uuid4

import pytest
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlmodel import Session, select

from campaigns import identity
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.identity import ApiKey, Role
from campaigns.sealing import Keyring, keep_secret_file
from campaigns.storage import Database
from tests.factories import NOON, make_organisation
from tests.racing import race

SECRET = "a-secret-for-tests-only-0123456789abcdef"


def test_a_key_is_recognised_and_only_its_hash_is_kept(session: Session) -> None:
    organisation = make_organisation(session)
    _, key = identity.issue_key(session, organisation.id, role=Role.OWNER, now=NOON)
    found = identity.key_by_secret(session, key, now=NOON)
    assert (found.organisation_id, found.role) == (organisation.id, "owner")
    assert key not in str(session.exec(select(ApiKey)).one().model_dump())
    assert key.startswith(found.prefix)


@pytest.mark.parametrize("spoil", ["swap", "cut", "prefix", "empty", "long"])
def test_a_mistyped_key_is_refused_without_a_look_up(session: Session, spoil: str) -> None:
    _, key = identity.issue_key(session, make_organisation(session).id, role=Role.OWNER, now=NOON)
    session.flush()
    spoilt = {
        "swap": key[:12] + ("x" if key[12] != "x" else "y") + key[13:],
        "cut": key[:-1],
        "prefix": key.replace("psr_live_", "psr_test_"),
        "empty": "",
        "long": key + "0" * 200,
    }[spoil]
    asked: list[str] = []
    event.listen(session.get_bind(), "before_cursor_execute", lambda *arguments: asked.append(arguments[2]))
    with pytest.raises(Forbidden) as refusal:
        identity.key_by_secret(session, spoilt, now=NOON)
    assert refusal.value.code == "unauthenticated"
    assert asked == []


def test_a_well_formed_key_of_nobody_and_a_revoked_one_are_refused_in_the_same_words(session: Session) -> None:
    made, key = identity.issue_key(session, make_organisation(session).id, role=Role.OWNER, now=NOON)
    made.revoked_at = NOON
    session.flush()
    with pytest.raises(Forbidden) as revoked:
        identity.key_by_secret(session, key, now=NOON)
    with pytest.raises(Forbidden) as unknown:
        identity.key_by_secret(session, "psr_live_" + "a" * 27 + identity.keys.checksum("a" * 27), now=NOON)
    assert revoked.value.detail == unknown.value.detail


def test_a_key_belongs_to_an_organisation_that_exists(session: Session) -> None:
    with pytest.raises(IntegrityError):
        identity.issue_key(session, uuid4(), role=Role.OWNER, now=NOON)


def test_an_organisation_has_a_name(session: Session) -> None:
    with pytest.raises(Invalid):
        identity.found_organisation(session, "  ", now=NOON)
    with pytest.raises(NotFound):
        identity.organisation_by_id(session, uuid4())


def test_a_database_starts_with_the_secret_key_it_was_made_with(session: Session) -> None:
    identity.recognise_secret_key(session, Keyring(SECRET).fingerprint(), now=NOON)
    identity.recognise_secret_key(session, Keyring(SECRET).fingerprint(), now=NOON)
    with pytest.raises(Conflict, match="not the key"):
        identity.recognise_secret_key(session, Keyring(SECRET[::-1]).fingerprint(), now=NOON)


def test_of_two_servers_that_start_first_with_different_keys_one_is_refused(database: Database) -> None:
    def start(index: int) -> None:
        with database.transaction() as session:
            identity.recognise_secret_key(session, Keyring(SECRET + str(index // 4)).fingerprint(), now=NOON)

    outcomes = race(8, start)
    assert outcomes.count(None) == 4
    assert [type(one) for one in outcomes if one is not None] == [Conflict] * 4


def test_a_secret_key_is_long_enough_and_derives_a_key_for_each_purpose() -> None:
    with pytest.raises(Invalid, match="at least 32"):
        Keyring("x" * 31)
    keys = Keyring(SECRET)
    assert keys.derive("till") == Keyring(SECRET).derive("till")
    assert keys.derive("till") != keys.derive("receipt")
    assert SECRET not in repr(keys) + keys.fingerprint()


def test_a_sealed_position_opens_with_its_key_only() -> None:
    sealed = Keyring(SECRET).seal_position(b"45.7578,4.8320")
    assert b"45.7" not in sealed
    assert Keyring(SECRET).open_position(sealed) == b"45.7578,4.8320"
    with pytest.raises(Invalid):
        Keyring(SECRET[::-1]).open_position(sealed)
    for spoilt in (b"", sealed[:20], sealed[:-1] + bytes([sealed[-1] ^ 1])):
        with pytest.raises(Invalid):
            Keyring(SECRET).open_position(spoilt)


def test_the_secret_beside_a_sqlite_file_is_made_once_and_private(tmp_path: Path) -> None:
    path = tmp_path / "passerelle.db.secret"
    secret = keep_secret_file(path)
    assert keep_secret_file(path) == secret
    assert len(secret) >= 32
    assert path.stat().st_mode & 0o777 == 0o600
