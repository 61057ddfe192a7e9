"""Create queue_pauses."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0062"
down_revision = "0061"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "queue_pauses",
        sa.Column("queue", sa.String(32), nullable=False),
        sa.Column("paused_at", UtcDateTime(), nullable=False),
        sa.Column("paused_by", sa.String(40), nullable=True),
        sa.PrimaryKeyConstraint("queue", name="pk_queue_pauses"),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
    )


def downgrade() -> None:
    op.drop_table("queue_pauses")
