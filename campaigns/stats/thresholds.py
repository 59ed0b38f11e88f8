"""Thresholds: figures of a campaign that somebody wants to hear of, and the alerts they raise.

The worker looks each minute. A crossing is told once, as an event (webhooks hear of `alert.raised`) and in a list; it
is news again only after the figure was back: of a ratio by a twentieth of the threshold, so that one that trembles is
told once. Two workers that look at once raise one alert (a conditional UPDATE).
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple
from uuid import UUID

from sqlalchemy import func, update
from sqlalchemy import select as columns
from sqlmodel import Session, col, select

from campaigns import audit, clock, ids
from campaigns.care.models import OPEN_STATES, Case
from campaigns.errors import Conflict, Invalid, NotFound
from campaigns.events import record_event
from campaigns.ids import uuid7_at
from campaigns.planning import KPIS, Campaign, Objective, State
from campaigns.planning.models import RATES
from campaigns.scans.models import ScanRollup
from campaigns.scans.rollup_writing import COUNTED
from campaigns.scans.verdict import Verdict
from campaigns.stats import kpis
from campaigns.stats.kept import (
    ALSO_WATCHED,
    HELD_SHARE,
    INFLATION,
    OPEN_CASES,
    SILENT_TOKEN_HOURS,
    AlertThreshold,
    Comparison,
    RaisedAlert,
)
from campaigns.stats.service import Asked, ask
from campaigns.storage import changed, insert_once, newest, store
from campaigns.tokens import Kind, Token, TokenState

MOST: Final = 50  # thresholds of a campaign
LONGEST_SILENCE_H: Final = 720  # hours that are looked back
HIGHEST_INFLATION: Final = 1000
HIGHEST: Final = 2**53 - 1
RUNNING: Final = (State.LIVE.value, State.PAUSED.value)

_PEOPLE: Any = sum(col(getattr(ScanRollup, name)) for name in COUNTED if name != Verdict.BOT)


class Look(NamedTuple):
    """What a threshold's figure was when it was looked at; None where it is not measured, which crosses nothing."""

    threshold: AlertThreshold
    found: float | None


def watchable(campaign: Campaign) -> tuple[str, ...]:
    """What a threshold of this campaign may watch."""
    return (*KPIS[Objective(campaign.objective)], *ALSO_WATCHED)


def set_threshold(
    session: Session, campaign: Campaign, *, watched: str, comparison: Comparison, value: float, now: datetime
) -> AlertThreshold:
    """Watch a figure. Invalid for one that there is not and a value it cannot have, Conflict for the same twice."""
    if watched not in watchable(campaign):
        raise Invalid(
            f"There is no {watched[:60]!r} to watch; there are {', '.join(watchable(campaign))}.", pointer="/watch"
        )
    _check(watched, comparison, value)
    if len(list_thresholds(session, campaign.id)) >= MOST:
        raise Conflict(f"A campaign has at most {MOST} thresholds.", code="too_many_thresholds")
    id, fields = uuid7_at(now), {"watched": watched, "comparison": comparison.value, "value": value}
    whose = {"organisation_id": campaign.organisation_id, "campaign_id": campaign.id}
    if not insert_once(session, AlertThreshold, id=id, created_at=now, raised_at=None, **whose, **fields):
        raise Conflict("This threshold is there already.", code="threshold_there")
    audit.note_new(session, "alert_threshold", id, {**whose, **fields}, now=now)
    return session.get_one(AlertThreshold, id)


def list_thresholds(session: Session, campaign_id: UUID) -> Sequence[AlertThreshold]:
    """The oldest first."""
    return session.exec(
        select(AlertThreshold).where(AlertThreshold.campaign_id == campaign_id).order_by(col(AlertThreshold.id))
    ).all()


def remove_threshold(session: Session, campaign: Campaign, threshold_id: UUID, *, now: datetime) -> None:
    """Watch a figure no longer; what it raised stays told, and is over. NotFound for another campaign's."""
    threshold = session.get(AlertThreshold, threshold_id)
    if threshold is None or threshold.campaign_id != campaign.id:
        raise NotFound("There is no such threshold.")
    session.delete(threshold)
    session.flush()
    _end(session, threshold_id, now)  # after it: whoever raised an alert meanwhile was first


