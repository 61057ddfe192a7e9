"""Create job_secrets."""

import sqlalchemy as sa
from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "job_secrets",
        sa.Column("job_id", sa.String(length=40), nullable=False),
        sa.Column("place", sa.String(length=128), nullable=False),
        sa.Column("sealed", sa.LargeBinary(length=1_000_000), nullable=False),
        sa.Column("wrapped_key", sa.LargeBinary(length=255), nullable=False),
        sa.Column("key_version", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("job_id", "place", name=op.f("pk_job_secrets")),
        mysql_charset="utf8mb4",
        mysql_collate="utf8mb4_nopad_bin",
    )


def downgrade() -> None:
    op.drop_table("job_secrets")
