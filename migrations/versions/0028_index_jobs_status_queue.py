"""Index jobs (status, queue, priority, queued_at)."""

from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_status_queue", "jobs", ["status", "queue", "priority", "queued_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_status_queue", table_name="jobs")
