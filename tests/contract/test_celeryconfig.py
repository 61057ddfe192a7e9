"""Celery's configuration says what routing says."""

import json
import subprocess
import sys
from pathlib import Path

import celeryconfig
from pydantic import SecretStr

from ansible_api.celery import create_app
from ansible_api.routing import Queue, TaskName, task_queue
from ansible_api.settings import Settings
from ansible_api.tasks.start import TASK_MODULES

ROOT = Path(__file__).parents[2]


def run(program: str) -> str:
    """What a fresh interpreter without any environment prints, in the project's directory."""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env={}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_queues_are_those_of_routing() -> None:
    assert [queue.name for queue in celeryconfig.task_queues] == list(Queue)
    assert {queue.routing_key for queue in celeryconfig.task_queues} == set(Queue)
    assert celeryconfig.task_default_queue == Queue.DEFAULT
    assert celeryconfig.task_create_missing_queues is False


def test_every_task_has_its_route() -> None:
    assert celeryconfig.task_routes == {name.value: {"queue": task_queue(name).value} for name in TaskName}


def test_only_json_is_sent_and_taken() -> None:
    names = ("task_serializer", "result_serializer", "event_serializer")
    assert {getattr(celeryconfig, name) for name in names} == {"json"}
    assert celeryconfig.accept_content == celeryconfig.result_accept_content == ["json"]


def test_it_needs_no_environment_and_connects_to_nothing() -> None:
    assert run("import celeryconfig; print(len(celeryconfig.task_queues))") == f"{len(Queue)}\n"


def test_a_worker_knows_exactly_the_tasks_of_routing() -> None:
    program = f"""
import importlib, json
from celery import Celery
app = Celery(set_as_current=True)
for module in {TASK_MODULES!r}:
    importlib.import_module(module)
app.finalize()
print(json.dumps([name for name in app.tasks if not name.startswith("celery.")]))
"""
    assert sorted(json.loads(run(program))) == sorted(TaskName)


def test_sending_loads_no_task_code() -> None:
    program = "import sys, ansible_api.dispatch, ansible_api.api.app; print([m for m in sys.modules if '.tasks' in m])"
    loaded = run(program)
    assert "ansible_api.tasks" not in loaded


def test_every_name_is_one_that_celery_knows(tmp_path: Path) -> None:
    settings = Settings(
        database_url=SecretStr("sqlite:///x"),
        redis_url=SecretStr("redis://127.0.0.1:1"),
        master_key=SecretStr("1:x"),
        objects_dir=tmp_path,
    )
    app = create_app(settings)
    known = set(app.conf.table()) | set(app.conf.defaults[-1])
    ours = {name for name in vars(celeryconfig) if name.islower() and not name.startswith("_")}
    assert ours <= known
    app.close()
