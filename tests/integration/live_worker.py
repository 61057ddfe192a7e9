"""`python -m tests.integration.live_worker FOLDER LIMIT`: a real worker, quick to notice the trouble that a test makes.

Files in the folder do it: `hang` stops the consumer's loop for as long as it is there, `deaf` makes the worker consume
no more while its loop goes on. The task `tests.hold` takes a slot for as long as the file `hold` is there.
"""

import sys
import time
from pathlib import Path
from typing import Any

from ansible_api.settings import Settings, load_settings
from ansible_api.tasks.metrics import counted_in_files

FOLDER, LIMIT = Path(sys.argv[1]), float(sys.argv[2])


def main() -> None:
    settings = load_settings()
    with counted_in_files(settings):
        work(settings)


def work(settings: Settings) -> None:
    from celery import bootsteps, shared_task

    from ansible_api.routing import Queue
    from ansible_api.tasks import liveness, start
    from ansible_api.telemetry import EVENTS

    liveness.PERIOD, liveness.LIMIT, liveness.TICK = 0.3, LIMIT, 0.1

    @shared_task(name="tests.hold")
    def hold() -> None:
        EVENTS.inc()
        while (FOLDER / "hold").exists():
            time.sleep(0.05)

    class Trouble(bootsteps.StartStopStep):  # type: ignore[misc]
        requires = (liveness.CanaryStep,)

        def start(self, parent: Any) -> None:
            def trouble() -> None:
                while (FOLDER / "hang").exists():
                    time.sleep(0.05)
                if (FOLDER / "deaf").exists():
                    parent.task_consumer.cancel()

            parent.timer.call_repeatedly(0.1, trouble)

    inner = start.create_app

    def create_app(*arguments: Any) -> Any:
        app = inner(*arguments)
        app.steps["consumer"].add(Trouble)
        return app

    start.create_app = create_app  # type: ignore[assignment]
    start.run_worker(settings, [Queue.DEFAULT], concurrency=1, ready_file=FOLDER / "ready")


if __name__ == "__main__":
    main()
