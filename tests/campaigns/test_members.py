"""Members on both databases: invitations, one-time links, sessions that end, roles, and the last owner."""

from datetime import timedelta
from typing import Any

import pytest
from sqlmodel import Session, select

from campaigns import identity, worker
from campaigns.audit import AuditEntry
from campaigns.errors import Conflict, Forbidden, Gone, Invalid, NotFound
from campaigns.identity import RIGHTS, Member, MemberSession, Organisation, Right, Role
from campaigns.storage import Database
from tests.factories import NOON, make_organisation
from tests.racing import race

MINUTE = timedelta(minutes=1)
ALL = RIGHTS[Role.OWNER]


def invite(session: Session, organisation: Organisation, role: Role = Role.OWNER, **fields: Any) -> tuple[Member, str]:
    email = fields.pop("email", f"{len(session.exec(select(Member)).all())}@example.org")
    given = {"email": email, "name": "Ana", "most": ALL, "now": NOON, **fields}
    member, _, secret = identity.invite_member(session, organisation.id, role=role, **given)
    return member, secret


def join(session: Session, organisation: Organisation, role: Role = Role.OWNER) -> tuple[Member, str]:
    """A member who signed in, and the secret of the session."""
    member, secret = invite(session, organisation, role)
    return member, sign_in(session, secret)[1]


def sign_in(session: Session, secret: str, **fields: Any) -> tuple[MemberSession, str]:
    return identity.sign_in_member(session, secret, **{"label": "Firefox", "replaces": None, "now": NOON, **fields})


def test_an_invitation_signs_in_once_and_says_when_they_joined(session: Session) -> None:
    member, secret = invite(session, make_organisation(session), Role.ANALYST)
    _, cookie = sign_in(session, secret, now=NOON + MINUTE)
    assert member.joined_at == NOON + MINUTE
    signed = identity.member_by_session(session, cookie, now=NOON + MINUTE)
    assert (signed.member.id, signed.member.rights) == (member.id, RIGHTS[Role.ANALYST])
    with pytest.raises(Gone) as refusal:
        sign_in(session, secret, now=NOON + MINUTE)
    assert refusal.value.code == "sign_in_link_used"


@pytest.mark.parametrize("life", [timedelta(days=7), timedelta(minutes=30)])
def test_a_link_that_is_late_is_gone(session: Session, life: timedelta) -> None:
    member, secret = invite(session, make_organisation(session))
    if life < timedelta(days=7):
        secret = identity.new_sign_in_link(session, member, most=ALL, now=NOON)[1]
    assert identity.link_by_secret(session, secret, now=NOON + life - MINUTE)
    with pytest.raises(Gone):
        sign_in(session, secret, now=NOON + life)


def test_of_twenty_browsers_with_one_link_one_gets_in(database: Database) -> None:
    with database.transaction() as session:
        _, secret = invite(session, make_organisation(session))

    def open_link(_: int) -> object:
        with database.transaction() as session:
            return sign_in(session, secret)[0].id

    outcomes = race(20, open_link)
    refused = [one for one in outcomes if isinstance(one, Exception)]
    assert {type(one) for one in refused} == {Gone}
    assert len(refused) == 19
    with database.snapshot() as session:
        assert len(session.exec(select(MemberSession)).all()) == 1


def test_a_member_is_sent_five_links_in_half_an_hour(session: Session) -> None:
    member, _ = invite(session, make_organisation(session))
    for _ in range(4):
        identity.new_sign_in_link(session, member, most=ALL, now=NOON)
    with pytest.raises(Conflict) as refusal:
        identity.new_sign_in_link(session, member, most=ALL, now=NOON + 29 * MINUTE)
    assert refusal.value.code == "too_many_links"
    assert identity.new_sign_in_link(session, member, most=ALL, now=NOON + 30 * MINUTE)


def test_of_twenty_who_ask_for_links_at_once_five_get_one(database: Database) -> None:
    with database.transaction() as session:
        member_id = invite(session, make_organisation(session), now=NOON - timedelta(days=1))[0].id

    def ask(_: int) -> object:
        with database.transaction() as session:
            return identity.new_sign_in_link(session, session.get_one(Member, member_id), most=ALL, now=NOON)[0].id

    refused = [one for one in race(20, ask) if isinstance(one, Exception)]
    assert {type(one) for one in refused} == {Conflict}
    assert len(refused) == 15


