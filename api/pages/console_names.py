"""What the console calls things: members, keys, places and codes by their names, for approvals and the audit log."""

from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlmodel import Session

from campaigns.approvals import Approval
from campaigns.audit import AuditEntry, AuthorKind
from campaigns.identity import ApiKey, Member, MemberSession, Organisation, SignInLink
from campaigns.missions import Mission, Step
from campaigns.missions.models import text_in
from campaigns.places import Place, StaffLink, StaffSession
from campaigns.planning import Campaign, Target
from campaigns.tokens import Token
from campaigns.tokens.codes import grouped


class Names:
    """Names by id, each looked up once. Empty for what has none, or is not there any more."""

    def __init__(self, session: Session, language: str) -> None:
        self._session, self._language = session, language
        self._known: dict[tuple[str, UUID], str] = {}

    def member(self, id: UUID | None) -> str:
        return self.of("member", id)

    def key(self, id: UUID | None) -> str:
        return self.of("api_key", id)

    def place(self, id: UUID | None) -> str:
        return self.of("place", id)

    def proposer(self, approval: Approval) -> str:
        """The key that proposed, or the member."""
        if approval.proposed_by_key_id is not None:
            return self.key(approval.proposed_by_key_id)
        return self.member(approval.proposed_by_member_id)

    def author(self, entry: AuditEntry) -> str:
        """Who made a change, where it was a person, a key or a shop's phone."""
        noun = _AUTHORS.get(AuthorKind(entry.author_kind))
        return self.of(noun, entry.author_id) if noun else ""

    def of(self, noun: str, id: UUID | None) -> str:
        """The name of a thing by the audit log's noun for it."""
        if id is None or noun not in _TABLES:
            return ""
        if (noun, id) not in self._known:
            table, name = _TABLES[noun]
            found = self._session.get(table, id)
            self._known[noun, id] = text_in(name(found), self._language) if found is not None else ""
        whose = _WHOSE.get(noun)
        if whose is None:
            return self._known[noun, id]
        found = self._session.get(_TABLES[noun][0], id)
        return self.of(whose[0], getattr(found, whose[1], None))


_AUTHORS = {AuthorKind.MEMBER: "member", AuthorKind.KEY: "api_key", AuthorKind.STAFF: "staff_session"}
_TABLES: dict[str, tuple[Any, Callable[[Any], Any]]] = {
    "organisation": (Organisation, lambda one: one.name),
    "member": (Member, lambda one: one.name),
    "api_key": (ApiKey, lambda one: one.name or f"{one.prefix}…"),
    "approval": (Approval, lambda one: one.subject_name),
    "place": (Place, lambda one: one.name),
    "campaign": (Campaign, lambda one: one.name),
    "target": (Target, lambda one: one.kpi),
    "mission": (Mission, lambda one: one.title),
    "step": (Step, lambda one: ""),
    "token": (Token, lambda one: one.label or grouped(one.code)),
    "sign_in_link": (SignInLink, lambda one: ""),
    "member_session": (MemberSession, lambda one: ""),
    "staff_link": (StaffLink, lambda one: ""),
    "staff_session": (StaffSession, lambda one: ""),
}
# These have no name of their own: that of whose they are, noun and column.
_WHOSE = {
    "sign_in_link": ("member", "member_id"),
    "member_session": ("member", "member_id"),
    "staff_link": ("place", "place_id"),
    "staff_session": ("place", "place_id"),
    "step": ("mission", "mission_id"),
}
