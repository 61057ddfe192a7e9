"""Starting a worker process: checks first, then Celery with upkeep, until it is told to stop."""

import importlib
import os
import signal
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from celery import Celery, signals
from kombu.transport.redis import Channel

from ansible_api import loading, tracing
from ansible_api.celery import RowsRestore, create_app
from ansible_api.credentials import store as credentials
from ansible_api.credentials.cipher import Cipher
from ansible_api.db import Database
from ansible_api.deliveries import secrets as webhook_secrets
from ansible_api.execution.bytecode import compile_packages
from ansible_api.execution.sandbox import choose
from ansible_api.execution.workspace import sweep
from ansible_api.jobs.repairs import DeadAttempt
from ansible_api.jobs.spec import JobSpec
from ansible_api.logs import configure_logs, get_logger
from ansible_api.routing import JOB_QUEUES, Queue
from ansible_api.schema import require_current
from ansible_api.settings import Settings
from ansible_api.tasks import probe
from ansible_api.tasks.end import EndStep
from ansible_api.tasks.liveness import CanaryStep, LivenessStep
from ansible_api.tasks.own_dir import own_dir
from ansible_api.tasks.retention import RetentionStep
from ansible_api.tasks.retries import check_policies
from ansible_api.tasks.upkeep import UpkeepStep
from ansible_api.tasks.worker import dead_attempts, node_name, one_job, shutdown, start_child

TASK_MODULES = tuple(f"ansible_api.tasks.{name}" for name in ("run", "upload", "close", "deliver"))
log = get_logger(__name__)


def run_worker(
    settings: Settings, queues: Sequence[Queue], *, concurrency: int, ready_file: Path | None, once: bool = False
) -> None:
    """Serve some queues until SIGTERM, or for one job; StartupError when database, key or isolation are not right."""
    configure_logs(settings.log_level)
    _check(settings)
    # The node is named before the first fork: its children own their leases in its name.
    isolation = choose(settings.isolation).describe()
    log.info("worker starts", node=node_name(), queues=list(queues), isolation=isolation)
    if set(queues) & set(JOB_QUEUES) and not compile_packages():
        log.warning("Ansible has no bytecode and none can be written: every play starts a second later")
    if settings.objects_dir is None:
        importlib.import_module("ansible_api.objects.s3")  # once, before the first fork: each child would take a second
    tracing.preload()
    own_dir(settings.state_dir)
    probe.serve(settings)
    app = create_app(settings)
    app.conf.include = TASK_MODULES
    app.steps["worker"].add(UpkeepStep)
    app.steps["worker"].add(RetentionStep)
    app.steps["worker"].add(EndStep)
    app.steps["worker"].add(LivenessStep)
    app.steps["consumer"].add(CanaryStep)
    Channel.QoS = RowsRestore
    _connect_signals(settings, ready_file)
    app.set_current()
    one_job.asked_for = once
    _serve(app, queues, concurrency)


def _check(settings: Settings) -> None:
    check_policies(settings)
    with closing(Database(settings.database_url.get_secret_value())) as db:
        require_current(db.engine)
        cipher = Cipher.from_setting(settings.master_key)
        db.read(credentials.check_master_key, cipher)
        db.read(webhook_secrets.check_master_key, cipher)
    settings.state_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    for marker in sweep(settings.state_dir / "work"):
        # A worker that died with its children, perhaps with its machine: its jobs need not wait for their leases' end.
        job_id, _, number = marker.rpartition(".")
        dead_attempts.put(DeadAttempt(job_id, attempt=int(number)))


def _connect_signals(settings: Settings, ready_file: Path | None) -> None:
    def begin_shutdown(**_: Any) -> None:
        shutdown.begin(settings.shutdown_grace)

    def tell_ready(**_: Any) -> None:
        if ready_file is not None:
            ready_file.touch()

    def keep_logging(**_: Any) -> None:
        """Celery leaves logging alone when somebody listens to this signal."""

    # Celery holds receivers weakly unless told otherwise.
    signals.worker_shutting_down.connect(begin_shutdown, weak=False)
    signals.worker_ready.connect(tell_ready, weak=False)
    signals.setup_logging.connect(keep_logging, weak=False)
    signals.worker_process_init.connect(_begin_child, weak=False)


def _begin_child(**_: Any) -> None:
    """Children are told to stop through `shutdown` and by Celery's own messages.

    Many who shut a worker down signal all of its processes; SIGTERM would make a child drop its job where it stands.
    """
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    probe.leave()
    # Connected here, behind the tasks' own: what they still do at the end is told, too.
    signals.worker_process_shutdown.connect(_end_child, weak=False)
    start_child()


def _end_child(**_: Any) -> None:
    tracing.stop()


def _serve(app: Celery, queues: Sequence[Queue], concurrency: int) -> None:
    """Celery's worker as a program, without Celery's command line, which takes half a second to load."""
    pool = "+".join(queues) if len(queues) <= 2 else "all"
    worker = app.Worker(
        hostname=f"{pool}.{os.getpid()}@{socket.gethostname()}",
        queues=[str(queue) for queue in queues],
        concurrency=concurrency,
        quiet=True,  # no banner between the log's lines of JSON
        without_gossip=True,
        without_mingle=True,
        loglevel="INFO",
    )
    JobSpec.model_rebuild()  # here, and not once in each child
    loading.end()
    worker.start()
    if worker.exitcode:  # Celery has logged what it could not recover from
        sys.exit(worker.exitcode)
