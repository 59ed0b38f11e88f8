"""API keys on both databases: roles, scopes, places, ends, rotation, and the twin that test keys work in."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlmodel import Session, col, select

from campaigns import identity, places, planning, scans
from campaigns.audit import AuditEntry
from campaigns.errors import Conflict, Forbidden, Invalid, NotFound
from campaigns.identity import RIGHTS, ApiKey, Organisation, Right, Role
from campaigns.identity.rights import KEY_ROLES, MEMBERS_ONLY
from campaigns.storage import Database
from tests.factories import NOON, make_campaign, make_organisation, make_place
from tests.racing import race

HOUR = timedelta(hours=1)
ALL = RIGHTS[Role.OWNER]


def issue(session: Session, organisation: Organisation, role: Role = Role.MARKETER, **fields: Any) -> ApiKey:
    key, _ = identity.issue_key(session, organisation.id, role=role, now=fields.pop("now", NOON), **fields)
    return key


@pytest.mark.parametrize("role", KEY_ROLES)
def test_a_key_may_what_its_role_may_but_never_decide(session: Session, role: Role) -> None:
    organisation = make_organisation(session)
    where = [make_place(session, organisation).id] if role is Role.STAFF else None
    assert issue(session, organisation, role, place_ids=where).rights == RIGHTS[role] - MEMBERS_ONLY


def test_a_key_has_no_role_of_members_alone(session: Session) -> None:
    with pytest.raises(Invalid) as refusal:
        issue(session, make_organisation(session), Role.APPROVER)
    assert refusal.value.context["pointer"] == "/role"


def test_scopes_narrow_a_role_and_never_widen_it(session: Session) -> None:
    organisation = make_organisation(session)
    key = issue(session, organisation, scopes=["tokens.read", "places.read", "tokens.read"])
    assert key.rights == {Right.TOKENS_READ, Right.PLACES_READ}
    for wrong in (["keys.write"], ["nothing"], ["approvals.decide"], []):
        with pytest.raises(Invalid) as refusal:
            issue(session, organisation, scopes=wrong)
        assert refusal.value.context["pointer"] == "/scopes"


def test_nobody_issues_or_rotates_a_key_with_more_rights_than_their_own(session: Session) -> None:
    organisation = make_organisation(session)
    least = frozenset({Right.KEYS_WRITE, Right.TOKENS_READ})
    with pytest.raises(Forbidden) as refusal:
        issue(session, organisation, most=least)
    assert refusal.value.code == "right_missing"
    assert issue(session, organisation, scopes=["tokens.read"], most=least).rights == {Right.TOKENS_READ}
    with pytest.raises(Forbidden):
        identity.rotate_key(session, issue(session, organisation), most=least, now=NOON)


def test_a_key_ends_when_it_says_so(session: Session) -> None:
    organisation = make_organisation(session)
    with pytest.raises(Invalid):
        issue(session, organisation, expires_at=NOON)
    _, secret = identity.issue_key(session, organisation.id, role=Role.ANALYST, expires_at=NOON + HOUR, now=NOON)
    assert identity.key_by_secret(session, secret, now=NOON + HOUR - timedelta(microseconds=1))
    with pytest.raises(Forbidden) as refusal:
        identity.key_by_secret(session, secret, now=NOON + HOUR)
    assert refusal.value.code == "unauthenticated"


def test_a_key_that_ends_makes_none_that_outlasts_it(session: Session) -> None:
    organisation = make_organisation(session)
    issuer = issue(session, organisation, Role.OWNER, expires_at=NOON + HOUR)
    for late in (None, NOON + 2 * HOUR):
        with pytest.raises(Invalid) as refusal:
            issue(session, organisation, expires_at=late, issued_by=issuer)
        assert refusal.value.context["pointer"] == "/expires_at"
        with pytest.raises(Forbidden):
            identity.rotate_key(session, issue(session, organisation, expires_at=late), most=ALL, by=issuer, now=NOON)
    assert issue(session, organisation, expires_at=NOON + HOUR, issued_by=issuer)
    assert identity.rotate_key(session, issuer, most=ALL, by=issuer, now=NOON)


def test_a_successor_is_of_who_was_shown_it(session: Session) -> None:
    organisation = make_organisation(session)
    ana, ben = (
        identity.invite_member(
            session, organisation.id, email=f"{name}@x.example", name=name, role=Role.OWNER, most=ALL, now=NOON
        )[0].id
        for name in ("ana", "ben")
    )
    of_ana = issue(session, organisation, Role.OWNER, member_id=ana)
    of_ben, _ = identity.rotate_key(session, of_ana, most=ALL, member_id=ben, now=NOON)
    assert (of_ben.issued_by_member_id, of_ben.issued_by_key_id) == (ben, None)
    by_key, _ = identity.rotate_key(session, issue(session, organisation, member_id=ana), most=ALL, by=of_ben, now=NOON)
    assert (by_key.issued_by_member_id, by_key.issued_by_key_id) == (ben, of_ben.id)


def test_a_staff_key_is_bound_to_places(session: Session) -> None:
    organisation = make_organisation(session)
    place = make_place(session, organisation)
    nowhere: list[UUID] | None
    for nowhere in (None, []):
        with pytest.raises(Invalid) as refusal:
            issue(session, organisation, Role.STAFF, place_ids=nowhere)
        assert refusal.value.context["pointer"] == "/place_ids"
    assert issue(session, organisation, Role.STAFF, place_ids=[place.id]).places == frozenset({place.id})
    assert issue(session, organisation).places is None


def test_a_successor_is_the_same_key_with_another_secret(session: Session) -> None:
    organisation = make_organisation(session)
    place = make_place(session, organisation)
    old = issue(session, organisation, place_ids=[place.id], scopes=["places.read"], expires_at=NOON + HOUR)
    new, secret = identity.rotate_key(session, old, most=ALL, now=NOON)
    assert (new.rights, new.places, new.expires_at) == (old.rights, old.places, old.expires_at)
    assert new.rotated_from_id == old.id
    assert old.is_live(NOON)
    assert identity.key_by_secret(session, secret, now=NOON).id == new.id


def test_two_of_a_line_live_at_once_and_no_third(session: Session) -> None:
    old = issue(session, make_organisation(session))
    new, _ = identity.rotate_key(session, old, most=ALL, now=NOON)
    for one in (old, new):
        with pytest.raises(Conflict) as refusal:
            identity.rotate_key(session, one, most=ALL, now=NOON)
        assert refusal.value.code == "rotation_running"
    identity.revoke_key(session, old, now=NOON)
    assert identity.rotate_key(session, new, most=ALL, now=NOON)[0].rotated_from_id == new.id
    with pytest.raises(Conflict) as ended:
        identity.rotate_key(session, old, most=ALL, now=NOON)
    assert ended.value.code == "wrong_state"


def test_of_twenty_rotations_at_once_one_makes_the_successor(database: Database) -> None:
    with database.transaction() as session:
        key_id = issue(session, make_organisation(session)).id

    def rotate(_: int) -> object:
        with database.transaction() as session:
            return identity.rotate_key(session, session.get_one(ApiKey, key_id), most=ALL, now=NOON)[0].id

    outcomes = race(20, rotate)
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert {type(one) for one in refused} == {Conflict}
    assert len(refused) == 19
    with database.snapshot() as session:
        assert len(session.exec(select(ApiKey)).all()) == 2


def test_a_revoked_key_stays_revoked_since_the_first_time(session: Session) -> None:
    organisation = make_organisation(session)
    key, secret = identity.issue_key(session, organisation.id, role=Role.OWNER, now=NOON)
    identity.revoke_key(session, key, now=NOON)
    assert identity.revoke_key(session, key, now=NOON + HOUR).revoked_at == NOON
    with pytest.raises(Forbidden):
        identity.key_by_secret(session, secret, now=NOON)


def test_an_organisation_has_at_most_two_hundred_live_keys(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity.keys, "MOST_KEYS", 3)
    organisation = make_organisation(session)
    issued = [issue(session, organisation) for _ in range(3)]
    with pytest.raises(Conflict) as refusal:
        issue(session, organisation)
    assert refusal.value.code == "too_many_keys"
    identity.revoke_key(session, issued[0], now=NOON)
    assert issue(session, organisation)


def test_the_twin_of_test_keys_is_made_once_by_twenty_who_ask_at_once(database: Database) -> None:
    with database.transaction() as session:
        organisation = make_organisation(session)

    def issue_test(_: int) -> object:
        with database.transaction() as session:
            return issue(session, organisation, is_test=True).organisation_id

    outcomes = race(20, issue_test)
    assert not [one for one in outcomes if isinstance(one, Exception)]
    (twin,) = set(outcomes)
    assert twin != organisation.id
    with database.snapshot() as session:
        twins = session.exec(select(Organisation).where(col(Organisation.test_of_id).is_not(None))).all()
        assert [(one.id, one.test_of_id) for one in twins] == [(twin, organisation.id)]


def test_what_a_test_key_makes_is_in_no_list_of_the_organisation_itself(session: Session) -> None:
    organisation = make_organisation(session)
    key = issue(session, organisation, is_test=True)
    twin = session.get_one(Organisation, key.organisation_id)
    campaign = make_campaign(session, twin)
    place = make_place(session, twin)
    assert planning.list_campaigns(session, organisation.id, before=None, limit=9) == []
    assert places.list_places(session, organisation.id, before=None, limit=9) == []
    with pytest.raises(NotFound):
        planning.campaign_by_id(session, organisation.id, campaign.id)
    with pytest.raises(NotFound):
        places.place_by_id(session, organisation.id, place.id)
    with pytest.raises(NotFound):
        scans.scan_of(session, organisation.id, campaign.id)


def test_the_log_of_the_organisation_tells_of_its_test_keys(session: Session) -> None:
    organisation = make_organisation(session)
    key = issue(session, organisation, is_test=True, name="try")
    new, _ = identity.rotate_key(session, key, most=ALL, now=NOON)
    identity.revoke_key(session, key, now=NOON)
    identity.revoke_key(session, key, now=NOON + HOUR)
    told = [
        (one.action, one.subject_id, one.organisation_id)
        for one in session.exec(select(AuditEntry).where(col(AuditEntry.action).startswith("api_key")))
    ]
    for owner in (organisation.id, key.organisation_id):
        assert sorted(one for one in told if one[2] == owner) == sorted(
            [("api_key.created", key.id, owner), ("api_key.created", new.id, owner), ("api_key.changed", key.id, owner)]
        )
    assert new.secret_hash not in str([one.changes for one in session.exec(select(AuditEntry))])


def test_an_owner_sees_and_ends_test_keys_and_a_test_key_sees_only_its_like(session: Session) -> None:
    organisation = make_organisation(session)
    live, test = issue(session, organisation), issue(session, organisation, is_test=True)
    listed = identity.list_keys(session, organisation.id, before=None, limit=9)
    assert {one.id for one in listed} == {live.id, test.id}
    beside = issue(session, session.get_one(Organisation, test.organisation_id), is_test=True)
    seen = identity.list_keys(session, test.organisation_id, before=None, limit=9)
    assert {one.id for one in seen} == {test.id, beside.id}
    with pytest.raises(NotFound):
        identity.key_by_id(session, test.organisation_id, live.id)
