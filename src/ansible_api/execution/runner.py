"""Runs one play through ansible-runner; nothing else here imports that.

ansible-runner's own Runner trusts the play: it opens files by names that the play prints, follows links, and hands
the worker's environment on. What a play writes is read here as an enemy's.
"""

import codecs
import json
import os
import re
import select
import stat
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

from ansible_runner.config.runner import ExecutionMode, RunnerConfig
from ansible_runner.runner import Runner
from ansible_runner.utils import OutputEventFilter, get_callback_dir

from ansible_api.errors import JobError
from ansible_api.events.types import Event
from ansible_api.execution.convert import to_event
from ansible_api.execution.mask import Mask
from ansible_api.execution.sandbox import LONGEST_SHUTDOWN, Command, Play
from ansible_api.execution.workspace import Workspace
from ansible_api.jobs.state import StopReason

TICK = 0.25  # longest pause between two looks at the wish to stop
READ_SIZE = 64 * 1024
PARTIAL_LIMIT = 8 * 1024 * 1024  # bytes of one event's data; ansible-runner itself drops results above 700,000
SILENCE_LIMIT = 64 * 1024 * 1024  # bytes printed without an event or a line's end, all of which are held in memory
_UUID = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}(_[0-9]{1,9})?")


def run(
    play: Play,
    command: Command,
    room: Workspace,
    mask: Mask,
    *,
    emit: Callable[[Event], None],
    stop: Callable[[], StopReason | None],
) -> tuple[int | None, StopReason | None]:
    """Play it to its end: exit code, and why it was stopped. Afterwards no process of it lives, whatever was raised."""
    watch = _Watch(play, stop)
    command = replace(command, environment=_with_callback(command.environment, room))
    handle = os.open(room.events, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        config = _Config(command, room)
        config.prepare()
        _, code = _Runner(config, _Reader(handle, mask, emit), watch, play, command, room).run()
    finally:
        os.close(handle)
        play.kill()
    watch.look()  # the guardian may have ended the play before this process, which hung, could look
    return code, watch.reason


def _with_callback(environment: Mapping[str, str], room: Workspace) -> dict[str, str]:
    """What ansible-runner's callback plugin needs in the play; beats the project's settings."""
    directories = [get_callback_dir(), environment.get("ANSIBLE_CALLBACK_PLUGINS")]
    return {
        **environment,
        "ANSIBLE_CALLBACK_PLUGINS": ":".join(filter(None, directories)),
        "ANSIBLE_RETRY_FILES_ENABLED": "False",
        "ANSIBLE_STDOUT_CALLBACK": "awx_display",
        "AWX_ISOLATED_DATA_DIR": str(room.events.parent),
    }


class _Watch:
    """Looks every tick whether the play must end, and ends it: first asks, then kills."""

    def __init__(self, play: Play, stop: Callable[[], StopReason | None]) -> None:
        self.reason: StopReason | None = None
        self._play = play
        self._stop = stop
        self._next_look = 0.0
        self._kill_at = 0.0

    def tick(self) -> bool:
        """ansible-runner's cancel callback; never true, or it would kill the guardian and orphan the play."""
        now = time.monotonic()
        if now >= self._next_look:
            self._next_look = now + TICK
            self._play.keep()
            self.look()
        return False

    def look(self) -> None:
        """Ask whether the play must end, and act on it."""
        now = time.monotonic()
        if self.reason is None:
            self.reason = StopReason.LEASE_LOST if self._play.guard and self._play.guard.over else self._stop()
            self._kill_at = now + self._play.grace + LONGEST_SHUTDOWN
        if self.reason is None:
            return
        if self.reason is StopReason.LEASE_LOST or now >= self._kill_at:
            self._play.kill()
        else:  # at every look: the first may come before the guardian can be found
            self._play.terminate()


class _Reader:
    """Makes Events of what the play prints and of the files it leaves beside."""

    def __init__(self, directory: int, mask: Mask, emit: Callable[[Event], None]) -> None:
        self._directory = directory
        self._mask = mask
        self._emit = emit
        self._seq = 0

    def take(self, raw: dict[str, Any]) -> None:
        """One event of ansible-runner's output filter."""
        if raw.get("event") == "EOF":
            return
        if raw.get("event") != "verbose":
            raw = self._partial(raw.get("uuid")) | {"stdout": raw.get("stdout")}
        self._seq += 1
        self._emit(to_event(self._seq, raw, self._mask))

    def _partial(self, uuid: object) -> dict[str, Any]:
        """The data that the callback in the play has written for the event; empty when it is not what it should be."""
        if not isinstance(uuid, str) or not _UUID.fullmatch(uuid):
            return {}
        name = f"{uuid}-partial.json"
        try:
            data = json.loads(self._read(name))
        except (OSError, ValueError, RecursionError):
            data = None
        with suppress(OSError):
            os.unlink(name, dir_fd=self._directory)
        return data if isinstance(data, dict) else {}

    def _read(self, name: str) -> bytes:
        # Relative to a directory opened before the play began: no link or renamed directory leads elsewhere.
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
        with os.fdopen(os.open(name, flags, dir_fd=self._directory), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return b""
            data = file.read(PARTIAL_LIMIT + 1)
        return data if len(data) <= PARTIAL_LIMIT else b""


class _Runner(Runner):  # type: ignore[misc]  # ansible_runner has no types
    """ansible-runner without its ways of reading events and of pumping output."""

    def __init__(
        self, config: RunnerConfig, reader: _Reader, watch: _Watch, play: Play, command: Command, room: Workspace
    ) -> None:
        super().__init__(config, cancel_callback=watch.tick)
        self._reader = reader
        self._play, self._command, self._room = play, command, room
        self._held = 0

    def event_callback(self, event_data: dict[str, Any]) -> None:
        """Instead of the stock one, which follows the play's links and writes a file of every event."""
        self._held = 0
        self._reader.take(event_data)

    def run(self) -> tuple[str, int | None]:
        """The stock loop would do but for this: it sleeps 0.1 s at every end, keeps all output in memory, and writes
        its result into files of a directory that the play can change.
        """
        output = OutputEventFilter(None, self.event_callback, suppress_ansible_output=True)
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        process = self._play.start(self._command, self._room, stderr=subprocess.STDOUT)
        try:
            for data in self._output(process):
                self._held += len(data)
                if self._held > SILENCE_LIMIT:
                    raise JobError("output_too_large", f"the play printed {SILENCE_LIMIT} bytes without a line's end")
                output.write(decoder.decode(data))
            output.close()
        except BaseException:
            self._play.kill()
            raise
        finally:
            self.rc = process.wait()
            if process.stdout:
                process.stdout.close()
        return self.status, self.rc

    def _output(self, process: subprocess.Popen[bytes]) -> Iterator[bytes]:
        """What the play prints until its guardian ends; in between, at least every tick, a look at the wish to stop."""
        if process.stdout is None:
            return
        handle = process.stdout.fileno()
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        while True:
            if poll.poll(TICK * 1000):
                data = os.read(handle, READ_SIZE)
                if not data:
                    return
                yield data
            elif process.poll() is not None:  # and something else keeps the pipe open
                return
            self.cancel_callback()


class _Config(RunnerConfig):  # type: ignore[misc]
    """What Runner wants to know; environment and command are ours alone."""

    def __init__(self, command: Command, room: Workspace) -> None:
        super().__init__(
            private_data_dir=str(room.control),
            artifact_dir=str(room.control),
            ident=room.events.parent.name,
            project_dir=str(room.project),
            fact_cache_type="",  # the project decides about caching facts
            quiet=True,
        )
        self._command = command

    def prepare_env(self) -> None:
        """The stock one begins with the whole environment of the worker and turns host key checking off."""
        super().prepare_env()
        self.env = dict(self._command.environment)

    def prepare_command(self) -> None:
        """Ours, not one built from files in the private data directory."""
        self.command = list(self._command.argv)
        self.execution_mode = ExecutionMode.RAW
