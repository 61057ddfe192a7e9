"""Add jobs.concurrency_limit."""

import sqlalchemy as sa
from alembic import op

revision = "0058"
down_revision = "0057"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("concurrency_limit", sa.Integer(), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "concurrency_limit")
