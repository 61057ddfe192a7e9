"""Add jobs.log_expires_at."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0070"
down_revision = "0066"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("log_expires_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "log_expires_at")
