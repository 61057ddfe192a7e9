"""Index jobs by team, id."""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team_id", "jobs", ["team", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_team_id", "jobs")
