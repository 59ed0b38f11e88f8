"""Four eyes: what one proposes and another member approves or refuses, once, with who and when.

The kinds stand here with nothing of what they do: whoever has the approval carries it out in the same transaction.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from sqlalchemy import Index, text, update
from sqlmodel import Field, Session, col, select

from campaigns.audit import Audit, note, note_new
from campaigns.errors import Conflict, Forbidden, NotFound
from campaigns.ids import uuid7_at
from campaigns.storage import Row, changed, find_own, insert_once, newest

_WAITING = text("state = 'waiting'")


class ApprovalKind(StrEnum):
    """What waits. A payout carries its own two people."""

    LAUNCH = "launch"


class ApprovalState(StrEnum):
    """A proposal is decided once. Withdrawn: by its own side, or because it no longer applies."""

    WAITING = "waiting"
    APPROVED = "approved"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"


class Approval(Row, table=True):
    """A proposal, and what was decided. One of a kind waits for a subject at a time."""

    __tablename__ = "approvals"
    __table_args__ = (
        Index(
            "uq_approvals_waiting", "kind", "subject_id", unique=True, sqlite_where=_WAITING, postgresql_where=_WAITING
        ),
        Index("ix_approvals_organisation_id_id", "organisation_id", "id"),
    )
    __audit__ = Audit("approval")

    organisation_id: UUID = Field(foreign_key="organisations.id")
    kind: str
    subject_id: UUID
    subject_name: str
    state: str = ApprovalState.WAITING
    proposed_at: datetime
    proposed_by_key_id: UUID | None = Field(default=None, foreign_key="api_keys.id")
    proposed_by_member_id: UUID | None = Field(
        default=None, foreign_key="members.id", description="who proposed, or issued the key that did"
    )
    decided_at: datetime | None = None
    decided_by_member_id: UUID | None = Field(default=None, foreign_key="members.id")
    reason: str | None = None


def propose(
    session: Session,
    organisation_id: UUID,
    *,
    kind: ApprovalKind,
    subject_id: UUID,
    subject_name: str,
    key_id: UUID | None,
    member_id: UUID | None,
    since: datetime | None = None,
    now: datetime,
) -> Approval:
    """Let something wait for approval. A proposal that waits already is returned as it is, unless its subject changed
    `since`: that one is withdrawn, and this one waits.

    Forbidden (`maker_unknown`) for a key behind which no member is known: whoever holds it could approve what they
    proposed. Conflict in the odd moment that the one that waited is decided just now.
    """
    if member_id is None:
        raise Forbidden(
            "Nobody can tell whose key this is, and another member has to approve. Propose it at the console, or with "
            "a key that a member issued.",
            code="maker_unknown",
        )
    if since is not None:
        _withdraw_older(session, kind, subject_id, since, now=now)
    id = uuid7_at(now)
    fields = {
        "organisation_id": organisation_id,
        "kind": kind.value,
        "subject_id": subject_id,
        "subject_name": subject_name,
        "state": ApprovalState.WAITING.value,
        "proposed_at": now,
        "proposed_by_key_id": key_id,
        "proposed_by_member_id": member_id,
    }
    if insert_once(session, Approval, id=id, **fields):
        note_new(session, "approval", id, fields, now=now)
        return session.get_one(Approval, id)
    waiting = _waiting(session, kind, subject_id)
    if waiting is None:
        raise Conflict("What waited was decided just now. Read it again.", code="decided_already")
    return waiting


def decide(
    session: Session, approval: Approval, state: ApprovalState, *, member_id: UUID, reason: str | None, now: datetime
) -> Approval:
    """Approve or refuse. Forbidden for who proposed it, or issued the key that did; Conflict when decided already.

    Forbidden (`maker_unknown`) to approve what a key proposed behind which no member is known.
    """
    if approval.proposed_by_member_id is None and state is ApprovalState.APPROVED:
        raise Forbidden(
            "Nobody can tell who proposed this, so it could be you. Refuse it, and have a member propose it.",
            code="maker_unknown",
        )
    if member_id == approval.proposed_by_member_id:
        raise Forbidden("You proposed this, or issued the key that did: another member decides.", code="own_proposal")
    _settle(session, approval, state, now=now, decided_by_member_id=member_id, reason=reason)
    return approval


def withdraw(session: Session, approval: Approval, *, now: datetime) -> Approval:
    """Take a proposal back. Conflict when it is decided already."""
    _settle(session, approval, ApprovalState.WITHDRAWN, now=now)
    return approval


def approval_by_id(session: Session, organisation_id: UUID, approval_id: UUID) -> Approval:
    """One of the organisation's; NotFound for any other."""
    found = find_own(session, Approval, organisation_id, approval_id)
    if found is None:
        raise NotFound("There is no such approval.")
    return found


def list_approvals(
    session: Session, organisation_id: UUID, *, state: ApprovalState | None, before: UUID | None, limit: int
) -> Sequence[Approval]:
    """Proposals of an organisation, newest first."""
    query = select(Approval).where(Approval.organisation_id == organisation_id)
    if state is not None:
        query = query.where(Approval.state == state.value)
    return newest(session, query, Approval, before=before, limit=limit)


def _waiting(session: Session, kind: ApprovalKind, subject_id: UUID) -> Approval | None:
    of_subject = select(Approval).where(Approval.kind == kind.value, Approval.subject_id == subject_id)
    return session.exec(of_subject.where(Approval.state == ApprovalState.WAITING.value)).first()


def _withdraw_older(session: Session, kind: ApprovalKind, subject_id: UUID, since: datetime, *, now: datetime) -> None:
    waiting = _waiting(session, kind, subject_id)
    if waiting is not None and waiting.proposed_at < since:
        withdraw(session, waiting, now=now)


def _settle(session: Session, approval: Approval, state: ApprovalState, *, now: datetime, **fields: object) -> None:
    still = (col(Approval.id) == approval.id, col(Approval.state) == ApprovalState.WAITING.value)
    values = {"state": state.value, "decided_at": now, **fields}
    before = approval.state
    if not changed(session, update(Approval).where(*still).values(**values)):
        raise Conflict("This was decided already. Read it again.", code="decided_already")
    session.refresh(approval)
    changes = {name: [None, value] for name, value in values.items()} | {"state": [before, state.value]}
    owner = approval.organisation_id
    note(session, "approval.changed", approval.id, organisation_id=owner, changes=changes, now=now)
