"""Index jobs by log_status, log_expires_at, closed_at."""

from alembic import op

revision = "0071"
down_revision = "0070"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_jobs_log_status_log_expires_at_closed_at", "jobs", ["log_status", "log_expires_at", "closed_at"]
    )


def downgrade() -> None:
    op.drop_index("ix_jobs_log_status_log_expires_at_closed_at", "jobs")
