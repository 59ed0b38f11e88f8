"""PINs of the shops' phones, and when each was last used

Phones that are signed in at the upgrade have no PIN, and whoever holds one now could choose it: they are signed out,
and their shops open a new sign-in link.

Revision: 0013, after 0012
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString, UTCDateTime

from campaigns.clock import EPOCH, utc_now

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

_SESSIONS = sa.table(
    "staff_sessions",
    sa.column("created_at", UTCDateTime()),
    sa.column("revoked_at", UTCDateTime()),
    sa.column("last_seen_at", UTCDateTime()),
)


def upgrade() -> None:
    op.add_column("staff_sessions", sa.Column("pin_hash", AutoString(), nullable=True))
    op.add_column("staff_sessions", sa.Column("wrong_pins", sa.Integer(), server_default="0", nullable=False))
    epoch = f"{EPOCH:%Y-%m-%d %H:%M:%S}"  # only until the next line
    op.add_column("staff_sessions", sa.Column("last_seen_at", UTCDateTime(), server_default=epoch, nullable=False))
    op.execute(sa.update(_SESSIONS).values(last_seen_at=_SESSIONS.c.created_at))
    op.execute(sa.update(_SESSIONS).where(_SESSIONS.c.revoked_at.is_(None)).values(revoked_at=utc_now()))
