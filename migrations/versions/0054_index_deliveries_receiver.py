"""Index deliveries by team, receiver, state, due_at."""

from alembic import op

revision = "0054"
down_revision = "0053"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_deliveries_team_receiver_state_due_at", "deliveries", ["team", "receiver", "state", "due_at"])


def downgrade() -> None:
    op.drop_index("ix_deliveries_team_receiver_state_due_at", "deliveries")
