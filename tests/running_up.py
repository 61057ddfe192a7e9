"""`ansible-api up` in a test: started with a data directory, waited for, stopped, never left behind."""

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from tests.processes import MARK, new_mark, processes_with
from tests.waiting import wait_for


@dataclass
class RunningUp:
    """One `up`; `command` is what comes before `up` on the command line."""

    command: Sequence[str]
    data: Path
    output: Path
    options: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    mark: str = field(default_factory=new_mark)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it, and do not wait."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_API_")}
        argv = [*self.command, "up", "--data", str(self.data), "--port", "0", *self.options]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                argv, stdout=output, stderr=subprocess.STDOUT, env={**inherited, **self.env, MARK: self.mark}
            )
        return self

    @property
    def said(self) -> str:
        return self.output.read_text()

    @property
    def url(self) -> str:
        """Its address, once it is ready."""
        line = wait_for(self._ready_line, timeout=60, message="up was not ready")
        return line.removeprefix("ready: ")

    def _ready_line(self) -> str:
        if self.process is not None and self.process.poll() is not None:
            raise RuntimeError(f"up ended:\n{self.said}")
        # Only whole lines: the last one may be in the middle of being written.
        lines = self.said.rpartition("\n")[0].splitlines()
        return next((line for line in lines if line.startswith("ready: ")), "")

    def parts(self) -> list[int]:
        """Every process below it."""
        return [pid for pid in processes_with(self.mark) if self.process is None or pid != self.process.pid]

    def stop(self, number: signal.Signals = signal.SIGTERM, timeout: float = 40) -> int:
        """Send a signal and return the exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(timeout)

    def clean_up(self) -> None:
        """End what is left, whatever happened."""
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for pid in processes_with(self.mark):
            os.kill(pid, signal.SIGKILL)
