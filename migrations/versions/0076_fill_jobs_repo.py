"""Fill repo, search_text and log_expires_at of the jobs that are there."""

import sqlalchemy as sa
from alembic import op

revision = "0076"
down_revision = "0075"
branch_labels = None
depends_on = None

BATCH = 1000
PATHS = ", ".join(f"'$.source.{name}'" for name in ("repo", "path", "collection", "role"))
END = sa.text(f"SELECT MAX(id) FROM (SELECT id FROM jobs WHERE id > :done ORDER BY id LIMIT {BATCH}) AS batch")  # noqa: S608


def upgrade() -> None:
    connection, done = op.get_bind(), ""
    text = "JSON_EXTRACT" if connection.dialect.name == "sqlite" else "JSON_VALUE"
    fill = sa.text(
        f"UPDATE jobs SET repo = SUBSTR({text}(spec, '$.source.repo'), 1, 255),"  # noqa: S608 - no value of anybody's
        f" search_text = SUBSTR(LOWER(JSON_EXTRACT(spec, {PATHS})), 1, 1000),"
        " log_expires_at = (SELECT MAX(expires_at) FROM job_objects WHERE job_id = jobs.id)"
        " WHERE id > :done AND id <= :end"
    )
    while (end := connection.scalar(END, {"done": done})) is not None:
        op.execute(fill.bindparams(done=done, end=end))
        connection.connection.commit()  # workers of the version before write to these rows meanwhile
        done = end


def downgrade() -> None:
    op.execute("UPDATE jobs SET repo = NULL, search_text = NULL, log_expires_at = NULL")
