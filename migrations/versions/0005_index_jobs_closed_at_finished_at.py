"""Index jobs by closed_at, finished_at."""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_closed_at_finished_at", "jobs", ["closed_at", "finished_at"])


def downgrade() -> None:
    op.drop_index("ix_jobs_closed_at_finished_at", "jobs")
