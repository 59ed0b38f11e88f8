"""The events that webhooks hear of: one closed, published list, and what the message of each says.

A message holds ids and small facts, nothing of a person. To publish one more event, add it to `KINDS`: with a function
that reads what is to be told, or with `carries`, the facts that `record_event` was given and that go out as they are
(`x_id` with the prefix of `x`). Such an event must carry `organisation_id` too.
"""

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import select
from sqlmodel import Session, col

from campaigns.care.models import Case
from campaigns.events import Event
from campaigns.ids import show
from campaigns.missions import Mission
from campaigns.planning import Campaign, State
from campaigns.scans import CheckIn

TRIAL = "webhook.tested"  # what `POST /v1/webhooks/{id}/test` sends; nobody asks for it by name
_PREFIXES = {
    "campaign": "cmp",
    "mission": "mis",
    "place": "plc",
    "pledge": "pld",
    "sponsor": "spo",
    "beneficiary": "ben",
    "offer": "off",
    "coupon": "cpn",
    "redemption": "rdm",
    "alert": "ral",
}

log = logging.getLogger("passerelle.webhooks")


class Told(NamedTuple):
    """What an event means outside: whose it is, and the `data` of its message."""

    organisation_id: UUID
    data: dict[str, Any]


Read = Callable[[Session, Sequence[Event]], dict[UUID, Told]]  # by the event's id; one that cannot be told is left out


class Kind(NamedTuple):
    """An event that webhooks may ask for: what it means, in the words of the API's description, and how it is told."""

    meaning: str
    read: Read


def tell_check_ins(session: Session, events: Sequence[Event]) -> dict[UUID, Told]:
    """Visits, with the first verdict: the judge may change it."""
    query = select(CheckIn, col(Campaign.organisation_id)).join(Campaign, col(Campaign.id) == col(CheckIn.campaign_id))
    wanted = _by_fact(events, "check_in_id")
    told = {}
    for row, organisation_id in session.execute(query.where(col(CheckIn.id).in_(wanted))):
        data = {
            "check_in_id": show("chk", row.id),
            "scan_id": show("scn", row.scan_id),
            **_shown(campaign=row.campaign_id, place=row.place_id),
            "token_id": show("tok", row.token_id),
            "presence": row.presence,
            "verdict": row.verdict,
            "counted": row.counted,
            "phase": row.phase,
        }
        told[wanted[row.id]] = Told(organisation_id, data)
    return told


def tell_cases(session: Session, events: Sequence[Event]) -> dict[UUID, Told]:
    """What shoppers told the shops: never their words."""
    wanted = _by_fact(events, "case_id")
    query = select(Case, Campaign).join(Campaign, col(Campaign.id) == col(Case.campaign_id))
    told = {}
    for case, campaign in session.execute(query.where(col(Case.id).in_(wanted))):
        phase = "draft" if campaign.state == State.DRAFT else campaign.phase_of(case.opened_at)
        data = {
            "case_id": show("cas", case.id),
            "reference": case.reference,
            "kind": case.kind,
            **_shown(campaign=case.campaign_id, mission=case.mission_id, place=case.place_id),
            "due_at": case.due_at.isoformat(),
            "phase": phase,
        }
        told[wanted[case.id]] = Told(case.organisation_id, data)
    return told


def tell_missions(session: Session, events: Sequence[Event]) -> dict[UUID, Told]:
    """That somebody did every step of a mission; not who."""
    wanted = {UUID(one.facts["mission_id"]) for one in events}
    rows = session.execute(select(Mission).where(col(Mission.id).in_(wanted))).scalars()
    missions = {one.id: one for one in rows}
    told = {}
    for event in events:
        mission = missions.get(UUID(event.facts["mission_id"]))
        if mission is not None:
            data = {**_shown(mission=mission.id, campaign=mission.campaign_id), "phase": event.facts.get("phase")}
            told[event.id] = Told(mission.organisation_id, data)
    return told


def carries(*names: str) -> Read:
    """Tell these facts of the event and no others: a participant or a name in it stays here."""

    def read(_: Session, events: Sequence[Event]) -> dict[UUID, Told]:
        told = {}
        for event in events:
            facts = event.facts
            if "organisation_id" not in facts:
                log.error("%s %s carries no organisation_id: no webhook hears of it", event.name, event.id)
                continue
            data = {name: _public(name, facts[name]) for name in names if facts.get(name) is not None}
            told[event.id] = Told(UUID(facts["organisation_id"]), data)
        return told

    return read


KINDS: dict[str, Kind] = {
    "scan.checked_in": Kind("somebody came to a place and checked in", tell_check_ins),
    "mission.completed": Kind("somebody did every step of a mission", tell_missions),
    "case.opened": Kind("a shopper told the shop something, and waits for an answer", tell_cases),
    "coupon.redeemed": Kind(
        "a coupon was used in a shop",
        carries("redemption_id", "coupon_id", "offer_id", "campaign_id", "place_id", "phase"),
    ),
    "pledge.exhausted": Kind(
        "a pledge has reached its cap",
        carries("pledge_id", "mission_id", "campaign_id", "cap_minor", "currency", "phase"),
    ),
    "pledge.ended": Kind(
        "a pledge is over", carries("pledge_id", "mission_id", "campaign_id", "currency", "reason", "phase")
    ),
    "alert.raised": Kind(
        "a figure of a campaign crossed a threshold that was set for it",
        carries("alert_id", "campaign_id", "watched", "comparison", "threshold", "found"),
    ),
}


def _by_fact(events: Iterable[Event], name: str) -> dict[UUID, UUID]:
    """The id that a fact names -> the event's."""
    return {UUID(event.facts[name]): event.id for event in events}


def _shown(**ids: UUID | None) -> dict[str, str | None]:
    return {f"{name}_id": show(_PREFIXES[name], id) if id is not None else None for name, id in ids.items()}


def _public(name: str, value: Any) -> Any:
    return show(_PREFIXES[name.removesuffix("_id")], UUID(value)) if name.endswith("_id") else value
