"""Sponsors and beneficiaries: who gives and who receives.

Whoever signs or accepts holds the parties first, then the pledges: both sides of a race see one another.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.errors import Conflict, NotFound
from campaigns.ids import external, parse, uuid7_at
from campaigns.sponsorship.models import Beneficiary, Pledge, PledgeBeneficiary, PledgeState, Sponsor
from campaigns.storage import find_own, newest

Party = TypeVar("Party", Sponsor, Beneficiary)
_NOUNS = {Sponsor: ("sponsor", "spo"), Beneficiary: ("beneficiary", "ben")}
NAMED = frozenset({"name", "legal_id"})  # what a signature or an acceptance is about


def register(session: Session, table: type[Party], organisation_id: UUID, *, now: datetime, **fields: Any) -> Party:
    """Create a sponsor or a beneficiary. Conflict for an `external_id` already used."""
    external_id = fields.get("external_id")
    if external_id and find_party(session, table, organisation_id, external_id=external_id):
        noun = _NOUNS[table][0]
        raise Conflict(f"A {noun} with external_id {external_id!r} is there already.", pointer="/external_id")
    party = table(id=uuid7_at(now), organisation_id=organisation_id, created_at=now, changed_at=now, **fields)
    session.add(party)
    session.flush()
    return party


def change_party(session: Session, party: Party, *, now: datetime, **fields: Any) -> Party:
    """Change a sponsor or a beneficiary, held by the caller.

    Conflict (`terms_frozen`) for the name or legal id of a sponsor that signed, or of a beneficiary that accepted.
    """
    changes = {name: value for name, value in fields.items() if getattr(party, name) != value}
    if changes.keys() & NAMED and _is_bound(session, party):
        what = (
            "has signed a pledge"
            if isinstance(party, Sponsor)
            else "has accepted the use of its name, or is named in a signed pledge"
        )
        raise Conflict(f"It {what}: its name and legal id stay. Make another one.", code="terms_frozen")
    for name, value in changes.items():
        setattr(party, name, value)
    party.changed_at = now
    session.add(party)
    session.flush()
    return party


def find_party(session: Session, table: type[Party], organisation_id: UUID, *, external_id: str) -> Party | None:
    """The organisation's sponsor or beneficiary with its own id; None for none."""
    mine = (col(table.organisation_id) == organisation_id, col(table.external_id) == external_id)
    return session.exec(select(table).where(*mine)).first()


def party_by_name(
    session: Session, table: type[Party], organisation_id: UUID, name: str, *, lock: bool = False
) -> Party:
    """The one a path or body names: `spo_...`, `ben_...` or `ext_<external_id>`. NotFound else."""
    noun, prefix = _NOUNS[table]
    theirs = external(name)
    known = find_party(session, table, organisation_id, external_id=theirs) if theirs else None
    found = find_own(session, table, organisation_id, known.id if known else parse(prefix, name), lock=lock)
    if found is None:
        raise NotFound(f"There is no such {noun}.")
    return found


def list_parties(
    session: Session, table: type[Party], organisation_id: UUID, *, before: UUID | None, limit: int
) -> Sequence[Party]:
    """Newest first, older than `before`."""
    query = select(table).where(col(table.organisation_id) == organisation_id)
    return newest(session, query, table, before=before, limit=limit)


def hold(session: Session, table: type[Party], ids: Iterable[UUID]) -> dict[UUID, Party]:
    """Hold parties until the transaction ends, in the order of their ids; read anew."""
    query = select(table).where(col(table.id).in_(set(ids))).order_by(col(table.id))
    held = session.exec(query.with_for_update().execution_options(populate_existing=True)).all()
    return {one.id: one for one in held}


def _is_bound(session: Session, party: Sponsor | Beneficiary) -> bool:
    """Whether a signature or an acceptance names it: then its name is not its own any more."""
    if isinstance(party, Beneficiary):
        if party.accepted_at is not None:
            return True
        query = select(Pledge.id).join(PledgeBeneficiary, col(PledgeBeneficiary.pledge_id) == Pledge.id)
        query = query.where(PledgeBeneficiary.beneficiary_id == party.id)
    else:
        query = select(Pledge.id).where(Pledge.sponsor_id == party.id)
    return session.exec(query.where(Pledge.state != PledgeState.DRAFT).limit(1)).first() is not None
