"""Add jobs.turn_at."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0056"
down_revision = "0055"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("turn_at", UtcDateTime(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "turn_at")
