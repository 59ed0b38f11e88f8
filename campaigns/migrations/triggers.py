"""Triggers that let a table only grow, on both databases: a rebuilt SQLite table needs them made again from here."""

from alembic import op

AUDIT_DAYS = 5 * 365  # after so long an entry may go; `campaigns.audit.KEPT` is the same


def keep_audit_log() -> None:
    """Refuse UPDATE of the audit log, and DELETE of what is younger than its term."""
    grow_only("audit_entries", instant="recorded_at", days=AUDIT_DAYS)


def grow_only(table: str, *, instant: str | None = None, days: int = 0) -> None:
    """Refuse UPDATE and DELETE of a table's rows; with an `instant`, DELETE only of those younger than `days`."""
    if op.get_bind().dialect.name == "sqlite":
        young = f" WHEN OLD.{instant} > datetime('now', '-{days} days')" if instant else ""
        for verb, when in (("UPDATE", ""), ("DELETE", young)):
            op.execute(
                f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table}{when} "
                f"BEGIN SELECT RAISE(ABORT, '{table} only grows'); END"
            )
        return
    op.execute(
        f"CREATE FUNCTION {table}_only_grows() RETURNS trigger LANGUAGE plpgsql AS "
        f"$$ BEGIN RAISE EXCEPTION '{table} only grows'; END $$"
    )
    young = f" WHEN (OLD.{instant} > now() - interval '{days} days')" if instant else ""
    for verb, when in (("UPDATE", ""), ("DELETE", young)):
        op.execute(
            f"CREATE TRIGGER {table}_no_{verb.lower()} BEFORE {verb} ON {table} FOR EACH ROW{when} "
            f"EXECUTE FUNCTION {table}_only_grows()"
        )
