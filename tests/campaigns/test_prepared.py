"""Statements compiled once and run on the driver's cursor, on both databases: the same rows, types and errors."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import bindparam, event, select, update
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import Session, col
from sqlmodel import select as rows

from campaigns import prepared
from campaigns.participants import Participant
from campaigns.planning import Campaign
from campaigns.scans import CheckIn
from campaigns.scans.models import ReceiptTries, ScanPosition
from campaigns.storage import Database, add_up_below, columns_of, insert_many_once, insert_once, store
from tests.factories import NOON, make_campaign, make_organisation
from tests.scene import set_scene

_PEOPLE, _CAMPAIGNS, _FIXES = columns_of(Participant), columns_of(Campaign), columns_of(ScanPosition)
_CAMPAIGN = select(*_CAMPAIGNS).where(_CAMPAIGNS.id == bindparam("campaign"))
_FIX = select(*_FIXES).where(_FIXES.scan_id == bindparam("scan"))
_RENAME = (
    update(Participant.__table__)  # type: ignore[attr-defined]  # SQLModel does not type it
    .where(_PEOPLE.id == bindparam("person"))
    .values(pseudonym=bindparam("name"))
    .returning(_PEOPLE.pseudonym, _PEOPLE.is_under_15)
)


def person_of(organisation_id: UUID, **fields: Any) -> dict[str, Any]:
    known = {"id": uuid4(), "organisation_id": organisation_id, "pseudonym": "Merle 1", "language": "fr"}
    return known | {"secret_hash": uuid4().hex, "created_at": NOON} | fields


def test_an_object_is_what_a_select_of_the_session_gives(session: Session) -> None:
    campaign = make_campaign(
        session, make_organisation(session), languages=["fr", "en"], budget_minor=2**40, currency="EUR"
    )
    session.flush()
    found = prepared.load(session, _CAMPAIGN, Campaign, campaign=campaign.id)
    assert found is not None
    session.refresh(campaign)
    assert found.model_dump() == campaign.model_dump()
    assert found.created_at.tzinfo is not None
    assert found not in session


def test_bytes_big_numbers_and_nothing_come_back_as_they_went(session: Session) -> None:
    scan_id = uuid4()
    fix = {"scan_id": scan_id, "slot": 1, "geofence": "inside", "distance_m": None, "cell": None, "accuracy_m": 12}
    fix |= {"located_at": datetime(2026, 3, 29, 1, 30, 0, 123456, tzinfo=UTC), "sealed": b"\0\xff'", "point": 2**62}
    store(session, ScanPosition, **fix, token_id=None, visitor_key=-5)
    (found,) = prepared.rows(session, _FIX, scan=scan_id)
    assert found._asdict() == fix | {"token_id": None, "visitor_key": -5}


def test_what_a_column_has_by_default_is_filled_in(session: Session) -> None:
    organisation = make_organisation(session)
    session.flush()
    values = person_of(organisation.id)
    store(session, Participant, **values)
    assert session.exec(rows(Participant.cohort).where(Participant.id == values["id"])).one() == "public"


def test_a_refused_row_counts_as_none_and_others_as_many_as_went_in(session: Session) -> None:
    organisation = make_organisation(session)
    session.flush()
    first = person_of(organisation.id)
    assert insert_once(session, Participant, **first)
    assert not insert_once(session, Participant, **first | {"id": uuid4()})
    assert insert_many_once(session, Participant, [first, person_of(organisation.id), person_of(organisation.id)]) == 2


def test_a_counter_below_a_limit_is_added_to_until_it(session: Session) -> None:
    of_scan = {"scan_id": uuid4()}
    assert [add_up_below(session, ReceiptTries, of_scan, 3, tries=1) for _ in range(5)] == [True] * 3 + [False] * 2
    assert session.exec(rows(ReceiptTries.tries).where(col(ReceiptTries.scan_id) == of_scan["scan_id"])).one() == 3


def test_what_is_returned_has_the_names_and_types_of_its_columns(session: Session) -> None:
    organisation = make_organisation(session)
    session.flush()
    values = person_of(organisation.id, is_under_15=True)
    store(session, Participant, **values)
    found = prepared.row(session, _RENAME, person=values["id"], name="Geai 2")
    assert found is not None
    assert (found.pseudonym, found.is_under_15) == ("Geai 2", True)
    assert prepared.value(session, _RENAME, person=uuid4(), name="Geai 3") is None


def test_it_is_part_of_the_transaction_of_its_session(database: Database) -> None:
    scene = set_scene(database)
    values = person_of(scene.mission.organisation_id)
    with database.transaction() as session:
        store(session, Participant, **values)
        session.rollback()
    with database.snapshot() as session:
        assert session.get(Participant, values["id"]) is None


def test_an_error_is_wrapped_as_a_sessions_is_and_says_nothing_of_the_values(session: Session) -> None:
    organisation = make_organisation(session)
    session.flush()
    values = person_of(organisation.id, pseudonym="Rossignol 7777")
    store(session, Participant, **values)
    with pytest.raises(IntegrityError) as refused:
        store(session, Participant, **values)
    assert refused.value.orig is not None
    assert "Rossignol" not in str(refused.value)


def test_a_connection_that_is_gone_is_not_used_again(postgres_database: Database) -> None:
    with Session(postgres_database.engine) as session:
        raw = session.connection().connection.dbapi_connection
        assert raw is not None
        raw.close()
        with pytest.raises(OperationalError) as gone:
            store(session, ReceiptTries, scan_id=uuid4(), tries=1)
    assert gone.value.connection_invalidated
    with postgres_database.transaction() as session:
        store(session, ReceiptTries, scan_id=uuid4(), tries=1)


def test_who_watches_an_engine_sees_it(database: Database) -> None:
    seen: list[str] = []

    def note(_: Any, __: Any, statement: str, *___: Any) -> None:
        seen.append(statement)

    event.listen(database.engine, "before_cursor_execute", note)
    with database.transaction() as session:
        store(session, ReceiptTries, scan_id=uuid4(), tries=1)
    assert [one for one in seen if one.startswith("INSERT INTO receipt_tries")]


def test_a_list_that_is_rendered_anew_is_refused(session: Session) -> None:
    statement = select(columns_of(CheckIn).id).where(columns_of(CheckIn).verdict.in_(["valid", "held"]))
    with pytest.raises(TypeError, match="no list"):
        prepared.rows(session, statement)
