"""One-time links: the sponsor signs a pledge by one, a beneficiary accepts the use of its name by another.

Only the hash of a link's secret is kept. It is good once, for 14 days, until it is taken back: a conditional UPDATE
settles who used it. What was signed is what was shown: the hash of it comes back with the name.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import update
from sqlmodel import Session, col, select

from campaigns import identity
from campaigns.errors import Conflict, Gone, Invalid, NotFound
from campaigns.ids import show, uuid7_at
from campaigns.planning import Campaign, State
from campaigns.sealing import hash_secret, new_secret
from campaigns.sponsorship import lifecycle, parties, terms
from campaigns.sponsorship.models import (
    Beneficiary,
    Pledge,
    PledgeBeneficiary,
    PledgeKind,
    PledgeLink,
    PledgeState,
    Sponsor,
)
from campaigns.sponsorship.service import causes_of, require_draft
from campaigns.sponsorship.terms import PledgePlan
from campaigns.storage import find_own, newest

LINK_LIFE = timedelta(days=14)
NAME_LENGTH = 120
_NO_OTHER = "This link is good once, and it has been used."


def issue_signature_link(
    session: Session, pledge: Pledge, *, secret: str | None = None, now: datetime
) -> tuple[PledgeLink, str]:
    """Make the sponsor's link to a draft, with its secret, known only now; an earlier one is taken back."""
    require_draft(pledge)
    return _issue(session, pledge.organisation_id, secret, {"pledge_id": pledge.id}, now=now)


def issue_acceptance_link(
    session: Session, beneficiary: Beneficiary, *, secret: str | None = None, now: datetime
) -> tuple[PledgeLink, str]:
    """Make the link of a beneficiary that has not accepted yet; an earlier one is taken back."""
    if beneficiary.accepted_at is not None:
        raise Conflict("It has accepted the use of its name already.", code="wrong_state")
    return _issue(session, beneficiary.organisation_id, secret, {"beneficiary_id": beneficiary.id}, now=now)


def link_by_id(session: Session, organisation_id: UUID, link_id: UUID) -> PledgeLink:
    """The organisation's link; NotFound for another's."""
    found = find_own(session, PledgeLink, organisation_id, link_id)
    if found is None:
        raise NotFound("There is no such link.")
    return found


def list_links(session: Session, organisation_id: UUID, *, before: UUID | None, limit: int) -> Sequence[PledgeLink]:
    """Newest first, older than `before`."""
    query = select(PledgeLink).where(PledgeLink.organisation_id == organisation_id)
    return newest(session, query, PledgeLink, before=before, limit=limit)


def revoke_link(session: Session, link: PledgeLink, *, now: datetime) -> None:
    """Take a link back. Twice is once; Conflict for one that was used."""
    session.refresh(link, with_for_update=True)
    if link.used_at is not None:
        raise Conflict(_NO_OTHER, code="wrong_state")
    if link.revoked_at is None:
        link.revoked_at = now
        session.add(link)
        session.flush()


def link_by_secret(session: Session, secret: str, *, now: datetime) -> PledgeLink:
    """A link that is good or was used, for its page. NotFound for none, Gone for one taken back or too old."""
    link = session.exec(select(PledgeLink).where(PledgeLink.secret_hash == _digest(secret))).first()
    if link is None:
        raise NotFound("This link is not one of ours, or what it was for is gone.", code="unknown_pledge_link")
    if link.used_at is None and not link.is_good(now):
        raise _over()
    return link


def acceptance_hash(beneficiary: Beneficiary, *, organisation_name: str) -> str:
    """The hash of what a beneficiary accepts: the use of its name by this organisation."""
    stated = {name: getattr(beneficiary, name) for name in ("name", "legal_id")}
    return terms.hash_of({"beneficiary": show("ben", beneficiary.id), "organisation": organisation_name, **stated})


def sign(session: Session, secret: str, *, name: str, terms_hash: str, now: datetime) -> Pledge:
    """Sign a pledge by its link: the terms are frozen, its book is opened, and it is active if all have accepted.

    Gone for a link that is over, Conflict (`terms_changed`) when the terms are not those that were shown any more,
    (`match_unsigned`) when it matches a pledge that is not signed itself.
    """
    _require_name(name)
    link = _use(session, secret, PledgeLink.pledge_id, now=now)
    seen = session.get_one(Pledge, link.pledge_id)
    sponsor = parties.hold(session, Sponsor, [seen.sponsor_id])[seen.sponsor_id]
    parties.hold(session, Beneficiary, [one.id for one in causes_of(session, seen.id)])
    (pledge,) = lifecycle.held(session, [seen.id])
    causes = causes_of(session, pledge.id)
    owner = identity.organisation_by_id(session, pledge.organisation_id)
    stated = terms.hash_of(terms.signed_terms(pledge, sponsor, causes, organisation_name=owner.name))
    if terms_hash != stated:
        raise Conflict("The terms changed after this page was shown. Read them again.", code="terms_changed")
    _require_signable(session, pledge, causes, now=now)
    pledge.state, pledge.terms_hash = PledgeState.SIGNED.value, stated
    pledge.signed_at, pledge.signed_by, pledge.changed_at = now, name, now
    session.add(pledge)
    session.flush()
    lifecycle.open_book(session, pledge)
    lifecycle.activate(session, pledge, causes, now=now)
    return pledge


