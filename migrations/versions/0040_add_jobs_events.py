"""Add jobs.events."""

import sqlalchemy as sa
from alembic import op

revision = "0040"
down_revision = "0028"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("events", sa.BigInteger(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "events")
