"""Verdicts: pure rules over what is known of a scan (DOMAIN section 4). No database, no HTTP.

The first verdict comes from the request alone; the judge adds the rules that need other facts. Both go through
`settle`, so that running them again over the log gives the same answer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from functools import lru_cache
from uuid import UUID

from campaigns.places.geofence import Geofence
from campaigns.planning import State
from campaigns.scans.agents import AgentKind

RULES_VERSION = 3  # 3: signed taps; 2: the rules that need other people's scans, data centres, enumeration
VISIT = timedelta(hours=1)  # a further confirmed scan of one visitor key and token within it is a duplicate


class Verdict(StrEnum):
    """What the log thinks of a scan. The order is part of the receipt's format."""

    VALID = "valid"
    PROVISIONAL = "provisional"
    HELD = "held"
    INVALID = "invalid"
    DUPLICATE = "duplicate"
    BOT = "bot"
    ORPHAN = "orphan"
    TEST = "test"


class Reason(StrEnum):
    """The closed list this version can give. Weights are in `WEIGHTS`; the others decide by rule."""

    BOT_AGENT = "bot_agent"
    EMPTY_AGENT = "empty_agent"
    PREFETCH = "prefetch"
    DUPLICATE = "duplicate"
    UNKNOWN_CODE = "unknown_code"
    CAMPAIGN_CLOSED = "campaign_closed"
    FAR = "far"
    LOCATION_REFUSED = "location_refused"
    LOCATION_VAGUE = "location_vague"
    CLOSED_HOURS = "closed_hours"
    LATE = "late"
    POSSESSION = "possession"
    ENUMERATION = "enumeration"
    DATA_CENTRE = "data_centre"
    BURST_SOURCE = "burst_source"
    BURST_TOKEN = "burst_token"  # noqa: S105  # a reason's name
    SHARED_DEVICE = "shared_device"
    SHARED_POSITION = "shared_position"
    SPREAD = "spread"
    IMPOSSIBLE_TRAVEL = "impossible_travel"
    BAD_MAC = "bad_mac"
    REPLAYED_COUNTER = "replayed_counter"
    REPLAYED_RECEIPT = "replayed_receipt"
    UID_ONLY = "uid_only"
    EXPIRED_LIVE_CODE = "expired_live_code"
    VOIDED = "voided"
    INSIDER = "insider"