def accept(session: Session, secret: str, *, name: str, terms_hash: str, now: datetime) -> Beneficiary:
    """Accept the use of a beneficiary's name by its link: the signed pledges that waited for it become active.

    Gone for a link that is over, Conflict (`terms_changed`) when its name is not what was shown any more.
    """
    _require_name(name)
    link = _use(session, secret, PledgeLink.beneficiary_id, now=now)
    assert link.beneficiary_id is not None  # noqa: S101  # it was found by it
    beneficiary = parties.hold(session, Beneficiary, [link.beneficiary_id])[link.beneficiary_id]
    owner = identity.organisation_by_id(session, beneficiary.organisation_id)
    if terms_hash != acceptance_hash(beneficiary, organisation_name=owner.name):
        raise Conflict("The name changed after this page was shown. Read it again.", code="terms_changed")
    if beneficiary.accepted_at is not None:
        raise Conflict("It has accepted the use of its name already.", code="wrong_state")
    beneficiary.accepted_at, beneficiary.accepted_by, beneficiary.changed_at = now, name, now
    session.add(beneficiary)
    session.flush()
    for pledge in lifecycle.held(session, _waiting_for(session, beneficiary.id)):
        lifecycle.activate(session, pledge, causes_of(session, pledge.id), now=now)
    return beneficiary


def _issue(
    session: Session, organisation_id: UUID, secret: str | None, subject: dict[str, Any], *, now: datetime
) -> tuple[PledgeLink, str]:
    mine = [col(getattr(PledgeLink, name)) == id for name, id in subject.items()]
    unused = (col(PledgeLink.used_at).is_(None), col(PledgeLink.revoked_at).is_(None))
    for earlier in session.exec(select(PledgeLink).where(*mine, *unused).order_by(col(PledgeLink.id))).all():
        revoke_link(session, earlier, now=now)
    secret = secret or new_secret()
    link = PledgeLink(
        id=uuid7_at(now),
        organisation_id=organisation_id,
        secret_hash=_digest(secret),
        created_at=now,
        expires_at=now + LINK_LIFE,
        **subject,
    )
    session.add(link)
    session.flush()
    return link, secret


def _use(session: Session, secret: str, subject: Any, *, now: datetime) -> PledgeLink:
    """Use a link up: of all who race for it one gets it. It stays good when what follows is refused."""
    good = update(PledgeLink).where(
        col(PledgeLink.secret_hash) == _digest(secret),
        col(subject).is_not(None),
        col(PledgeLink.used_at).is_(None),
        col(PledgeLink.revoked_at).is_(None),
        col(PledgeLink.expires_at) > now,
    )
    used = good.values(used_at=now).returning(PledgeLink.id).execution_options(synchronize_session=False)  # type: ignore[call-overload]  # a column
    id = session.execute(used).scalar()
    if id is None:
        found = link_by_secret(session, secret, now=now)
        if getattr(found, subject.key) is None:
            raise NotFound("This link is for something else.", code="unknown_pledge_link")
        raise Gone(_NO_OTHER, code="pledge_link_used")
    return session.exec(select(PledgeLink).where(PledgeLink.id == id).execution_options(populate_existing=True)).one()


def _require_signable(session: Session, pledge: Pledge, causes: Sequence[Beneficiary], *, now: datetime) -> None:
    require_draft(pledge)
    if session.get_one(Campaign, pledge.campaign_id).state == State.ENDED:
        raise Conflict("The campaign has ended: nothing is signed for it any more.", code="wrong_state")
    if pledge.kind == PledgeKind.MATCH:
        matched = session.get_one(Pledge, pledge.matches_id, populate_existing=True)
        if matched.state == PledgeState.DRAFT:
            raise Conflict("The pledge it matches is not signed yet.", code="match_unsigned")
    plan = PledgePlan.of(pledge, [one.id for one in causes])
    try:
        terms.check(plan, unit_minor=pledge.unit_minor, now=now)
    except Invalid as error:
        raise Conflict(f"This cannot be promised any more: {error.detail}", code="terms_changed") from error


def _waiting_for(session: Session, beneficiary_id: UUID) -> list[UUID]:
    named = select(Pledge.id).join(PledgeBeneficiary, col(PledgeBeneficiary.pledge_id) == Pledge.id)
    mine = (PledgeBeneficiary.beneficiary_id == beneficiary_id, Pledge.state == PledgeState.SIGNED)
    return list(session.exec(named.where(*mine)).all())


def _require_name(name: str) -> None:
    if not 0 < len(name.strip()) <= NAME_LENGTH:
        raise Invalid(f"Type your name, in at most {NAME_LENGTH} characters.", pointer="/name")


def _digest(secret: str) -> bytes:
    return bytes.fromhex(hash_secret(secret[:100]))


def _over() -> Gone:
    return Gone("This link was taken back, or is older than 14 days. Ask for a new one.", code="pledge_link_over")
