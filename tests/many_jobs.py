"""Very many jobs in a MariaDB database, made there: for tests of plans, and for measurements."""

from datetime import UTC, datetime, timedelta

from sqlalchemy import text

from ansible_api.db import Database, first_id

CHUNK = 1000  # jobs of one minute
REPO = "https://git.example.com/a.git"
RARE_REPO = "https://git.example.com/rare.git"
KEY = "0" * 24
_JOBS = text("""
INSERT INTO jobs (id, team, key_id, spec, status, phase, queue, priority, route_reason, attempt, republish_count,
                  created_at, queued_at, finished_at, closed_at, timings, log_status, repo, search_text)
SELECT CONCAT(:beginning, LPAD(seq, 10, '0')), :team, LPAD(MOD(seq, 50), 24, '0'), :spec,
       IF(MOD(seq, 100) = 0, 'failed', IF(MOD(seq, 500) = 1, 'running', 'successful')), 'finishing',
       IF(MOD(seq, 10) = 0, 'git-heavy', 'default'), 5, 'made', 1, 0,
       :moment, :moment, IF(MOD(seq, 500) = 1, NULL, :moment), IF(MOD(seq, 500) = 1, NULL, :moment), '{}',
       IF(MOD(seq, 500) = 1, 'pending', 'stored'), IF(MOD(seq, 1000) = 7, :rare, :repo), 'site.yml'
FROM seq_1_to_1000 WHERE seq <= :count
""")
_LABELS = text("""
INSERT INTO job_labels (team, name, value, job_id)
SELECT team, 'env', IF(MOD(RIGHT(id, 10), 2) = 0, 'prod', 'test'), id FROM jobs WHERE id >= :low AND id < :high
""")
_SPEC = (
    '{"source": {"type": "playbook", "repo": "https://git.example.com/a.git", "path": "site.yml"},'
    ' "inventory": {"type": "inline", "hosts": ["web1"]}, "options": {}}'
)


def fill(db: Database, count: int, *, until: datetime, team: str = "red") -> None:
    """Insert ended jobs, a few that run among them: CHUNK for each minute before `until`, each with a label."""
    chunks = -(-count // CHUNK)
    for number in range(chunks):
        moment = until - timedelta(minutes=chunks - number)
        low, high = first_id("job", moment), first_id("job", moment + timedelta(minutes=1))
        values = {"beginning": low[:-10], "moment": moment.astimezone(UTC).replace(tzinfo=None), "team": team}
        left = min(CHUNK, count - number * CHUNK)
        with db.engine.begin() as connection:
            connection.execute(_JOBS, values | {"spec": _SPEC, "repo": REPO, "rare": RARE_REPO, "count": left})
            connection.execute(_LABELS, {"low": low, "high": high})
    with db.engine.begin() as connection:
        connection.execute(text("ANALYZE TABLE jobs, job_labels")).all()
