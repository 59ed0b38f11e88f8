"""Evidence for the second verdict, and one objection to being linked

Revision: 0004, after 0003
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_FAR = sa.text("geofence = 'outside'")
# A position's scan is always confirmed: its token and visitor key stand there.
_FILL = sa.text(
    "UPDATE scan_positions SET "
    "token_id = (SELECT c.token_id FROM scan_confirmations c WHERE c.scan_id = scan_positions.scan_id), "
    "visitor_key = (SELECT c.visitor_key FROM scan_confirmations c WHERE c.scan_id = scan_positions.scan_id)"
)


def upgrade() -> None:
    op.add_column("scans", sa.Column("objected", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.add_column("scan_positions", sa.Column("token_id", sa.Uuid(), nullable=True))
    op.add_column("scan_positions", sa.Column("visitor_key", sa.BigInteger(), nullable=True))
    op.add_column("scan_positions", sa.Column("point", sa.BigInteger(), nullable=True))
    op.execute(_FILL)
    op.create_index("ix_scan_positions_point_scan_id", "scan_positions", ["point", "scan_id"], unique=False)
    op.create_index(
        "ix_scan_positions_far",
        "scan_positions",
        ["token_id", "scan_id"],
        unique=False,
        sqlite_where=_FAR,
        postgresql_where=_FAR,
    )
    # The judge asks for all that one visitor key confirmed, and for a token's in the order of their ids.
    op.drop_index("ix_scan_confirmations_token_id_visitor_key", "scan_confirmations")
    op.create_index("ix_scan_confirmations_visitor_key", "scan_confirmations", ["visitor_key"], unique=False)
    op.create_index(
        "ix_scan_confirmations_token_id_scan_id", "scan_confirmations", ["token_id", "scan_id"], unique=False
    )