def test_a_session_rests_after_half_an_hour_and_ends_after_twelve(session: Session) -> None:
    _, cookie = join(session, make_organisation(session))
    assert identity.member_by_session(session, cookie, now=NOON + 29 * MINUTE)
    with pytest.raises(Forbidden) as rested:
        identity.member_by_session(session, cookie, now=NOON + 30 * MINUTE)
    assert rested.value.code == "member_not_signed_in"
    (found,) = session.exec(select(MemberSession)).all()
    found.last_seen_at = NOON + timedelta(hours=11, minutes=59)
    session.flush()
    assert identity.member_by_session(session, cookie, now=NOON + timedelta(hours=11, minutes=59))
    with pytest.raises(Forbidden):
        identity.member_by_session(session, cookie, now=NOON + timedelta(hours=12))


def test_a_sight_is_noted_and_wakes_no_session_that_rested(session: Session) -> None:
    _, cookie = join(session, make_organisation(session))
    found = session.exec(select(MemberSession)).one()
    identity.note_sight(session, found.id, now=NOON + 20 * MINUTE)
    session.refresh(found)
    assert found.last_seen_at == NOON + 20 * MINUTE
    identity.note_sight(session, found.id, now=NOON + 50 * MINUTE)
    session.refresh(found)
    assert found.last_seen_at == NOON + 20 * MINUTE
    with pytest.raises(Forbidden):
        identity.member_by_session(session, cookie, now=NOON + 50 * MINUTE)


def test_a_sign_in_ends_the_session_the_browser_had(session: Session) -> None:
    member, before = join(session, make_organisation(session))
    _, secret = identity.new_sign_in_link(session, member, most=ALL, now=NOON)
    _, after = sign_in(session, secret, replaces=before)
    assert after != before
    with pytest.raises(Forbidden):
        identity.member_by_session(session, before, now=NOON)
    assert identity.member_by_session(session, after, now=NOON).member.id == member.id


def test_a_session_that_was_ended_or_never_was_is_refused(session: Session) -> None:
    organisation = make_organisation(session)
    member, cookie = join(session, organisation)
    found = session.exec(select(MemberSession)).one()
    other, _ = join(session, organisation)
    with pytest.raises(NotFound):
        identity.revoke_session(session, other, found.id, now=NOON)
    identity.revoke_session(session, member, found.id, now=NOON)
    for secret in (cookie, "", "x" * 27, "x" * 200):
        with pytest.raises(Forbidden):
            identity.member_by_session(session, secret, now=NOON)


def test_a_role_changes_what_an_open_session_may(session: Session) -> None:
    organisation = make_organisation(session)
    join(session, organisation)
    member, cookie = join(session, organisation, Role.ANALYST)
    identity.change_role(session, member, Role.MODERATOR, most=ALL)
    assert Right.CARE_WRITE in identity.member_by_session(session, cookie, now=NOON).member.rights


def test_nobody_gives_a_role_with_more_rights_than_their_own(session: Session) -> None:
    organisation = make_organisation(session)
    most = RIGHTS[Role.MARKETER] | {Right.MEMBERS_WRITE}
    with pytest.raises(Forbidden):
        invite(session, organisation, Role.OWNER, most=most)
    member, _ = invite(session, organisation, Role.ANALYST, most=most)
    with pytest.raises(Forbidden) as refusal:
        identity.change_role(session, member, Role.OWNER, most=most)
    assert refusal.value.code == "right_missing"
    with pytest.raises(Invalid):
        identity.change_role(session, member, Role.STAFF, most=ALL)


def test_nobody_makes_a_link_for_a_member_with_more_rights_than_their_own(session: Session) -> None:
    organisation = make_organisation(session)
    most = RIGHTS[Role.MARKETER] | {Right.MEMBERS_WRITE}
    owner, _ = invite(session, organisation)
    with pytest.raises(Forbidden) as refusal:
        identity.new_sign_in_link(session, owner, most=most, now=NOON)
    assert refusal.value.code == "right_missing"
    for role in (Role.MARKETER, Role.ANALYST):
        assert identity.new_sign_in_link(session, invite(session, organisation, role)[0], most=most, now=NOON)


