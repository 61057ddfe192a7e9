"""Index jobs by team, status, id."""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team_status_id", "jobs", ["team", "status", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_team_status_id", "jobs")
