"""Four eyes on both databases: proposed once, decided once, never by who proposed it."""

from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlmodel import Session, select

from campaigns import approvals, identity
from campaigns.approvals import Approval, ApprovalKind, ApprovalState
from campaigns.audit import AuditEntry
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.identity import RIGHTS, Organisation, Role
from campaigns.storage import Database
from tests.factories import NOON, make_organisation
from tests.racing import race


def make_member(session: Session, organisation: Organisation, name: str) -> UUID:
    member, *_ = identity.invite_member(
        session,
        organisation.id,
        email=f"{name}@example.org",
        name=name,
        role=Role.APPROVER,
        most=RIGHTS[Role.OWNER],
        now=NOON,
    )
    return member.id


def propose(
    session: Session, organisation: Organisation, *, subject: UUID | None = None, member_id: UUID | None = None
) -> Approval:
    return approvals.propose(
        session,
        organisation.id,
        kind=ApprovalKind.LAUNCH,
        subject_id=subject or uuid4(),
        subject_name="Verger",
        key_id=None,
        member_id=member_id or make_member(session, organisation, uuid4().hex),
        now=NOON,
    )


def test_another_member_decides_and_who_and_when_is_kept(session: Session) -> None:
    organisation = make_organisation(session)
    ana, ben = make_member(session, organisation, "ana"), make_member(session, organisation, "ben")
    approval = propose(session, organisation, member_id=ana)
    with pytest.raises(Forbidden) as refusal:
        approvals.decide(session, approval, ApprovalState.APPROVED, member_id=ana, reason=None, now=NOON)
    assert refusal.value.code == "own_proposal"
    done = approvals.decide(session, approval, ApprovalState.REFUSED, member_id=ben, reason="too early", now=NOON)
    assert (done.state, done.decided_by_member_id, done.decided_at, done.reason) == ("refused", ben, NOON, "too early")


def test_a_key_that_is_nobodys_proposes_nothing_and_what_one_had_proposed_is_not_approved(session: Session) -> None:
    organisation = make_organisation(session)
    ana = make_member(session, organisation, "ana")
    fields: dict[str, Any] = {
        "kind": ApprovalKind.LAUNCH,
        "subject_id": uuid4(),
        "subject_name": "Verger",
        "key_id": None,
        "now": NOON,
    }
    with pytest.raises(Forbidden) as refusal:
        approvals.propose(session, organisation.id, member_id=None, **fields)
    assert refusal.value.code == "maker_unknown"
    old = propose(session, organisation)
    old.proposed_by_member_id = None
    with pytest.raises(Forbidden) as refusal:
        approvals.decide(session, old, ApprovalState.APPROVED, member_id=ana, reason=None, now=NOON)
    assert refusal.value.code == "maker_unknown"
    done = approvals.decide(session, old, ApprovalState.REFUSED, member_id=ana, reason="whose?", now=NOON)
    assert done.state == ApprovalState.REFUSED


@pytest.mark.parametrize("first", ["decided", "withdrawn"])
def test_what_was_settled_is_settled(session: Session, first: str) -> None:
    organisation = make_organisation(session)
    ana = make_member(session, organisation, "ana")
    approval = propose(session, organisation)
    if first == "decided":
        approvals.decide(session, approval, ApprovalState.APPROVED, member_id=ana, reason=None, now=NOON)
    else:
        approvals.withdraw(session, approval, now=NOON)
    with pytest.raises(Conflict) as refusal:
        approvals.decide(session, approval, ApprovalState.REFUSED, member_id=ana, reason=None, now=NOON)
    assert refusal.value.code == "decided_already"
    with pytest.raises(Conflict):
        approvals.withdraw(session, approval, now=NOON)


def test_one_proposal_of_a_kind_waits_for_a_subject_and_another_may_follow(session: Session) -> None:
    organisation, subject = make_organisation(session), uuid4()
    first = propose(session, organisation, subject=subject)
    assert propose(session, organisation, subject=subject).id == first.id
    approvals.withdraw(session, first, now=NOON)
    assert propose(session, organisation, subject=subject).id != first.id


def test_of_twenty_decisions_at_once_one_is_made_and_noted(database: Database) -> None:
    with database.transaction() as session:
        organisation = make_organisation(session)
        members = [make_member(session, organisation, f"m{index}") for index in range(20)]
        approval_id = propose(session, organisation).id

    def decide(index: int) -> None:
        state = ApprovalState.APPROVED if index % 2 else ApprovalState.REFUSED
        with database.transaction() as session:
            approval = approvals.approval_by_id(session, organisation.id, approval_id)
            approvals.decide(session, approval, state, member_id=members[index], reason=None, now=NOON)

    outcomes = race(20, decide)
    (winner,) = [index for index, one in enumerate(outcomes) if one is None]
    assert [one.code for one in outcomes if isinstance(one, Conflict)] == ["decided_already"] * 19
    with database.snapshot() as session:
        kept = session.get_one(Approval, approval_id)
        assert kept.decided_by_member_id == members[winner]
        noted = session.exec(select(AuditEntry).where(AuditEntry.action == "approval.changed")).all()
        assert [one.changes["state"] for one in noted] == [["waiting", kept.state]]


def test_of_twenty_proposals_at_once_one_waits(database: Database) -> None:
    with database.transaction() as session:
        organisation, subject = make_organisation(session), uuid4()

    def ask(_: int) -> UUID:
        with database.transaction() as session:
            return propose(session, organisation, subject=subject).id

    outcomes = race(20, ask)
    assert not [one for one in outcomes if isinstance(one, Exception)]
    assert len(set(outcomes)) == 1


def test_a_proposal_of_another_organisation_is_not_there(session: Session) -> None:
    approval = propose(session, make_organisation(session))
    with pytest.raises(NotFound):
        approvals.approval_by_id(session, make_organisation(session).id, approval.id)
    listed = approvals.list_approvals(session, approval.organisation_id, state=None, before=None, limit=9)
    assert [one.id for one in listed] == [approval.id]
    done = approvals.list_approvals(
        session, approval.organisation_id, state=ApprovalState.APPROVED, before=None, limit=9
    )
    assert done == []
