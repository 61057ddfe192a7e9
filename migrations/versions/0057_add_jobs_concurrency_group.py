"""Add jobs.concurrency_group."""

import sqlalchemy as sa
from alembic import op

revision = "0057"
down_revision = "0056"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("concurrency_group", sa.String(128), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "concurrency_group")
