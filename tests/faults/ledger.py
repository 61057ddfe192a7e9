"""What plays really did: each notes its start and its end here, outside the service, before it goes on."""

import os
import socketserver
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from ansible_api import processes
from ansible_api.execution.workspace import MARKER

# Waits for the answer: what the ledger has not on disk has not happened. Loopback, since a sandbox hides files.
NOTE = """\
#!/bin/bash
set -eu
note() {
    exec 3<>"/dev/tcp/$1/$2"
    printf '%s %s\\n' "$ANSIBLE_API_JOB" "$3" >&3
    read -r answer <&3
    exec 3>&-
    test "$answer" = kept
}
note "$1" "$2" start
sleep "$3"
note "$1" "$2" end
exit "${4:-0}"
"""


@dataclass(frozen=True)
class Entry:
    """One note; `survivors` are processes of earlier attempts that were alive when this one started."""

    job: str
    attempt: int
    event: str
    at: float
    survivors: tuple[int, ...] = ()


class Ledger:
    """The notes of all plays, on disk and in memory."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._lock = threading.Lock()
        self._entries: list[Entry] = []
        self.host, self.port = "127.0.0.1", 0

    def keep(self, line: str) -> None:
        """Write a note down; returns when it is on the disk."""
        marker, _, event = line.strip().partition(" ")
        job, _, attempt = marker.rpartition(".")
        entry = Entry(job, int(attempt), event, time.time(), _survivors(job, marker) if event == "start" else ())
        with self._lock:
            os.write(self._file, f"{job} {attempt} {event} {entry.at:.3f} {entry.survivors}\n".encode())
            os.fsync(self._file)
            self._entries.append(entry)

    def entries(self) -> list[Entry]:
        with self._lock:
            return list(self._entries)

    def of(self, job: str, event: str) -> list[Entry]:
        return [entry for entry in self.entries() if (entry.job, entry.event) == (job, event)]

    def by_job(self) -> dict[str, list[Entry]]:
        found: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.entries():
            found[entry.job].append(entry)
        return found

    def close(self) -> None:
        os.close(self._file)


def _survivors(job: str, marker: str) -> tuple[int, ...]:
    if marker.endswith(".1"):
        return ()
    return tuple(pid for pid, text in processes.marked(MARKER).items() if text.startswith(f"{job}.") and text != marker)


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True
    request_queue_size = 256
    ledger: Ledger


class _Handler(socketserver.StreamRequestHandler):
    server: _Server

    def handle(self) -> None:
        line = self.rfile.readline().decode()
        if not line.endswith("\n"):  # a play that died in the middle of the word
            return
        self.server.ledger.keep(line)
        self.wfile.write(b"kept\n")

    def finish(self) -> None:
        with suppress(OSError):  # the play may have died after its note was kept
            super().finish()


@contextmanager
def ledger(path: Path) -> Iterator[Ledger]:
    """A ledger that listens on every address: plays in a network of their own reach it too."""
    kept = Ledger(path)
    with _Server(("0.0.0.0", 0), _Handler) as server:
        server.ledger = kept
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # plays die in the middle, that is the point
        kept.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield kept
        finally:
            server.shutdown()
            thread.join()
            kept.close()