def test_an_address_is_one_member_of_an_organisation_in_any_case(session: Session) -> None:
    organisation = make_organisation(session)
    invite(session, organisation, email="Ana@Example.org")
    with pytest.raises(Conflict) as refusal:
        invite(session, organisation, email="ana@example.ORG")
    assert refusal.value.code == "member_exists"
    elsewhere, _ = invite(session, make_organisation(session), email="ana@example.org")
    assert {one.organisation_id for one in identity.find_members(session, " ANA@example.org")} == {
        organisation.id,
        elsewhere.organisation_id,
    }


@pytest.mark.parametrize(
    "email",
    [
        *("", "ana", "@example.org", "ana@", "ana@host", "a b@example.org", "ana@example .org"),
        # What a mail's header would read as another address, as two or as none.
        *("ana@example.org,eve@evil.example", "ana@[example.org", "ana<eve@evil.example", "ana:eve@evil.example;"),
        *("ana@example..org", "ana@example.org.", '"ana@b.example', "=?utf-8?q?eve?=@evil.example", "a\x00@b.example"),
    ],
)
def test_what_cannot_be_an_address_is_refused(session: Session, email: str) -> None:
    with pytest.raises(Invalid) as refusal:
        invite(session, make_organisation(session), email=email)
    assert refusal.value.context["pointer"] == "/email"


def test_a_removed_member_is_out_at_once_and_forgotten_by_name(session: Session) -> None:
    organisation = make_organisation(session)
    join(session, organisation)
    member, cookie = join(session, organisation)
    _, link = identity.new_sign_in_link(session, member, most=ALL, now=NOON)
    identity.remove_member(session, member, now=NOON)
    with pytest.raises(Forbidden):
        identity.member_by_session(session, cookie, now=NOON)
    with pytest.raises(NotFound):
        sign_in(session, link)
    with pytest.raises(NotFound):
        identity.member_by_id(session, organisation.id, member.id)
    kept = session.get_one(Member, member.id)
    assert (kept.email, kept.email_key, kept.name) == (None, None, "")
    assert member.id not in [one.id for one in identity.list_members(session, organisation.id, before=None, limit=9)]


def test_the_address_of_a_removed_member_is_nowhere(database: Database) -> None:
    address, name = "zoe.planted-quince@brand.example", "Zoé Planted-quince"
    with database.transaction() as session:
        organisation = make_organisation(session)
        member, *_ = identity.invite_member(
            session, organisation.id, email=address, name=name, role=Role.ANALYST, most=ALL, now=NOON
        )
    with database.transaction() as session:
        identity.remove_member(session, session.get_one(Member, member.id), now=NOON)
    worker.purge(database, now=NOON)
    with database.snapshot() as session:
        rows = [str(one) for table in (Member, AuditEntry) for one in session.exec(select(table))]
    assert "quince" not in "".join(rows)
    if database.path is not None:
        files = [one.read_bytes() for one in database.path.parent.iterdir() if one.is_file()]
        assert not any(b"quince" in content for content in files)


def test_the_last_owner_stays_an_owner(session: Session) -> None:
    organisation = make_organisation(session)
    owner, _ = join(session, organisation)
    invite(session, organisation)  # an owner who never signed in could let nobody in
    for leave in (
        lambda: identity.remove_member(session, owner, now=NOON),
        lambda: identity.change_role(session, owner, Role.ANALYST, most=ALL),
    ):
        with pytest.raises(Conflict) as refusal:
            leave()
        assert refusal.value.code == "last_owner"
    join(session, organisation)
    identity.remove_member(session, owner, now=NOON)


@pytest.mark.parametrize("way", ["removed", "changed"])
def test_of_two_owners_who_end_each_other_at_once_one_stays(database: Database, way: str) -> None:
    with database.transaction() as session:
        organisation = make_organisation(session)
        owners = [join(session, organisation)[0].id for _ in range(2)]

    def end_other(index: int) -> None:
        with database.transaction() as session:
            other = identity.member_by_id(session, organisation.id, owners[1 - index])
            if way == "removed":
                identity.remove_member(session, other, now=NOON)
            else:
                identity.change_role(session, other, Role.ANALYST, most=ALL)

    outcomes = race(2, end_other)
    assert outcomes.count(None) == 1
    assert [one.code for one in outcomes if isinstance(one, Conflict)] == ["last_owner"]
    with database.snapshot() as session:
        left = identity.list_members(session, organisation.id, before=None, limit=9)
        assert [one.role for one in left].count("owner") == 1
