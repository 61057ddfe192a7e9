"""Index webhook_secrets by team, id."""

from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_webhook_secrets_team_id", "webhook_secrets", ["team", "id"])


def downgrade() -> None:
    op.drop_index("ix_webhook_secrets_team_id", "webhook_secrets")
