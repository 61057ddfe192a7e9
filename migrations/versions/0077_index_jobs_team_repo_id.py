"""Index jobs by team, repo, id."""

from alembic import op

revision = "0077"
down_revision = "0076"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team_repo_id", "jobs", ["team", "repo", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_team_repo_id", "jobs")