def list_raised(
    session: Session,
    organisation_id: UUID,
    *,
    campaign_ids: Sequence[UUID] | None = None,
    is_open: bool | None = None,
    before: UUID | None,
    limit: int,
) -> Sequence[RaisedAlert]:
    """Alerts that thresholds raised, newest first, older than `before`."""
    query = select(RaisedAlert).where(RaisedAlert.organisation_id == organisation_id)
    if campaign_ids is not None:
        query = query.where(col(RaisedAlert.campaign_id).in_(campaign_ids))
    if is_open is not None:
        over_at = col(RaisedAlert.over_at)
        query = query.where(over_at.is_(None) if is_open else over_at.is_not(None))
    return newest(session, query, RaisedAlert, before=before, limit=limit)


def look(session: Session, *, now: datetime) -> list[Look]:
    """The figure of every threshold of a campaign in its flight. Reads only."""
    rows = session.execute(
        columns(AlertThreshold, Campaign)
        .join(Campaign, col(Campaign.id) == col(AlertThreshold.campaign_id))
        .where(col(Campaign.state).in_(RUNNING))
        .order_by(col(AlertThreshold.id))
    )
    by_campaign: dict[UUID, tuple[Campaign, list[AlertThreshold]]] = {}
    for threshold, campaign in rows:
        if campaign.state_at(now) in (State.LIVE, State.PAUSED):
            by_campaign.setdefault(campaign.id, (campaign, []))[1].append(threshold)
    found = []
    for campaign, thresholds in by_campaign.values():
        figures = figures_of(session, campaign, {one.watched for one in thresholds}, now=now)
        found += [Look(one, figures[one.watched]) for one in thresholds]
    return found


def tell(session: Session, looks: Sequence[Look], *, now: datetime) -> int:
    """Raise alerts for what is crossed, end those of what is back; how many were raised."""
    raised = 0
    for threshold, found in looks:
        if found is None:
            continue
        if threshold.raised_at is None and threshold.is_crossed_by(found):
            raised += _raise(session, threshold, found, now)
        elif threshold.raised_at is not None and threshold.is_back_at(found):
            _rearm(session, threshold, found, now)
    return raised


def is_news(one: Look) -> bool:
    """Whether there is anything to write."""
    if one.found is None:
        return False
    is_raised = one.threshold.raised_at is not None
    return one.threshold.is_back_at(one.found) if is_raised else one.threshold.is_crossed_by(one.found)


def figures_of(session: Session, campaign: Campaign, watched: set[str], *, now: datetime) -> dict[str, float | None]:
    """What is watched, as it stands; None where it is not measured."""
    asked = [one for one in watched if one not in ALSO_WATCHED]
    found: dict[str, float | None] = {
        name: value.number for name, value in kpis.values_of(session, campaign, asked, now=now).items()
    }
    if watched & {INFLATION, HELD_SHARE}:
        figures = ask(session, campaign, Asked(), now=now).total.figures
        found[INFLATION] = figures.inflation
        found[HELD_SHARE] = round(figures.by_verdict[Verdict.HELD] / figures.human, 4) if figures.human else None
    if OPEN_CASES in watched:
        found[OPEN_CASES] = open_cases(session, campaign.id)
    if SILENT_TOKEN_HOURS in watched:
        found[SILENT_TOKEN_HOURS] = longest_silence_h(session, campaign, now=now)
    return found


def open_cases(session: Session, campaign_id: UUID, *, due_before: datetime | None = None) -> int:
    """Cases of a campaign that wait for an answer; those alone whose deadline is over, if asked."""
    mine = [col(Case.campaign_id) == campaign_id, col(Case.state).in_([one.value for one in OPEN_STATES])]
    if due_before is not None:
        mine.append(col(Case.due_at) < due_before)
    return int(session.execute(columns(func.count()).select_from(Case).where(*mine)).scalar_one())


