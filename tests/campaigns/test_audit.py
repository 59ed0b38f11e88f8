"""The audit log on both databases: what it notes by itself, what it leaves out, and that it only grows."""

from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DatabaseError
from sqlmodel import Session, SQLModel, select

from campaigns import audit, clock, identity, places, planning
from campaigns.audit import Audit, AuditEntry, Author, AuthorKind
from campaigns.identity import RIGHTS, Role
from campaigns.migrations import tables as registry
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_organisation, make_place

# Every other table, and why members' changes of it are not noted one by one.
NOT_AUDITED = {
    "accounts": "balances, moved by transfers",
    "transfers": "the ledger itself: it only grows",
    "ledger_lines": "made by the worker; they only come",
    "unchained_transfers": "transfers that wait for the worker",
    "ledger_heads": "made by the worker; they only come",
    "ledger_names": "a random name of a shopper",
    "accruals": "made by acts of shoppers; their transfers tell",
    "cause_choices": "an act of a shopper",
    "pledge_beneficiaries": "terms of a pledge, written with it",
    "pledge_people": "a sum, to keep a cap",
    "pledge_days": "a sum, to keep a cap",
    "pledge_acts": "which acts count towards a threshold",
    "waiting_acts": "a queue",
    "payout_items": "written with their payout",
    "conversions": "facts of a shop's own system; that a file was taken is noted by hand",
    "conversion_totals": "figures",
    "exposures": "figures of a shop's own door counters, kept with when they were told",
    "holdout_units": "written with their draw",
    "coupons": "earned and used by shoppers; what staff take back is noted apart",
    "redemptions": "messages of tills",
    "gifts": "written with their redemption; their transfers tell",
    "points_lots": "earned by acts of shoppers",
    "points_spends": "an act of a shopper",
    "points_spend_lines": "written with their spend",
    "badge_awards": "earned by acts of shoppers",
    "act_codes": "an act of a shopper",
    "webhook_deliveries": "made by what happened; a replay and a test are noted by hand",
    "external_acts": "an act of a shopper, told of by a key; noted by hand",
    "friend_namings": "an act of a shopper",
    "mission_places": "an act of a shopper",
    "public_codes": "an act of a shopper",
    "referrals": "an act of a shopper",
    "scan_voids": "append-only by itself; noted by hand",
    "shares": "an act of a shopper",
    "step_answers": "an act of a shopper",
    "validations": "an act of a shopper, witnessed by a phone it names",
    "void_effects": "append-only by itself; the void is noted by hand",
    "alerts": "made and closed by the figures, never by a person",
    "audit_entries": "the log itself",
    "ballots": "an act of a shopper",
    "check_ins": "an act of a shopper",
    "code_report_days": "a count, to keep a most",
    "erasures": "a shopper's own act; the log would name who is gone",
    "case_days": "a count, to keep a most",
    "case_messages": "a shopper's words and answers to them; the case is noted, by hand",
    "comment_marks": "an act of a shopper",
    "comments": "an act of a shopper; an official answer shows for itself",
    "events": "the outbox: drained",
    "flagged_subjects": "a count, to keep a most and an order",
    "flags": "an act of a shopper",
    "idempotent_answers": "answers kept for a day",
    "contacts": "a shopper's own; the log would name an address",
    "letter_turns": "a count, to keep a most",
    "letters": "written by what happens, never by a person",
    "idea_follows": "an act of a shopper",
    "ideas": "an act of a shopper; what members decide of it is noted",
    "jobs": "moves by itself; that one was cancelled is noted by hand",
    "key_fingerprints": "one row, made at the first start",
    "legal_versions": "follow from the organisation's data, which are noted",
    "live_window_uses": "an act of a shopper",
    "log_starts": "moved by the clock",
    "memberships": "an act of a shopper",
    "mirror_counters": "taps",
    "mission_counters": "figures",
    "check_in_marks": "figures",
    "whole_figures": "figures",
    "merged_people": "a shopper's own act; noted by hand, under an id of nobody's",
    "participant_keys": "a shopper's own act",
    "participants": "shoppers",
    "replies": "an act of a shopper",
    "reply_counters": "figures",
    "cards": "an act of a shopper",
    "staff_hours": "a count, to keep a most",
    "staff_records": "an act of a shopper; it names the place, nobody of the staff",
    "pilot_people": "an act of a person of the team",
    "recovery_codes": "a shopper's own act",
    "recovery_tries": "a count, to keep a most",
    "raised_alerts": "raised by figures, never by a person",
    "receipt_tries": "a count, to keep a most",
    "scan_confirmations": "the scan log",
    "rollup_cells": "figures",
    "rollup_visitors": "figures",
    "rollup_weeks": "figures",
    "scan_counters": "figures",
    "scan_judgements": "the scan log; append-only by itself",
    "scan_positions": "the scan log",
    "scan_rollups": "figures",
    "scan_visitors": "figures",
    "scan_writers": "numbers of processes",
    "scans": "the scan log",
    "serial_uses": "an act of a shopper",
    "spent_taps": "taps",
    "step_completions": "an act of a shopper",
    "sun_tags": "comes with its token, which is noted; its counter is of taps",
    "target_forecasts": "figures",
    "text_counts": "a count, to keep a most",
    "till_code_tries": "a count, to keep a most",
    "turn_outs": "figures",
    "token_changes": "a history of its own; the token is noted",
    "visitor_salts": "gone after two days",
    "visits": "an act of a shopper",
    "vote_counters": "figures",
    "votes": "an act of a shopper",
}


