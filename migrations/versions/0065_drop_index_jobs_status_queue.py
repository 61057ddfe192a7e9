"""Drop an index of jobs: ix_jobs_line serves what it served."""

from alembic import op

revision = "0065"
down_revision = "0064"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.drop_index("ix_jobs_status_queue", table_name="jobs")


def downgrade() -> None:
    op.create_index("ix_jobs_status_queue", "jobs", ["status", "queue", "priority", "queued_at"])
