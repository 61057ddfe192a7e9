"""Index jobs by status, republish_at."""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_status_republish_at", "jobs", ["status", "republish_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_status_republish_at", "jobs")
