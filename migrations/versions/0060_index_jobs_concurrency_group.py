"""Index jobs by team, concurrency_group, status."""

from alembic import op

revision = "0060"
down_revision = "0059"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team_concurrency_group", "jobs", ["team", "concurrency_group", "status"])


def downgrade() -> None:
    op.drop_index("ix_jobs_team_concurrency_group", "jobs")
