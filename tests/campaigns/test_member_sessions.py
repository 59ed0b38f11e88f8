"""Members' links and sessions as time passes, and races for them, on both databases."""

import threading
from datetime import timedelta
from uuid import UUID

import pytest
from sqlmodel import Session

from campaigns import identity
from campaigns.errors import CampaignError, Conflict, Forbidden, Gone
from campaigns.identity import RIGHTS, Member, Role
from campaigns.storage import Database
from tests.factories import NOON, make_organisation
from tests.racing import race

MINUTE = timedelta(minutes=1)
ALL = RIGHTS[Role.OWNER]


def invited(session: Session, organisation_id: UUID, name: str = "camille") -> tuple[Member, str]:
    """A new owner and the secret of the invitation."""
    member, _, secret = identity.invite_member(
        session, organisation_id, email=f"{name}@lahalle.example", name=name, role=Role.OWNER, most=ALL, now=NOON
    )
    return member, secret


def signed_in(session: Session, organisation_id: UUID, name: str = "camille") -> tuple[Member, str]:
    """An owner who has signed in, and the secret of the session."""
    member, secret = invited(session, organisation_id, name)
    return member, identity.sign_in_member(session, secret, label="Firefox", replaces=None, now=NOON)[1]


def test_an_invitation_works_for_seven_days_and_a_further_link_for_half_an_hour(session: Session) -> None:
    member, secret = invited(session, make_organisation(session).id)
    late = NOON + timedelta(days=7)
    assert identity.link_by_secret(session, secret, now=late - MINUTE)[1] == member
    with pytest.raises(Gone):
        identity.sign_in_member(session, secret, label="", replaces=None, now=late)
    _, further = identity.new_sign_in_link(session, member, most=ALL, now=late)
    assert identity.link_by_secret(session, further, now=late + 29 * MINUTE)[1] == member
    with pytest.raises(Gone):
        identity.sign_in_member(session, further, label="", replaces=None, now=late + 30 * MINUTE)


def test_a_session_rests_after_half_an_hour_away(session: Session) -> None:
    _, secret = signed_in(session, make_organisation(session).id)
    found = identity.member_by_session(session, secret, now=NOON + 29 * MINUTE)
    identity.note_sight(session, found.session.id, now=NOON + 29 * MINUTE)
    session.expire_all()
    identity.member_by_session(session, secret, now=NOON + 58 * MINUTE)
    with pytest.raises(Forbidden) as refusal:
        identity.member_by_session(session, secret, now=NOON + 59 * MINUTE)
    assert refusal.value.code == "member_not_signed_in"
    identity.note_sight(session, found.session.id, now=NOON + 60 * MINUTE)  # too late to wake it
    session.expire_all()
    with pytest.raises(Forbidden):
        identity.member_by_session(session, secret, now=NOON + 61 * MINUTE)


def test_a_session_ends_after_twelve_hours_however_busy(session: Session) -> None:
    _, secret = signed_in(session, make_organisation(session).id)
    for steps in range(1, 36):
        now = NOON + steps * 20 * MINUTE
        identity.note_sight(session, identity.member_by_session(session, secret, now=now).session.id, now=now)
        session.expire_all()
    identity.member_by_session(session, secret, now=NOON + timedelta(hours=12) - MINUTE)
    with pytest.raises(Forbidden):
        identity.member_by_session(session, secret, now=NOON + timedelta(hours=12))


def test_of_twenty_who_use_a_link_at_once_one_gets_in(database: Database) -> None:
    with database.transaction() as session:
        _, secret = invited(session, make_organisation(session).id)

    def use(_: int) -> str:
        with database.transaction() as session:
            return identity.sign_in_member(session, secret, label="", replaces=None, now=NOON)[1]

    outcomes = race(20, use)
    assert len([one for one in outcomes if isinstance(one, str)]) == 1
    assert [type(one) for one in outcomes if not isinstance(one, str)] == [Gone] * 19


@pytest.mark.parametrize("way", ["remove", "lower"])
def test_of_two_owners_who_end_each_other_at_once_one_stays(database: Database, way: str) -> None:
    with database.transaction() as session:
        organisation_id = make_organisation(session).id
        camille, noe = (signed_in(session, organisation_id, name)[0].id for name in ("camille", "noe"))
    outcomes: list[Exception | None] = []

    def end(session: Session, member_id: UUID) -> None:
        member = identity.member_by_id(session, organisation_id, member_id)
        if way == "remove":
            identity.remove_member(session, member, now=NOON)
        else:
            identity.change_role(session, member, Role.ANALYST, most=ALL)

    def end_noe() -> None:
        try:
            with database.transaction() as session:
                end(session, noe)
            outcomes.append(None)
        except CampaignError as error:
            outcomes.append(error)

    thread = threading.Thread(target=end_noe, daemon=True)
    with database.transaction() as session:
        end(session, camille)
        thread.start()
        thread.join(0.3)  # enough for who would not wait for this commit
    thread.join(60)
    assert [one.code if isinstance(one, Conflict) else one for one in outcomes] == ["last_owner"]
    with database.snapshot() as session:
        left = identity.list_members(session, organisation_id, before=None, limit=10)
        assert [one.id for one in left if one.role == "owner"] == [noe]
