"""Index job_labels by job_id."""

from alembic import op

revision = "0072"
down_revision = "0071"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_job_labels_job_id", "job_labels", ["job_id"], if_not_exists=True)


def downgrade() -> None:
    # MariaDB's foreign key needs the index: there it goes with the table, and the upgrade finds it.
    if op.get_bind().dialect.name == "sqlite":
        op.drop_index("ix_job_labels_job_id", "job_labels")
