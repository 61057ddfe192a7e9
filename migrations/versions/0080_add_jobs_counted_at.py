"""Add jobs.counted_at."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0080"
down_revision = "0079"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("counted_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "counted_at")
