"""Index jobs by team, queue, id."""

from alembic import op

revision = "0078"
down_revision = "0077"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team_queue_id", "jobs", ["team", "queue", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_team_queue_id", "jobs")
