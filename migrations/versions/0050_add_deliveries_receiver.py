"""Add deliveries.receiver."""

import sqlalchemy as sa
from alembic import op

revision = "0050"
down_revision = "0040"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("receiver", sa.String(280)))


def downgrade() -> None:
    op.drop_column("deliveries", "receiver")
