"""Index jobs by team, key_id, id."""

from alembic import op

revision = "0079"
down_revision = "0078"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_jobs_team_key_id_id", "jobs", ["team", "key_id", "id"])


def downgrade() -> None:
    op.drop_index("ix_jobs_team_key_id_id", "jobs")
