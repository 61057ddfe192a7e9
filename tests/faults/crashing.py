"""`python -P -m tests.faults.crashing …`: our command line with named points at which a process can be made to end.

The product has no hook for this: its functions are wrapped here. A point is armed by a file with its name; whoever
crosses it first takes the file away and ends at once, as by SIGKILL. The file says for whom: `*` for anybody, `label`
for a job with the label `point=<name>`, else a job's id. With the suffix `.always` the file stays.
"""

import functools
import importlib
import inspect
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ansible_api.settings import Settings

ARMED = "FAULTS_ARMED"  # the directory of these files
VISIBILITY = "FAULTS_VISIBILITY"  # seconds; in place of celeryconfig's visibility timeout
_labels: dict[str, str] = {}  # what this process knows of its jobs


def crossing(point: str, job_id: str) -> None:
    """End here, if that was asked for."""
    folder = Path(os.environ[ARMED])
    for path, stays in ((folder / point, False), (folder / f"{point}.always", True)):
        try:
            wanted = path.read_text()
            if wanted in ("*", job_id) or (wanted == "label" and _labels.get(job_id) == point):
                if not stays:
                    path.unlink()  # one process succeeds in this
                os._exit(1)
        except FileNotFoundError:
            continue


def before(place: str, point: str, job_id: Callable[..., str | None]) -> None:
    """End before the function begins; `job_id` finds the job in its arguments, None: this call is not the point."""
    _wrap(place, point, job_id, after=False)


def after(place: str, point: str, job_id: Callable[..., str | None]) -> None:
    """End when the function has returned."""
    _wrap(place, point, job_id, after=True)


def _wrap(place: str, point: str, job_id: Callable[..., str | None], *, after: bool) -> None:
    module, _, path = place.partition(":")
    owner: Any = importlib.import_module(module)
    *classes, name = path.split(".")
    for part in classes:
        owner = getattr(owner, part)
    inner = getattr(owner, name)

    def cross(now: bool, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        if now and (job := job_id(*arguments, **named)) is not None:
            crossing(point, job)

    def wrapped(*arguments: Any, **named: Any) -> Any:
        cross(not after, arguments, named)
        found = inner(*arguments, **named)
        cross(after, arguments, named)
        return found

    async def wrapped_async(*arguments: Any, **named: Any) -> Any:
        cross(not after, arguments, named)
        found = await inner(*arguments, **named)
        cross(after, arguments, named)
        return found

    outer = wrapped_async if inspect.iscoroutinefunction(inner) else wrapped
    setattr(owner, name, functools.wraps(inner)(outer))


def _wrap_api() -> None:
    before("ansible_api.api.publish:Publisher.enqueue", "committed", lambda _, job_id, **__: job_id)


def _wrap_when_it_counts() -> None:
    """Later: what is wrapped imports prometheus_client, which decides then where it counts."""
    from ansible_api.tasks import metrics

    inner = metrics.counted_in_files

    @contextmanager
    def counted_in_files(settings: Settings) -> Iterator[None]:
        with inner(settings):
            _wrap_worker()
            yield

    metrics.counted_in_files = counted_in_files


def _wrap_worker() -> None:
    run, execute = "ansible_api.tasks.run", "ansible_api.execution.execute"
    _remember_labels()

    def of_attempt(attempt: Any, *_: Any, **__: Any) -> str:
        return str(attempt._job.id)

    def if_playing(attempt: Any, started: Any) -> str | None:
        return of_attempt(attempt) if started.phase == "playing" else None

    def of_preparation(preparation: Any, *_: Any) -> str:
        return str(preparation.assignment.job_id)

    def of_play(play: Any, *_: Any, **__: Any) -> str:
        return str(play.marker).rpartition(".")[0]

    def of_webhook(_url: str, _id: str, body: str, *_: Any, **__: Any) -> str:
        return str(json.loads(body)["id"])

    before(f"{run}:Attempt.run", "claimed", of_attempt)
    after(f"{run}:open_secrets", "secrets-opened", lambda _, job, *__: job.id)
    after(f"{execute}:fetch_project", "source-fetched", of_preparation)
    after(f"{execute}:gather", "inventory-gathered", of_preparation)
    before(f"{run}:Attempt._report", "before-point-of-no-return", if_playing)
    after(f"{run}:Attempt._report", "after-point-of-no-return", if_playing)
    _at_first_event()
    after("ansible_api.execution.runner:run", "play-ended", of_play)
    before(f"{run}:Attempt.record", "result-kept", of_attempt)
    before(f"{run}:Attempt._announce", "result-written", of_attempt)
    for place, crash, point in (
        ("upload:outcome", before, "before-upload"),
        ("upload:outcome", after, "after-upload"),
        ("close:_close", before, "before-close"),
        ("close:expire", before, "after-close"),
    ):
        crash(f"ansible_api.tasks.{place}", point, _argument(f"ansible_api.tasks.{place}", "job_id"))
    before("ansible_api.tasks.deliver:attempt", "before-webhook", of_webhook)
    after("ansible_api.tasks.deliver:attempt", "after-webhook", of_webhook)
    before("ansible_api.tasks.upkeep:Upkeep._follow_up", "repaired-not-published", _if_queued)
    before("ansible_api.dispatch:CeleryQueue.enqueue", "republish-marked", lambda _, job_id, **__: _in_upkeep(job_id))


def _argument(place: str, name: str) -> Callable[..., str]:
    """Finds an argument by its name; there is no such point any more when the function has none of that name."""
    module, _, function = place.partition(":")
    signature = inspect.signature(getattr(importlib.import_module(module), function))
    if name not in signature.parameters:
        raise LookupError(f"{place} has no {name}")
    return lambda *arguments, **named: str(signature.bind(*arguments, **named).arguments[name])


def _if_queued(_upkeep: Any, job: Any, status: str) -> str | None:
    return str(job.id) if status == "queued" else None


def _in_upkeep(job_id: str) -> str | None:
    return job_id if threading.current_thread().name == "upkeep" else None


def _remember_labels() -> None:
    from ansible_api.tasks.run import Attempt

    inner = Attempt.__init__

    def remember(self: Any, worker: Any, job: Any, *others: Any) -> None:
        _labels[job.id] = job.spec["options"].get("labels", {}).get("point", "")
        inner(self, worker, job, *others)

    Attempt.__init__ = remember  # type: ignore[method-assign]


def _at_first_event() -> None:
    from ansible_api.execution import runner

    inner = runner.run

    def run(play: Any, *arguments: Any, emit: Callable[[Any], None], **named: Any) -> Any:
        def first(event: Any) -> None:
            emit(event)
            crossing("play-started", play.marker.rpartition(".")[0])

        return inner(play, *arguments, emit=first, **named)

    runner.run = run


def main() -> None:
    """Wrap what this command will use, then be the command."""
    if seconds := os.environ.get(VISIBILITY):
        import celeryconfig

        celeryconfig.broker_transport_options["visibility_timeout"] = int(seconds)
    if ARMED in os.environ:
        {"api": _wrap_api, "worker": _wrap_when_it_counts}[sys.argv[1]]()
    from ansible_api.cli import app

    app()


if __name__ == "__main__":
    main()
