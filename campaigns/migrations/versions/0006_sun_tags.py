"""NFC tags that sign and count their taps

Revision: 0006, after 0005
"""

import sqlalchemy as sa
from alembic import op
from sqlmodel.sql.sqltypes import AutoString

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "sun_tags",
        sa.Column("token_id", sa.Uuid(), nullable=False),
        sa.Column("uid", AutoString(), nullable=True),
        sa.Column("sealed_keys", sa.LargeBinary(), nullable=False),
        sa.Column("mode", AutoString(), nullable=False),
        sa.Column("mac_input", AutoString(), nullable=False),
        sa.Column("last_counter", sa.Integer(), nullable=False),
        sa.ForeignKeyConstraint(["token_id"], ["tokens.id"], name=op.f("fk_sun_tags_token_id_tokens")),
        sa.PrimaryKeyConstraint("token_id", name=op.f("pk_sun_tags")),
    )
