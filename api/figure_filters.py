"""What figures are asked of: a time, a place, a code, another organisation's being none."""

from collections.abc import Iterable, Mapping
from datetime import date, datetime
from typing import Annotated, Final
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.dependencies.models import Dependant
from sqlmodel import Session as DbSession

from api.schemas import in_our_time
from campaigns import clock, ids, places, tokens
from campaigns.errors import Invalid
from campaigns.planning import Campaign
from campaigns.stats import Asked

When = Annotated[str | None, Query(max_length=40, description="A date, or an instant with its zone.")]
Value = Annotated[str | None, Query(max_length=90)]


def require_known(request: Request) -> None:
    """Invalid for a parameter that the route does not have: all figures would be taken for those of a part."""
    known = _parameters(request.scope["route"].dependant)
    for name in request.query_params:
        if name not in known:
            raise Invalid(f"There is no {name[:40]!r} here; there are {', '.join(sorted(known))}.", pointer="/query")


def _parameters(found: Dependant) -> set[str]:
    further = (_parameters(one) for one in found.dependencies)
    return {one.alias for one in found.query_params}.union(*further)


KNOWN: Final = Depends(require_known)


def asked_for(
    session: DbSession,
    campaign: Campaign,
    since: str | None,
    until: str | None,
    where: Mapping[str, str | None],
    group_by: Iterable[str] = (),
    *,
    now: datetime,
) -> Asked:
    """The question of a request. Invalid for times that are none or lie ahead, NotFound for a place or code of others.

    `where` names dimensions; `group_by` may hold several names in one text.
    """
    asked = Asked(
        since=instant(campaign, since, "/since"),
        until=instant(campaign, until, "/until"),
        group_by=tuple(one.strip() for part in group_by for one in part.split(",")),
        where={name: _value(session, campaign, name, one) for name, one in where.items() if one is not None},
    )
    if asked.since is not None and asked.since > now:
        raise Invalid("`since` lies in the future.", pointer="/since")
    return asked


def instant(campaign: Campaign, text: str | None, pointer: str) -> datetime | None:
    """A date, which begins where the campaign is, or an instant with its zone."""
    if text is None:
        return None
    try:
        if len(text) == len("2026-10-25"):
            day = datetime.combine(date.fromisoformat(text), datetime.min.time(), clock.zone(campaign.time_zone))
            return in_our_time(day)
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise ValueError("no zone")
        return in_our_time(instant)
    except ValueError as error:
        raise Invalid(
            "Give a date such as 2026-10-25, or an instant with its zone, between 2000 and 2100.", pointer=pointer
        ) from error


def _code(session: DbSession, organisation_id: UUID, token_id: str) -> str:
    """What a code is counted under: a serial under its batch."""
    if token_id.startswith("tbt_"):
        return ids.show("tbt", tokens.batch_by_id(session, organisation_id, ids.parse("tbt", token_id)).id)
    token = tokens.token_by_id(session, organisation_id, ids.parse("tok", token_id))
    is_serial = token.kind == tokens.Kind.SERIAL and token.batch_id is not None
    return ids.show("tbt", token.batch_id or token.id) if is_serial else ids.show("tok", token.id)


def _value(session: DbSession, campaign: Campaign, name: str, value: str) -> str:
    """What a place or a code is counted under; NotFound for another organisation's."""
    if name == "place":
        return ids.show("plc", places.place_by_name(session, campaign.organisation_id, value).id)
    return _code(session, campaign.organisation_id, value) if name == "token" else value
