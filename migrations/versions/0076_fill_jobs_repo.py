"""Fill repo, search_text and log_expires_at of the jobs that are there."""

from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

PATHS = ", ".join(f"'$.source.{name}'" for name in ("repo", "path", "collection", "role"))


def upgrade() -> None:
    text = "JSON_EXTRACT" if op.get_bind().dialect.name == "sqlite" else "JSON_VALUE"
    op.execute(
        f"UPDATE jobs SET repo = SUBSTR({text}(spec, '$.source.repo'), 1, 255),"  # noqa: S608 - no value of anybody's
        f" search_text = SUBSTR(LOWER(JSON_EXTRACT(spec, {PATHS})), 1, 1000),"
        " log_expires_at = (SELECT MAX(expires_at) FROM job_objects WHERE job_id = jobs.id)"
    )


def downgrade() -> None:
    op.execute("UPDATE jobs SET repo = NULL, search_text = NULL, log_expires_at = NULL")
