"""Add deliveries.held_until."""

import sqlalchemy as sa
from alembic import op

from ansible_api.db import UtcDateTime

revision = "0051"
down_revision = "0050"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("deliveries", sa.Column("held_until", UtcDateTime()))


def downgrade() -> None:
    op.drop_column("deliveries", "held_until")
