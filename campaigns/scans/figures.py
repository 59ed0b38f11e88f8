"""Figures from the counters, never from counting rows: raw beside human beside verified, always."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from sqlalchemy import func
from sqlalchemy import select as sums
from sqlmodel import Session, col, select
from sqlmodel.sql.expression import SelectOfScalar

from campaigns.scans.log import VISITOR_SAMPLE
from campaigns.scans.models import ScanCounter, ScanVisitor
from campaigns.scans.rollups import estimate
from campaigns.scans.verdict import Verdict

TokenIds = Sequence[UUID] | SelectOfScalar[UUID]  # a list of them, or the query of a campaign's 100,000


@dataclass(slots=True)
class Figures:
    """Scans of some tokens and hours. Tests of a draft enter none of them."""

    by_verdict: dict[str, int] = field(default_factory=lambda: defaultdict(int))
    verified: int = 0

    @property
    def raw(self) -> int:
        """Every GET, as a naive counter would count."""
        return sum(self.by_verdict.values()) - self.by_verdict.get(Verdict.TEST, 0)

    @property
    def human(self) -> int:
        """Without bots, previews, prefetches and empty agents."""
        return self.raw - self.by_verdict.get(Verdict.BOT, 0)

    @property
    def inflation(self) -> float | None:
        """raw / verified; None while nothing is verified."""
        return round(self.raw / self.verified, 3) if self.verified else None

    def add(self, verdict: str, scans: int, confirmed: int) -> None:
        self.by_verdict[verdict] += scans
        if verdict == Verdict.VALID:
            self.verified += confirmed


def totals(
    session: Session,
    token_ids: TokenIds,
    *,
    since_hour: int | None = None,
    until_hour: int | None = None,
    phase: str = "live",
) -> Figures:
    """Figures of these tokens over hours counted from 1970, `since` included, `until` not.

    Of a phase: `live` has the public ones.
    """
    figures = Figures()
    for row in _sums(session, token_ids, (col(ScanCounter.verdict),), since_hour, until_hour, phase):
        figures.add(row[0], row[1], row[2])
    return figures


def by_hour(session: Session, token_ids: TokenIds, *, since_hour: int, until_hour: int) -> dict[int, Figures]:
    """The same, an hour each; hours without a scan are there with zeros."""
    hours = {hour: Figures() for hour in range(since_hour, until_hour)}
    columns = (col(ScanCounter.hour), col(ScanCounter.verdict))
    for hour, verdict, scans, confirmed in _sums(session, token_ids, columns, since_hour, until_hour):
        hours[hour].add(verdict, scans, confirmed)
    return hours


def last_hours(session: Session, token_ids: TokenIds) -> dict[UUID, int]:
    """The hour of each token's last scan by a person, counted from 1970; tokens never scanned are missing."""
    rows = session.execute(
        select(col(ScanCounter.token_id), func.max(col(ScanCounter.hour)))
        .where(
            col(ScanCounter.token_id).in_(token_ids),
            ScanCounter.phase == "live",
            ScanCounter.verdict != Verdict.BOT,
        )
        .group_by(col(ScanCounter.token_id))
    )
    return dict(rows.all())


def unique_visitors(session: Session, token_ids: TokenIds, *, since_day: int, until_day: int) -> int:
    """Distinct visitors a day, summed over days, merged over tokens: keys change every day by design.

    Exact below 4,096 a day, else the estimate (k - 1) / k-th smallest key, 1.6 % standard error.
    """
    seen = (
        sums(col(ScanVisitor.day), col(ScanVisitor.visitor_key))
        .where(
            col(ScanVisitor.token_id).in_(token_ids),
            col(ScanVisitor.day) >= since_day,
            col(ScanVisitor.day) < until_day,
        )
        .distinct()
        .subquery()
    )
    # One query for all days: a campaign's 100,000 tokens are looked up once, not once a day.
    rank = func.row_number().over(partition_by=seen.c.day, order_by=seen.c.visitor_key).label("rank")
    ranked = sums(seen, rank).subquery()
    smallest: dict[int, list[int]] = defaultdict(list)
    query = sums(ranked.c.day, ranked.c.visitor_key).where(ranked.c.rank <= VISITOR_SAMPLE)
    for day, key in session.execute(query.order_by(ranked.c.day, ranked.c.visitor_key)):
        smallest[day].append(key)
    return sum(estimate(keys) for keys in smallest.values())


def _sums(
    session: Session,
    token_ids: TokenIds,
    columns: Sequence[Any],
    since_hour: int | None,
    until_hour: int | None,
    phase: str = "live",
) -> Sequence[Any]:
    query = (
        sums(*columns, func.sum(col(ScanCounter.scans)), func.sum(col(ScanCounter.confirmed)))
        .where(col(ScanCounter.token_id).in_(token_ids), col(ScanCounter.phase) == phase)
        .group_by(*columns)
    )
    if since_hour is not None:
        query = query.where(col(ScanCounter.hour) >= since_hour)
    if until_hour is not None:
        query = query.where(col(ScanCounter.hour) < until_hour)
    return session.execute(query).all()
