"""A small supervisor: starts processes, restarts those that crash, gives up in time, and leaves none behind."""

import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import IO, NoReturn, Self

from ansible_api.cli.exits import CommandError
from ansible_api.processes import become_subreaper, children, die_with_parent

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# What a part may use of the time that is left for all, so that those after it still can end in order.
SHARE = 0.7


class StopRequested(Exception):
    """A signal asked for the end."""


@dataclass(frozen=True)
class Backoff:
    """How crashes are answered: pauses in seconds, and how many crashes in a row are too many."""

    first: float = 0.5
    longest: float = 30.0
    healthy_after: float = 60.0
    limit: int = 5

    def pause(self, crashes: int) -> float:
        """The pause after so many crashes in a row."""
        return min(self.longest, self.first * 2.0 ** (crashes - 1))


@dataclass(frozen=True)
class Part:
    """A process that is meant to run for ever; its output goes to the log."""

    name: str
    argv: Sequence[str]
    log: Path
    pass_fds: tuple[int, ...] = ()
    before_start: Callable[[], object] = lambda: None


@dataclass
class _Running:
    part: Part
    process: subprocess.Popen[bytes]
    since: float
    log_start: int
    crashes: int = 0
    due: float | None = None  # when to start again; None while it runs


@dataclass
class Supervisor:
    """Keeps parts running inside a `with`, whose end stops them: the last one started goes first.

    Use it in the main thread of a process of its own: it takes the signals and adopts orphans.
    `grace` is the time in seconds that stopping everything may take.
    """

    env: Mapping[str, str]
    say: Callable[[str], object]
    grace: float
    backoff: Backoff = Backoff()
    _running: list[_Running] = field(default_factory=list, init=False)
    _helper: subprocess.Popen[bytes] | None = field(default=None, init=False)
    _signals: int = field(default=0, init=False)
    _pipe: tuple[int, int] = field(default=(-1, -1), init=False)

    def __enter__(self) -> Self:
        become_subreaper()
        self._pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            signal.signal(number, self._take_signal)
        signal.signal(signal.SIGCHLD, lambda *_: None)  # only to wake up
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, part: Part) -> None:
        """Start a part and keep it running from now on."""
        self._running.append(_Running(part, *self._launch(part)))

    def run(self, name: str, argv: Sequence[str], log: Path, limit: float = 120) -> str:
        """Run a command to its end and return what it printed; CommandError when it fails."""
        with os.fdopen(os.memfd_create(name), "w+b") as output, log.open("ab") as errors:
            start = errors.tell()
            self._helper = process = self._spawn(argv, output, errors)
            self.wait_until(lambda: process.poll() is not None, limit, name)
            self._helper = None
            output.seek(0)
            if process.returncode != 0:
                raise CommandError(f"{name}: {_ending(process.returncode)}\n{_tail(log, start)}".rstrip())
            return output.read().decode()

    def wait_until(self, condition: Callable[[], bool], limit: float, what: str) -> None:
        """Tend the parts until the condition holds; StopRequested on a signal, CommandError after the limit."""
        deadline = time.monotonic() + limit
        while not condition():
            if time.monotonic() > deadline:
                raise CommandError(f"{what}: not done within {limit:g} s; see {self._logs()}")
            self.tend(0.1)

    def watch(self) -> NoReturn:
        """Tend the parts until a signal (StopRequested) or until one crashes too often (CommandError)."""
        while True:
            self.tend(60)

    def tend(self, longest: float) -> None:
        """Look after the parts once, then sleep until something happens or the time is up."""
        for running in self._running:
            if running.due is None and running.process.poll() is not None:
                self._crashed(running)
            elif running.due is not None and time.monotonic() >= running.due:
                running.process, running.since, running.log_start = self._launch(running.part)
                running.due = None
        self._bury_orphans()
        due = [running.due - time.monotonic() for running in self._running if running.due is not None]
        self._sleep(min([longest, *due]))
        if self._signals:
            raise StopRequested

    def stop(self) -> None:
        """End every part within the grace; one more signal ends them at once."""
        signals, end = self._signals, time.monotonic() + self.grace
        if self._helper is not None:
            self._kill(self._helper)
        for running in reversed(self._running):
            process = running.process
            if process.poll() is None:
                process.terminate()
            until = time.monotonic() + (end - time.monotonic()) * SHARE
            while process.poll() is None and time.monotonic() < until and self._signals == signals:
                self._bury_orphans()
                self._sleep(until - time.monotonic())
            if process.poll() is None:
                self.say(f"{running.part.name} is killed: it did not stop in time")
                self._kill(process)
        self._running.clear()
        self._kill_orphans()

    def _take_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1

    def _sleep(self, seconds: float) -> None:
        if select.select([self._pipe[0]], [], [], max(0, seconds))[0]:
            os.read(self._pipe[0], 4096)

    def _launch(self, part: Part) -> tuple[subprocess.Popen[bytes], float, int]:
        part.before_start()
        with part.log.open("ab") as log:
            start = log.tell()
            return self._spawn(part.argv, log, log, part.pass_fds), time.monotonic(), start

    def _spawn(
        self, argv: Sequence[str], stdout: IO[bytes], stderr: IO[bytes], pass_fds: tuple[int, ...] = ()
    ) -> subprocess.Popen[bytes]:
        parent = os.getpid()
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            env=dict(self.env),
            pass_fds=pass_fds,
            start_new_session=True,  # Ctrl-C on the terminal is for the supervisor alone
            preexec_fn=lambda: die_with_parent(parent=parent),
        )

    def _crashed(self, running: _Running) -> None:
        part, code = running.part, running.process.returncode
        self._kill_orphans()
        if time.monotonic() - running.since >= self.backoff.healthy_after:
            running.crashes = 0
        running.crashes += 1
        self.say(f"{part.name} {_ending(code)}\n{_tail(part.log, running.log_start)}".rstrip())
        if running.crashes > self.backoff.limit:
            raise CommandError(f"{part.name} ended {running.crashes} times in a row: giving up; see {part.log}")
        pause = self.backoff.pause(running.crashes)
        self.say(f"{part.name} starts again in {pause:g} s")
        running.due = time.monotonic() + pause

    def _kill(self, process: subprocess.Popen[bytes]) -> None:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _own(self) -> set[int]:
        helper = {self._helper.pid} if self._helper else set()
        return helper | {running.process.pid for running in self._running}

    def _bury_orphans(self) -> None:
        own = self._own()
        try:
            # Only look at first: the end of a part is for its Popen to collect.
            while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid not in own:
                os.waitpid(ended.si_pid, 0)
        except ChildProcessError:
            pass

    def _kill_orphans(self) -> None:
        own = self._own()
        # Killing one may bring its children here, so look again until there is none.
        while strays := [pid for pid in children(os.getpid()) if pid not in own]:
            for pid in strays:
                os.kill(pid, signal.SIGKILL)
                os.waitpid(pid, 0)

    def _logs(self) -> str:
        return ", ".join(str(running.part.log) for running in self._running) or "the logs"


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}"


def _tail(log: Path, start: int, lines: int = 5) -> str:
    with log.open("rb") as file:
        file.seek(max(start, log.stat().st_size - 4096))
        last = file.read().decode(errors="replace").splitlines()[-lines:]
    return "\n".join(f"    {line}" for line in last)
