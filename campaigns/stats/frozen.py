"""Frozen reports: their inputs as one canonical JSON text, from which they are made again, byte for byte."""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlmodel import Session, select

from campaigns.audit import Author
from campaigns.errors import Invalid, NotFound
from campaigns.ids import show, uuid7_at
from campaigns.planning import Campaign
from campaigns.stats.kept import Report
from campaigns.stats.report import inputs_of
from campaigns.storage import find_own, newest

LEARNED_LIMIT: Final = 1000  # characters: what still leaves the report on one page


def canonical(document: dict[str, Any]) -> str:
    """A document as one text: keys in order, no white space, as UTF-8. Its SHA-256 is the report's."""
    return json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def hash_of(text: str) -> str:
    """The SHA-256 of a canonical text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def freeze(session: Session, campaign: Campaign, *, learned: str, author: Author, now: datetime) -> Report:
    """Keep a report of a campaign as it stands. Invalid for more than 1,000 characters of what was learned."""
    words = "\n".join(line.rstrip() for line in learned.strip().splitlines())
    if len(words) > LEARNED_LIMIT:
        raise Invalid(
            f"What was learned has at most {LEARNED_LIMIT} characters; this has {len(words)}.",
            pointer="/learned",
            code="learned_too_long",
        )
    made_by = {"kind": author.kind.value, "id": show(_PREFIXES[author.kind.value], author.id) if author.id else None}
    inputs = canonical(inputs_of(session, campaign, learned=words, made_by=made_by, now=now))
    report = Report(
        id=uuid7_at(now),
        organisation_id=campaign.organisation_id,
        campaign_id=campaign.id,
        inputs=inputs,
        sha256=hash_of(inputs),
        made_at=now,
        made_by_kind=author.kind.value,
        made_by_id=author.id,
    )
    session.add(report)
    session.flush()
    return report


_PREFIXES: Final = {"member": "mbr", "key": "key", "staff": "ses", "operator": "id", "system": "id"}


def report_by_id(session: Session, organisation_id: UUID, report_id: UUID) -> Report:
    """The organisation's report; NotFound for another's."""
    report = find_own(session, Report, organisation_id, report_id)
    if report is None:
        raise NotFound("There is no such report.")
    return report


def list_reports(
    session: Session, organisation_id: UUID, campaign_id: UUID, *, before: UUID | None, limit: int
) -> Sequence[Report]:
    """The frozen reports of a campaign, newest first, older than `before`."""
    query = select(Report).where(Report.organisation_id == organisation_id, Report.campaign_id == campaign_id)
    return newest(session, query, Report, before=before, limit=limit)
