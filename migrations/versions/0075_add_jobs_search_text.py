"""Add jobs.search_text."""

import sqlalchemy as sa
from alembic import op

revision = "0075"
down_revision = "0074"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("search_text", sa.String(length=1000), nullable=True))


def downgrade() -> None:
    op.drop_column("jobs", "search_text")
