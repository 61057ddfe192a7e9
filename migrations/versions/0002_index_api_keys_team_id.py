"""Index api_keys by team, id."""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_api_keys_team_id", "api_keys", ["team", "id"])


def downgrade() -> None:
    op.drop_index("ix_api_keys_team_id", "api_keys")
