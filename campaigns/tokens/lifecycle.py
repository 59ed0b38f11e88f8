"""What becomes of a printed code: suspended, resumed, replaced, revoked; and whether it may lead where it leads."""

from collections.abc import Iterator
from datetime import datetime
from itertools import chain
from typing import Any
from uuid import UUID

from sqlmodel import Session, col, select

from campaigns.errors import Conflict, NotFound
from campaigns.events import record_event
from campaigns.identity import Organisation
from campaigns.ids import show
from campaigns.places import Place
from campaigns.planning import Campaign, State
from campaigns.tokens.addresses import Limits
from campaigns.tokens.destinations import destinations_in, read_rules
from campaigns.tokens.models import Kind, Medium, TagPlan, Token, TokenState
from campaigns.tokens.service import change_token, issue

ACTIVE, SUSPENDED, EXPIRED = TokenState.ACTIVE, TokenState.SUSPENDED, TokenState.EXPIRED
REPLACED, REVOKED = TokenState.REPLACED, TokenState.REVOKED
_PASSED_ON = ("label", "channel", "destination")
LEADING = ("rules", "utm", "pass_scan_id", "continue_page")
_NAMED = 10  # destinations that a refusal lists


def suspend(session: Session, token: Token, *, now: datetime, changed_by: UUID | None = None) -> Token:
    """Active to suspended: the code says that it takes a break. Conflict from another state."""
    return _move(session, token, SUSPENDED, (ACTIVE,), "token.suspended", now=now, changed_by=changed_by)


def resume(session: Session, token: Token, *, now: datetime, changed_by: UUID | None = None) -> Token:
    """Suspended to active. Conflict from another state."""
    return _move(session, token, ACTIVE, (SUSPENDED,), "token.resumed", now=now, changed_by=changed_by)


def revoke(session: Session, token: Token, *, now: datetime, changed_by: UUID | None = None) -> Token:
    """Revoke a code for good, whatever its state: it explains itself from now on. Twice is once."""
    if token.state == REVOKED:
        return token
    of = (ACTIVE, SUSPENDED, REPLACED, EXPIRED)
    return _move(session, token, REVOKED, of, "token.revoked", now=now, changed_by=changed_by)


def replace(
    session: Session,
    token: Token,
    campaign: Campaign,
    *,
    place: Place | None,
    now: datetime,
    changed_by: UUID | None = None,
    tag: TagPlan | None = None,
    **fields: Any,
) -> Token:
    """Issue a code in the place of another; the old one says so and leads on to it. The new token.

    It leads where the old one did; label, channel and destination may be given anew. Conflict unless the old one is
    active, suspended or expired, and for a serial, of which a batch has others.
    """
    if token.kind == Kind.SERIAL:
        raise Conflict("A serial is one of many: hand out another code of its batch.", code="wrong_state")
    token.require_way(REPLACED, of=(ACTIVE, SUSPENDED, EXPIRED), now=now)
    kept = {name: getattr(token, name) for name in _PASSED_ON}
    onward = {name: getattr(token, name) for name in LEADING} | {"expires_at": fields.pop("expires_at", None)}
    medium, kind = Medium(token.medium), Kind(token.kind)
    successor = issue(
        session, campaign, medium=medium, kind=kind, place=place, tag=tag, onward=onward, now=now, **kept | fields
    )
    change_token(session, token, now=now, changed_by=changed_by, state=REPLACED.value, replaced_by_id=successor.id)
    record_event(session, "token.replaced", now=now, token_id=token.id, by_id=successor.id)
    return successor


def limits_of(session: Session, organisation_id: UUID, base_url: str) -> Limits:
    """Where the organisation's codes may lead now. Holds its row, so that no host is verified meanwhile.

    Those of its test keys, which open under the same address, where its own may.
    """
    organisation = session.get(Organisation, organisation_id, with_for_update={"read": True}, populate_existing=True)
    if organisation is None:
        raise NotFound("There is no such organisation.")
    above = limits_of(session, organisation.test_of_id, base_url) if organisation.test_of_id is not None else Limits()
    return Limits(above.hosts or tuple(organisation.verified_hosts or ()), base_url)


def require_all_within(session: Session, organisation_id: UUID, limits: Limits) -> None:
    """Conflict, with what they are, when codes or campaigns lead to hosts that these limits leave out.

    Those of test keys count. Revoked and replaced codes and ended campaigns lead nowhere, so they do not count.
    """
    twins = session.exec(select(Organisation.id).where(Organisation.test_of_id == organisation_id)).all()
    leads = chain.from_iterable(_leads(session, one) for one in (organisation_id, *twins))
    outside = [f"{name} to {url}" for name, url in leads if not limits.allows(url)]
    if outside:
        more = f" and {len(outside) - _NAMED} more" if len(outside) > _NAMED else ""
        detail = f"Change these destinations first: {', '.join(outside[:_NAMED])}{more}."
        raise Conflict(detail, code="hosts_in_use", pointer="/verified_hosts")


def _leads(session: Session, organisation_id: UUID) -> Iterator[tuple[str, str]]:
    ended = select(Campaign.id).where(Campaign.organisation_id == organisation_id, Campaign.state == State.ENDED)
    campaigns = select(Campaign).where(Campaign.organisation_id == organisation_id, Campaign.state != State.ENDED)
    for campaign in session.exec(campaigns):
        yield from _named(show("cmp", campaign.id), campaign.destination, campaign.rules)
    codes = select(Token.id, Token.destination, Token.rules).where(
        Token.organisation_id == organisation_id,
        col(Token.state).not_in((REVOKED, REPLACED)),
        col(Token.campaign_id).not_in(ended),
    )
    for id, destination, rules in session.exec(codes.execution_options(yield_per=1000)):
        yield from _named(show("tok", id), destination, rules)


def _named(name: str, destination: str | None, rules: Any) -> Iterator[tuple[str, str]]:
    urls = ([destination] if destination else []) + [url for _, url in destinations_in(read_rules(rules))]
    return ((name, url) for url in urls)


def _move(
    session: Session,
    token: Token,
    to: TokenState,
    of: tuple[TokenState, ...],
    event: str,
    *,
    now: datetime,
    changed_by: UUID | None,
) -> Token:
    token.require_way(to, of=of, now=now)
    record_event(session, event, now=now, token_id=token.id)
    return change_token(session, token, now=now, changed_by=changed_by, state=to.value)
