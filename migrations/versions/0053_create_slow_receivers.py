"""Create slow_receivers."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0053"
down_revision = "0052"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "slow_receivers",
        sa.Column("team", sa.String(64), nullable=False),
        sa.Column("receiver", sa.String(280), nullable=False),
        sa.Column("busy_until", UtcDateTime(), nullable=False),
        sa.Column("busy_with", sa.String(40), nullable=False),
        sa.PrimaryKeyConstraint("team", "receiver", name="pk_slow_receivers"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
    )


def downgrade() -> None:
    op.drop_table("slow_receivers")