WEIGHTS: dict[str, int] = {
    Reason.BAD_MAC: 100,
    Reason.REPLAYED_COUNTER: 100,
    Reason.VOIDED: 100,
    Reason.FAR: 60,
    Reason.IMPOSSIBLE_TRAVEL: 60,
    Reason.ENUMERATION: 50,
    Reason.SHARED_POSITION: 40,
    Reason.DATA_CENTRE: 30,
    Reason.BURST_SOURCE: 25,
    Reason.SHARED_DEVICE: 25,
    Reason.SPREAD: 25,
    Reason.BURST_TOKEN: 20,
    Reason.LOCATION_REFUSED: 15,
    Reason.LOCATION_VAGUE: 15,
    Reason.CLOSED_HOURS: 10,
    Reason.LATE: 0,
    Reason.POSSESSION: 0,
    Reason.REPLAYED_RECEIPT: 0,
    Reason.UID_ONLY: 0,
    Reason.EXPIRED_LIVE_CODE: 0,
    Reason.INSIDER: 0,
}
# Phones of one model behind one shop's Wi-Fi look like one device until presence 2 tells them apart.
LIFTED_BY_PRESENCE = (Reason.BURST_SOURCE, Reason.SHARED_DEVICE)
STRONG = 2  # the presence from which they weigh nothing
BOTS = (Reason.BOT_AGENT, Reason.EMPTY_AGENT, Reason.PREFETCH)
EARNING = (Verdict.VALID, Verdict.PROVISIONAL)  # what an act may rest on before anyone reviews it


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict with its score and its reasons, heaviest rule first."""

    verdict: Verdict
    score: int
    reasons: tuple[str, ...]

    @property
    def reasons_text(self) -> str:
        return ",".join(self.reasons)


@dataclass(frozen=True, slots=True)
class Located:
    """What positions and the check-in of a scan say together."""

    geofence: Geofence
    refused: bool


@lru_cache(8192)  # there are 5,760 different requests, and each costs 5 µs to judge
def judge_request(
    agent: AgentKind,
    prefetch: bool,
    state: State | None,
    closed: bool,
    is_open: bool,
    data_centre: bool = False,
    enumeration: bool = False,
    possession: bool = False,
    unproved: str | None = None,
) -> Judgement:
    """The first verdict, from the request alone. `state` is None for an unknown code.

    `closed`: the code is suspended, replaced, revoked or expired. `possession`: the code came on a pack, so having it
    says nothing of where its owner is. `unproved`: why what the code brought with it proves nothing.
    """
    reasons: list[str] = []
    if agent is AgentKind.BOT:
        reasons.append(Reason.BOT_AGENT)
    elif agent is AgentKind.EMPTY:
        reasons.append(Reason.EMPTY_AGENT)
    if prefetch:
        reasons.append(Reason.PREFETCH)
    if state is None:
        reasons.append(Reason.UNKNOWN_CODE)
    elif state is not State.DRAFT and (closed or state not in (State.LIVE, State.PILOT)):
        reasons.append(Reason.CAMPAIGN_CLOSED)
    if not is_open:
        reasons.append(Reason.CLOSED_HOURS)
    if data_centre:
        reasons.append(Reason.DATA_CENTRE)
    if enumeration:
        reasons.append(Reason.ENUMERATION)
    if possession:
        reasons.append(Reason.POSSESSION)
    if unproved:
        reasons.append(unproved)
    return settle(reasons, is_test=state is State.DRAFT)


def judge_further(
    first: Sequence[str],
    *,
    is_test: bool,
    located: Located | None,
    late: bool,
    duplicate: bool,
    signals: Iterable[str] = (),
    presence: int = 0,
) -> Judgement:
    """The second verdict: the first reasons, and those that need other facts."""
    reasons = list(first)
    if located is not None and located.geofence is Geofence.OUTSIDE:
        reasons.append(Reason.FAR)
    if located is not None and located.geofence is Geofence.MAYBE:
        reasons.append(Reason.LOCATION_VAGUE)
    if located is not None and located.refused:
        reasons.append(Reason.LOCATION_REFUSED)
    if late:
        reasons.append(Reason.LATE)
    if duplicate:
        reasons.append(Reason.DUPLICATE)
    return settle([*reasons, *signals], is_test=is_test, presence=presence)


def located(best: str | None, *, has_position: bool, presence: int, acted: bool) -> Located:
    """What the best fix of a scan says. Acting without any proof at a place that has a position is a refusal."""
    refused = acted and best is None and presence == 0 and has_position
    return Located(Geofence(best) if best else Geofence.NONE, refused)


def settle(reasons: Iterable[str], *, is_test: bool, presence: int = 0) -> Judgement:
    """From reasons to verdict: rules first, then the score (100 invalid, 50 held, 20 provisional)."""
    listed = tuple(dict.fromkeys(str(reason) for reason in reasons))
    lifted = LIFTED_BY_PRESENCE if presence >= STRONG else ()
    score = sum(WEIGHTS.get(reason, 0) for reason in listed if reason not in lifted)
    return Judgement(_verdict(listed, score, is_test), score, listed)


def _verdict(reasons: tuple[str, ...], score: int, is_test: bool) -> Verdict:
    if is_test:
        return Verdict.TEST
    if any(reason in BOTS for reason in reasons):
        return Verdict.BOT
    if Reason.UNKNOWN_CODE in reasons:
        return Verdict.ORPHAN
    if Reason.CAMPAIGN_CLOSED in reasons or score >= 100:
        return Verdict.INVALID
    if Reason.DUPLICATE in reasons:
        return Verdict.DUPLICATE
    if score >= 50:
        return Verdict.HELD
    return Verdict.PROVISIONAL if score >= 20 else Verdict.VALID


@dataclass(frozen=True, slots=True)
class Seen:
    """One confirmed scan of a visitor key and token: when, and who checked in on it, if anyone."""

    scan_id: UUID
    scanned_at: datetime
    participant_id: UUID | None


def duplicates(seen: Sequence[Seen]) -> set[UUID]:
    """Which confirmed scans of one visitor key and token are further scans of one visit.

    A scan on which a participant checked in counts for that participant, once an hour; a scan nobody checked in
    on counts only when no counted scan lies within the hour before it and no check-in within the hour around it.
    So reloading sixty times is one visit, and sixty phones behind one Wi-Fi that check in stay sixty. `seen` in any
    order; the answer does not depend on it.
    """
    ordered = sorted(seen, key=lambda one: one.scan_id)
    found: set[UUID] = set()
    last_of: dict[UUID, datetime] = {}
    claimed: list[datetime] = []
    for one in ordered:
        if one.participant_id is None:
            continue
        last = last_of.get(one.participant_id)
        if last is not None and one.scanned_at - last < VISIT:
            found.add(one.scan_id)
            continue
        last_of[one.participant_id] = one.scanned_at
        claimed.append(one.scanned_at)
    last_counted: datetime | None = None
    for one in ordered:
        if one.participant_id is not None:
            continue
        near_claim = any(abs(one.scanned_at - at) < VISIT for at in claimed)
        if near_claim or (last_counted is not None and one.scanned_at - last_counted < VISIT):
            found.add(one.scan_id)
        else:
            last_counted = one.scanned_at
    return found
