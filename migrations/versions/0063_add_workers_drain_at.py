"""Add workers.drain_at."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0063"
down_revision = "0062"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("workers", sa.Column("drain_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("workers", "drain_at")
