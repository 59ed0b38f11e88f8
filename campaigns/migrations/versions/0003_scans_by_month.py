"""The scan log by months on PostgreSQL

Revision: 0003, after 0002
"""

import sqlalchemy as sa
from alembic import op

from campaigns import clock
from campaigns.scans import partitions

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Copies the log into a partitioned table of the same shape; servers wait meanwhile. SQLite keeps one table."""
    connection = op.get_bind()
    if connection.dialect.name != "postgresql":
        return
    op.execute("ALTER TABLE scans RENAME TO scans_whole")
    op.execute("ALTER TABLE scans_whole RENAME CONSTRAINT pk_scans TO pk_scans_whole")
    op.execute("ALTER INDEX ix_scans_campaign_id_id RENAME TO ix_scans_whole_campaign_id_id")
    op.execute("CREATE TABLE scans (LIKE scans_whole INCLUDING DEFAULTS) PARTITION BY RANGE (id)")
    op.create_primary_key(op.f("pk_scans"), "scans", ["id"])
    op.create_index("ix_scans_campaign_id_id", "scans", ["campaign_id", "id"], unique=False)
    bounds = connection.execute(sa.text("SELECT min(id::text)::uuid, max(id::text)::uuid FROM scans_whole")).one()
    months = partitions.months_ahead(clock.utc_now())
    if bounds[0] is not None:
        month, last = (partitions.month_of(bound) for bound in bounds)
        while month <= last:
            months.append(month)
            month = partitions.month_after(month)
    partitions.make_months(connection.exec_driver_sql, months)
    op.execute("INSERT INTO scans SELECT * FROM scans_whole")
    op.execute("DROP TABLE scans_whole")