def test_every_table_is_audited_or_says_why_not() -> None:
    assert registry  # which knows every table
    audited = {
        one.class_.__tablename__
        for one in SQLModel._sa_registry.mappers
        if isinstance(getattr(one.class_, "__audit__", None), Audit)
    }
    tables = set(SQLModel.metadata.tables)
    assert tables - audited - NOT_AUDITED.keys() == set(), "give it __audit__, or a reason here"
    assert NOT_AUDITED.keys() - tables == set()
    assert audited & NOT_AUDITED.keys() == set()


def entries(session: Session, **wanted: Any) -> list[AuditEntry]:
    session.flush()
    return list(session.exec(select(AuditEntry).filter_by(**wanted).order_by(AuditEntry.id)))  # type: ignore[arg-type]  # a column


def test_a_change_is_noted_with_its_author_from_what_to_what(session: Session) -> None:
    author = Author(AuthorKind.MEMBER, uuid4())
    place = make_place(session, make_organisation(session), address="1 rue Neuve")
    session.info["author"] = lambda: author
    places.change_place(session, place, radius_m=250, address=None, now=NOON)
    (entry,) = entries(session, action="place.changed")
    assert (entry.author_kind, entry.author_id, entry.subject_id) == ("member", author.id, place.id)
    assert entry.organisation_id == place.organisation_id
    assert entry.changes == {"radius_m": [100, 250], "address": ["1 rue Neuve", None]}


def test_nothing_is_noted_of_a_change_that_changes_nothing(session: Session) -> None:
    place = make_place(session, make_organisation(session))
    places.change_place(session, place, radius_m=100, now=NOON + timedelta(hours=1))
    assert entries(session, action="place.changed") == []


def test_what_hangs_on_something_else_is_noted_for_its_organisation(session: Session) -> None:
    campaign = make_campaign(session, make_organisation(session), live=False)
    planning.set_targets(session, campaign, {"check_ins": 500.0}, now=NOON)
    made = entries(session, action="target.created")
    assert made
    assert {one.organisation_id for one in made} == {campaign.organisation_id}


def test_a_change_that_is_rolled_back_leaves_no_entry(database: Database) -> None:
    with database.transaction() as session:
        organisation = make_organisation(session)

    def fail() -> None:
        with database.transaction() as session:
            make_place(session, organisation)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        fail()
    with database.snapshot() as session:
        assert entries(session, action="place.created") == []


def test_no_name_address_secret_or_hash_of_a_member_is_noted(session: Session) -> None:
    organisation = make_organisation(session)
    key, secret = identity.issue_key(session, organisation.id, role=Role.OWNER, now=NOON)
    member, link, link_secret = identity.invite_member(
        session,
        organisation.id,
        email="ana.martin@example.org",
        name="Ana Martin",
        role=Role.OWNER,
        most=RIGHTS[Role.OWNER],
        now=NOON,
    )
    signed, cookie = identity.sign_in_member(session, link_secret, label="Firefox", replaces=None, now=NOON)
    identity.invite_member(
        session, organisation.id, email="b@example.org", name="B", role=Role.OWNER, most=RIGHTS[Role.OWNER], now=NOON
    )
    log = str([one.model_dump(mode="json") for one in entries(session)])
    hashes = [key.secret_hash, link.secret_hash, signed.secret_hash]
    assert [one for one in (secret, link_secret, cookie, *hashes, "ana.martin", "Ana Martin") if one in log] == []
    (made, other) = entries(session, action="member.created")
    assert made.changes["email"] == ["(hidden)"]
    assert {made.subject_id, other.subject_id} > {member.id}


def test_long_values_are_cut(session: Session) -> None:
    make_place(session, make_organisation(session), address="x" * 400)
    (entry,) = entries(session, action="place.created")
    assert entry.changes["address"] == ["x" * audit.LONGEST + "…"]


def entry_of(database: Database, age: timedelta) -> None:
    """An entry that old, alone in its organisation."""
    with database.transaction() as session:
        organisation = make_organisation(session)
        now = clock.utc_now() - age
        audit.note(session, "place.changed", uuid4(), organisation_id=organisation.id, now=now)


def change_log(database: Database, statement: str) -> int:
    with database.transaction() as session:
        done = session.connection().execute(text(statement))
        return int(done.rowcount)


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_entries SET action = 'x' WHERE action = 'place.changed'", "DELETE FROM audit_entries"],
)
def test_an_entry_is_never_changed_and_not_deleted_before_its_term(database: Database, statement: str) -> None:
    entry_of(database, audit.KEPT - timedelta(days=1))
    with pytest.raises(DatabaseError, match="audit_entries only grows"):
        change_log(database, statement)


def test_an_entry_may_be_deleted_after_its_term_and_still_not_be_changed(database: Database) -> None:
    entry_of(database, audit.KEPT + timedelta(days=1))
    with pytest.raises(DatabaseError, match="audit_entries only grows"):
        change_log(database, "UPDATE audit_entries SET action = 'x' WHERE action = 'place.changed'")
    assert change_log(database, "DELETE FROM audit_entries WHERE action = 'place.changed'") == 1