def longest_silence_h(session: Session, campaign: Campaign, *, now: datetime) -> float | None:
    """Whole hours since the last scan by a person of the active code that is silent for longest, at most 720.

    Codes that stand in a place, from their making and the launch on; serials stand nowhere. None without such a code.
    """
    begin = max(filter(None, (campaign.launched_at, campaign.starts_at)), default=None)
    standing = columns(col(Token.id), col(Token.created_at)).where(
        col(Token.campaign_id) == campaign.id,
        col(Token.kind) != Kind.SERIAL,
        col(Token.state) == TokenState.ACTIVE,
        col(Token.place_id).is_not(None),
    )
    made: dict[UUID, datetime] = dict(session.execute(standing).all())
    if begin is None or not made:
        return None
    earliest, this_hour = clock.hour_of(now - timedelta(hours=LONGEST_SILENCE_H)), clock.hour_of(now)
    last = _last_hours(session, campaign.id, earliest)
    since = [max(last.get(ids.show("tok", id), earliest), clock.hour_of(max(begin, at))) for id, at in made.items()]
    return float(max(0, this_hour - min(since)))


def _last_hours(session: Session, campaign_id: UUID, earliest: int) -> dict[str, int]:
    """The last hour with a scan by a person, by code."""
    value = col(ScanRollup.value)
    query = columns(value, func.max(col(ScanRollup.period))).where(
        col(ScanRollup.campaign_id) == campaign_id,
        col(ScanRollup.dimension) == "token",
        col(ScanRollup.span) == "hour",
        col(ScanRollup.phase) == "live",
        col(ScanRollup.period) >= earliest,
        _PEOPLE > 0,
    )
    return {name: int(hour) for name, hour in session.execute(query.group_by(value))}


def _check(watched: str, comparison: Comparison, value: float) -> None:
    """Invalid for a value that would be crossed always or never."""
    low, high, is_whole = _range(watched)
    if is_whole and value != int(value):
        raise Invalid(f"{watched} is a whole number from {low:g} to {high:g}.", pointer="/value")
    if not low <= value <= high:
        raise Invalid(f"{watched} lies between {low:g} and {high:g}.", pointer="/value")
    if (comparison is Comparison.BELOW and value <= low) or (comparison is Comparison.ABOVE and value >= high):
        raise Invalid(f"{watched} is never {comparison} {value:g}: nothing would ever be told.", pointer="/value")


def _range(watched: str) -> tuple[float, float, bool]:
    if watched in (*RATES, HELD_SHARE):
        return 0, 1, False
    if watched == INFLATION:
        return 1, HIGHEST_INFLATION, False
    return 0, LONGEST_SILENCE_H if watched == SILENT_TOKEN_HOURS else HIGHEST, True


def _raise(session: Session, threshold: AlertThreshold, found: float, now: datetime) -> bool:
    armed = update(AlertThreshold).where(
        col(AlertThreshold.id) == threshold.id, col(AlertThreshold.raised_at).is_(None)
    )
    if not changed(session, armed.values(raised_at=now)):
        return False
    id = uuid7_at(now)
    fields: dict[str, Any] = {
        "organisation_id": threshold.organisation_id,
        "campaign_id": threshold.campaign_id,
        "watched": threshold.watched,
        "comparison": threshold.comparison,
        "threshold": threshold.value,
        "found": found,
    }
    store(session, RaisedAlert, id=id, threshold_id=threshold.id, raised_at=now, over_at=None, **fields)
    record_event(session, "alert.raised", now=now, alert_id=id, **fields)
    return True


def _rearm(session: Session, threshold: AlertThreshold, found: float, now: datetime) -> None:
    mine = col(AlertThreshold.id) == threshold.id
    raised = update(AlertThreshold).where(mine, col(AlertThreshold.raised_at).is_not(None))
    if changed(session, raised.values(raised_at=None)):
        _end(session, threshold.id, now)


def _end(session: Session, threshold_id: UUID, now: datetime) -> None:
    still = update(RaisedAlert).where(col(RaisedAlert.threshold_id) == threshold_id, col(RaisedAlert.over_at).is_(None))
    session.execute(still.values(over_at=now).execution_options(synchronize_session=False))
