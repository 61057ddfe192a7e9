"""Add jobs.repo."""

import sqlalchemy as sa
from alembic import op

revision = "0074"
down_revision = "0073"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("repo", sa.String(length=255), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "repo")
