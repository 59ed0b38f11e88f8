"""What is held at this moment, by class and table: rows, the oldest one, its term, and whether one is overdue."""

from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlmodel import Session

from campaigns.privacy.retention import RULES

GRACE = timedelta(hours=2)  # the worker purges each hour


class Held(NamedTuple):
    """A line of the report."""

    kind: str
    table: str
    keeps: str
    term: str
    rows: int
    oldest_at: datetime | None
    is_overdue: bool

    def as_json(self) -> dict[str, Any]:
        """The line as `--json` prints it."""
        fields = {"class": self.kind, "table": self.table, "keeps": self.keeps, "term": self.term or None}
        oldest = self.oldest_at.isoformat() if self.oldest_at else None
        return fields | {"rows": self.rows, "oldest_at": oldest, "overdue": self.is_overdue}


def report(session: Session, *, now: datetime) -> list[Held]:
    """A line for each rule, in the order of the register. Reads one snapshot and changes nothing."""
    return [
        Held(
            rule.kind.value,
            rule.table,
            rule.keeps,
            rule.term,
            rule.rows(session),
            rule.oldest(session),
            rule.is_overdue(session, now=now - GRACE),
        )
        for rule in RULES
    ]
