"""Index jobs by status, queue, republish_at, team, key_id, turn_at."""

from alembic import op

revision = "0059"
down_revision = "0058"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_line", "jobs", ["status", "queue", "republish_at", "team", "key_id", "turn_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_line", "jobs")
