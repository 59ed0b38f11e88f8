"""The phones of a place's staff on both databases: one-time links, sessions, the PIN after ten idle minutes, roles."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
import sqlalchemy as sa
from alembic import command
from sqlmodel import Session, select

from campaigns import migrations, places
from campaigns.errors import Forbidden, Gone, Invalid, NotFound
from campaigns.places import PinTry, StaffLink, StaffRole, StaffSession, pin
from campaigns.places.phones import SHOWN_LINK_LIFE
from campaigns.storage import Database
from tests.conftest import PIN
from tests.factories import NOON, PIN_KEY, make_organisation, make_phone, make_place
from tests.racing import race

LATER = NOON + timedelta(minutes=10)  # locked by then
RACERS = 20


def sign_in(session: Session, secret: str, **overrides: object) -> tuple[StaffSession, str]:
    fields: dict[str, object] = {"pin": PIN, "pin_key": PIN_KEY, "label": "Till", "now": NOON, **overrides}
    return places.sign_in(session, secret, **fields)  # type: ignore[arg-type]  # the defaults above, overridden


def a_phone(session: Session, **overrides: object) -> tuple[StaffSession, str]:
    return make_phone(session, make_place(session, make_organisation(session)), **overrides)


def committed_phone(database: Database) -> UUID:
    with database.transaction() as session:
        return a_phone(session)[0].id


def try_pin(database: Database, id: UUID, typed: str) -> PinTry:
    with database.transaction() as session:
        return places.unlock(session, id, typed, pin_key=PIN_KEY, now=LATER)


def guess(database: Database, id: UUID, number: int) -> PinTry:
    return try_pin(database, id, f"{number:04d}")


# Links -----------------------------------------------------------------------------------------------------------


def test_a_staff_link_signs_one_phone_in_once(session: Session) -> None:
    place = make_place(session, make_organisation(session))
    secret = places.issue_staff_link(session, place, now=NOON)
    staff, cookie = sign_in(session, secret)
    assert places.staff_session_by_secret(session, cookie, now=NOON).id == staff.id
    with pytest.raises(Gone) as used:
        sign_in(session, secret)
    assert used.value.code == "link_used"
    with pytest.raises(NotFound):
        sign_in(session, "made up")
    assert {secret, cookie}.isdisjoint({row.secret_hash for row in session.exec(select(StaffLink))})
    assert cookie not in {row.secret_hash for row in session.exec(select(StaffSession))}


def test_two_phones_that_race_for_a_staff_link_get_one_session(database: Database) -> None:
    for _ in range(4):
        with database.transaction() as session:
            place = make_place(session, make_organisation(session))
            secret = places.issue_staff_link(session, place, now=NOON)

        def use(_: int, secret: str = secret) -> UUID:
            with database.transaction() as session:
                return sign_in(session, secret)[0].id

        outcomes = race(6, use)
        assert sum(isinstance(one, UUID) for one in outcomes) == 1
        assert sum(isinstance(one, Gone) for one in outcomes) == 5
        with database.snapshot() as session:
            assert len(places.list_staff_sessions(session, place.id, now=NOON)) == 1


def test_a_staff_link_lasts_fourteen_days_and_a_session_ninety_whatever_its_use(session: Session) -> None:
    place = make_place(session, make_organisation(session))
    secret = places.issue_staff_link(session, place, now=NOON)
    with pytest.raises(Gone) as late:
        sign_in(session, secret, now=NOON + timedelta(days=14))
    assert late.value.code == "link_expired"
    almost = NOON + timedelta(days=14, seconds=-1)
    staff, cookie = sign_in(session, secret, now=almost)
    staff.last_seen_at = almost + timedelta(days=90, seconds=-1)
    session.flush()
    assert places.staff_session_by_secret(session, cookie, now=almost + timedelta(days=89))
    with pytest.raises(Forbidden):
        places.staff_session_by_secret(session, cookie, now=almost + timedelta(days=90))
    assert places.list_staff_sessions(session, place.id, now=almost + timedelta(days=90)) == []


def test_a_link_from_a_phone_lasts_fifteen_minutes(session: Session) -> None:
    place = make_place(session, make_organisation(session))
    secret = places.issue_staff_link(session, place, role=StaffRole.MANAGER, life=SHOWN_LINK_LIFE, now=NOON)
    with pytest.raises(Gone):
        sign_in(session, secret, now=NOON + timedelta(minutes=15))
    staff, _ = sign_in(session, secret, now=NOON + timedelta(minutes=15, seconds=-1))
    assert staff.is_manager


def test_a_phone_that_signs_in_again_gets_a_new_secret_and_its_old_session_ends(session: Session) -> None:
    place = make_place(session, make_organisation(session))
    _, before = make_phone(session, place)
    _, after = make_phone(session, place, replaces=before)
    assert after != before
    assert places.staff_session_by_secret(session, after, now=NOON)
    with pytest.raises(Forbidden):
        places.staff_session_by_secret(session, before, now=NOON)
    _, planted = make_phone(session, place, replaces="planted by a stranger")
    assert planted != "planted by a stranger"
    assert len(places.list_staff_sessions(session, place.id, now=NOON)) == 2


# The PIN ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "typed", ["", "482", "48211", "48 21", "48a1", "-482", "４８２１", "٤٨٢١", "4821\n4821", "\x00482"]
)
def test_a_pin_is_exactly_four_digits_and_a_bad_one_leaves_the_link_good(session: Session, typed: str) -> None:
    place = make_place(session, make_organisation(session))
    secret = places.issue_staff_link(session, place, now=NOON)
    with pytest.raises(Invalid) as refused:
        sign_in(session, secret, pin=typed)
    assert (refused.value.code, refused.value.context["pointer"]) == ("pin_shape", "/pin")
    assert sign_in(session, secret, pin=f" {PIN} ")


def test_a_pin_is_kept_as_a_hash_that_key_and_session_change() -> None:
    one, other = UUID(int=1), UUID(int=2)
    kept = pin.hash_pin(PIN_KEY, one, PIN)
    assert pin.is_pin(PIN_KEY, one, PIN, kept)
    assert not pin.is_pin(PIN_KEY, one, "4822", kept)
    assert not pin.is_pin(PIN_KEY, other, PIN, kept)
    assert not pin.is_pin(b"q" * 32, one, PIN, kept)
    assert not pin.is_pin(PIN_KEY, one, "", None)
    assert not pin.is_pin(PIN_KEY, one, "é", kept)


def test_a_phone_is_locked_after_ten_idle_minutes_until_its_pin_is_typed(session: Session) -> None:
    staff, _ = a_phone(session)
    assert not staff.is_locked(LATER - timedelta(seconds=1))
    assert staff.is_locked(LATER)
    assert not places.note_activity(session, staff.id, now=LATER)
    assert places.unlock(session, staff.id, "0000", pin_key=PIN_KEY, now=LATER) == (False, 4)
    session.refresh(staff)
    assert staff.is_locked(LATER)
    assert places.unlock(session, staff.id, f" {PIN}", pin_key=PIN_KEY, now=LATER) == (True, 5)
    session.refresh(staff)
    assert not staff.is_locked(LATER + timedelta(minutes=9))
    assert staff.wrong_pins == 0


def test_the_use_of_a_phone_is_noted_once_a_minute_and_never_backwards(session: Session) -> None:
    staff, _ = a_phone(session)
    minute = timedelta(minutes=1)
    assert not places.note_activity(session, staff.id, now=NOON + timedelta(seconds=59))
    assert places.note_activity(session, staff.id, now=NOON + minute)
    assert not places.note_activity(session, staff.id, now=NOON + minute)
    assert not places.note_activity(session, staff.id, now=NOON)
    assert places.note_activity(session, staff.id, now=NOON + 9 * minute)
    session.refresh(staff)
    assert staff.last_seen_at == NOON + 9 * minute
    assert not staff.is_locked(NOON + 18 * minute)
    places.revoke_staff_session(session, staff.place_id, staff.id, now=NOON)
    session.flush()
    assert not places.note_activity(session, staff.id, now=NOON + 12 * minute)


def test_wrong_pins_count_in_a_row_only(database: Database) -> None:
    id = committed_phone(database)
    for typed, left in (("0000", 4), ("", 3), ("482", 2), ("4820", 1)):
        assert try_pin(database, id, typed) == (False, left)
    assert try_pin(database, id, PIN).is_open
    with database.transaction() as session:
        session.get_one(StaffSession, id).last_seen_at = NOON
    assert try_pin(database, id, "0000") == (False, 4)


def test_the_fifth_wrong_pin_ends_the_session_and_the_right_one_comes_too_late(database: Database) -> None:
    id = committed_phone(database)
    assert [try_pin(database, id, "0000").tries_left for _ in range(5)] == [4, 3, 2, 1, 0]
    with pytest.raises(Forbidden) as over:
        try_pin(database, id, PIN)
    assert over.value.code == "not_signed_in"
    with database.snapshot() as session:
        assert session.get_one(StaffSession, id).revoked_at == LATER


def test_racing_wrong_pins_are_five_together(database: Database) -> None:
    for _ in range(3):
        id = committed_phone(database)
        outcomes = race(RACERS, partial(guess, database, id))
        tried = [one for one in outcomes if isinstance(one, PinTry)]
        assert sorted(one.tries_left for one in tried) == [0, 1, 2, 3, 4]
        assert sum(isinstance(one, Forbidden) for one in outcomes) == RACERS - 5
        with database.snapshot() as session:
            staff = session.get_one(StaffSession, id)
            assert (staff.wrong_pins, staff.revoked_at) == (5, LATER)


def test_a_phone_that_is_not_locked_compares_no_pin(session: Session) -> None:
    staff, _ = a_phone(session)
    for _ in range(6):
        assert places.unlock(session, staff.id, "0000", pin_key=PIN_KEY, now=NOON).is_open
    session.refresh(staff)
    assert (staff.wrong_pins, staff.revoked_at) == (0, None)


# Managers --------------------------------------------------------------------------------------------------------


def test_a_revoked_session_is_signed_out_and_listed_no_more(session: Session) -> None:
    organisation = make_organisation(session)
    place, other = make_place(session, organisation), make_place(session, organisation, name="Croix-Rousse")
    staff, cookie = make_phone(session, place)
    with pytest.raises(NotFound):
        places.revoke_staff_session(session, other.id, staff.id, now=NOON)
    assert places.staff_session_by_secret(session, cookie, now=NOON)
    places.revoke_staff_session(session, place.id, staff.id, now=NOON)
    with pytest.raises(Forbidden):
        places.staff_session_by_secret(session, cookie, now=NOON)
    assert places.list_staff_sessions(session, place.id, now=NOON) == []


def test_a_role_is_that_of_the_moment(database: Database) -> None:
    with database.transaction() as session:
        staff, _ = a_phone(session, role=StaffRole.MANAGER)
        assert places.require_manager(session, staff.id, now=NOON)
    with database.transaction() as session:
        session.get_one(StaffSession, staff.id).role = StaffRole.STAFF
    with database.snapshot() as session, pytest.raises(Forbidden) as refused:
        places.require_manager(session, staff.id, now=NOON)
    assert refused.value.code == "manager_needed"
    with database.transaction() as session:
        places.revoke_staff_session(session, staff.place_id, staff.id, now=NOON)
    with database.snapshot() as session, pytest.raises(Forbidden) as over:
        places.require_manager(session, staff.id, now=NOON)
    assert over.value.code == "not_signed_in"


# The upgrade -----------------------------------------------------------------------------------------------------


def test_phones_of_before_there_were_pins_are_signed_out_by_the_upgrade(database_url: str) -> None:
    database = Database(database_url)
    try:
        with database.engine.begin() as connection:
            config = migrations._config()
            config.attributes["connection"] = connection
            command.upgrade(config, "0011")
            for statement in OLD_PHONE:
                connection.execute(sa.text(statement), {"id": "1" * 32, "at": NOON.replace(tzinfo=None)})
        migrations.upgrade(database)
        with database.snapshot() as session:
            (staff,) = session.exec(select(StaffSession)).all()
            assert (staff.pin_hash, staff.last_seen_at, staff.wrong_pins) == (None, staff.created_at, 0)
            assert staff.revoked_at is not None
            assert staff.revoked_at > staff.created_at
    finally:
        database.close()


OLD_PHONE = (
    "INSERT INTO organisations (id, name, created_at) VALUES (:id, 'La Halle', :at)",
    "INSERT INTO places (id, organisation_id, name, radius_m, time_zone, created_at, changed_at) "
    "VALUES (:id, :id, 'Bellecour', 100, 'Europe/Paris', :at, :at)",
    "INSERT INTO staff_sessions (id, place_id, secret_hash, role, label, created_at, expires_at) "
    "VALUES (:id, :id, 'x', 'staff', 'Till', :at, :at)",
)
