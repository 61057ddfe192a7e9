"""Add jobs.relaunch_of."""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("relaunch_of", sa.String(length=40), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "relaunch_of")
