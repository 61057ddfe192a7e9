"""What only RabbitMQ does to a worker."""

from pathlib import Path

from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import installed, local_job
from tests.servers.rabbitmq import rabbitmq
from tests.servers.redis import RedisServer

SLOW = play("""
- name: Take longer than the broker waits
  shell: echo start >> {{ notes }}; sleep 8
""")


def test_a_play_that_lasts_longer_than_the_broker_waits_runs_once_and_others_follow(
    tmp_path: Path, redis_server: RedisServer
) -> None:
    redis_server.process.revive()
    redis_server.flush()
    notes = tmp_path / "notes"
    request = local_job(make_repo(tmp_path / "repo", {"site.yml": SLOW}), extra_vars={"notes": str(notes)})
    database = f"sqlite:///{tmp_path / 'database.sqlite'}"
    (tmp_path / "rabbitmq").mkdir()
    with (
        rabbitmq(tmp_path / "rabbitmq", patience=2) as broker,
        installed(tmp_path, database, redis_server.url, BROKER_URL=broker.url, ISOLATION="none") as service,
    ):
        service.start_api()
        worker = service.start_worker(concurrency=1)
        jobs = [service.submit(request) for _ in range(2)]
        assert [service.wait_for_status(job_id)["status"] for job_id in jobs] == ["successful"] * 2
        assert notes.read_text() == "start\n" * 2
        assert worker.poll() is None
        assert "delivery acknowledgement" in _logs(tmp_path / "rabbitmq" / "logs")


def _logs(folder: Path) -> str:
    """What the broker said of what it did."""
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
