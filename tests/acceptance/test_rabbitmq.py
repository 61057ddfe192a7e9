"""Workers on RabbitMQ: what it does to them that Redis does not."""

from pathlib import Path

from tests.acceptance.repos import make_repo, play
from tests.acceptance.service import installed, local_job
from tests.servers.rabbitmq import RabbitMQServer, rabbitmq
from tests.servers.redis import RedisServer

SLOW = play("""
- name: Take longer than the broker waits
  shell: echo start >> {{ notes }}; sleep 5
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
        rabbitmq(tmp_path / "rabbitmq", patience=1) as broker,
        installed(tmp_path, database, redis_server.url, BROKER_URL=broker.url, ISOLATION="none") as service,
    ):
        service.start_api()
        worker = service.start_worker(concurrency=1)
        jobs = [service.submit(request) for _ in range(2)]
        assert [service.wait_for_status(job_id)["status"] for job_id in jobs] == ["successful"] * 2
        assert notes.read_text() == "start\n" * 2
        assert worker.poll() is None
        # The broker, which ends the channel of who lets it wait for too long, had no reason to.
        assert "timed out waiting for delivery acknowledgement" not in _logs(tmp_path / "rabbitmq" / "logs")


def test_a_worker_without_a_free_slot_leaves_jobs_of_its_other_queues_to_those_that_have_one(
    tmp_path: Path, redis_server: RedisServer, rabbitmq_server: RabbitMQServer, repo: Path
) -> None:
    for server in (redis_server, rabbitmq_server):
        server.process.revive()
        server.flush()
    slow = make_repo(tmp_path / "slow", {"site.yml": play("[{name: Wait, command: sleep 300}]")})
    database = f"sqlite:///{tmp_path / 'database.sqlite'}"
    # What waits in the wrong place is not published again while the test lasts.
    settings = {"BROKER_URL": rabbitmq_server.url, "REPUBLISH_AFTER": "600"}
    with installed(tmp_path, database, redis_server.url, **settings) as service:
        service.start_api()
        service.start_worker(name="full", concurrency=1)
        service.wait_for_status(service.submit(local_job(slow)), "running")
        service.start_worker(name="idle", concurrency=1)
        for queue in ("git-heavy", "dynamic-inventory", "long-running") * 2:
            job_id = service.submit(local_job(repo, options={"queue": queue}))
            assert service.wait_for_status(job_id, timeout=30)["status"] == "successful"


def _logs(folder: Path) -> str:
    """What the broker said of what it did."""
    return "\n".join(path.read_text(errors="replace") for path in folder.glob("*.log"))
