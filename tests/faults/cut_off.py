"""Scenario: packets between a worker and its database vanish for longer than its lease."""

import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from ansible_api import processes
from tests.faults.installation import LEASE, Installation, Part
from tests.faults.load import Load, job
from tests.faults.oracle import judge, watching
from tests.faults.report import Result
from tests.faults.zombie import worker_processes
from tests.servers.requirements import require, require_namespaces
from tests.servers.ssh_hosts import free_subnet
from tests.waiting import wait_for

NOWHERE = "02:00:00:00:00:99"  # a machine that is not there: what is sent to it vanishes


def cut_off(rig: Installation, short: bool, _seed: int) -> Result:
    """Without `rerun` the job is lost and its late result changes nothing; with it the first play is dead in time."""
    require_namespaces()
    result = Result("a worker cut off from the database")
    load = Load(rig, None, lambda _: {})
    with watching(rig) as watch, _far_worker(rig) as (part, network):
        for _ in range(1 if short else 5):
            _cut_once(rig, result, load, part, network)
        judge(rig, result, load.accepted, watch)
    return result


def _cut_once(rig: Installation, result: Result, load: Load, part: Part, network: "_Network") -> None:
    with others_stopped(rig, part):
        seconds = 4 * LEASE
        ids = [
            str(load.submit(job(rig, seconds=seconds, ledger=network.others, **options)))
            for options in ({"on_worker_loss": "rerun"}, {})
        ]
        wait_for(lambda: all(rig.ledger.of(job_id, "start") for job_id in ids), 60, message="the plays did not begin")
    rerun, plain = ids
    network.cut()
    result.kills += 1
    try:
        wait_for(lambda: len(rig.ledger.of(rerun, "start")) == 2, 60, message="no second attempt began")
        wait_for(lambda: _status(rig, plain) == "lost", 60, message="the job was not lost")
        before = _row(rig, plain)
        wait_for(lambda: rig.ledger.of(plain, "end") or not _plays(plain), 60, message="the play went on and on")
    finally:
        network.mend()
    wait_for(lambda: _status(rig, rerun) == "successful", 60, message="the second attempt did not end")
    wait_for(lambda: _late(rig, plain) == "successful", 120, message=f"no late outcome of {plain}")
    result.expect(_row(rig, plain) == before, f"a late result changed {plain}: {before} {_row(rig, plain)}")


def _status(rig: Installation, job_id: str) -> str:
    return str(rig.rows("SELECT status FROM $jobs WHERE id = %s", job_id)[0][0])


def _late(rig: Installation, job_id: str) -> str | None:
    """How the last play ended, as its worker told when it could."""
    with rig.client() as client:
        late = client.get(f"/api/v1/jobs/{job_id}").json()["attempts"][-1]["late_outcome"]
    return late and str(late["status"])


def _row(rig: Installation, job_id: str) -> list[tuple]:
    columns = "status, attempt, finished_at, return_code, error_code, error_message"
    return rig.rows(f"SELECT {columns} FROM $jobs WHERE id = %s", job_id)


def _plays(job_id: str) -> list[int]:
    return [pid for pid, text in processes.marked("ANSIBLE_API_JOB").items() if text.startswith(job_id)]


@contextmanager
def others_stopped(rig: Installation, part: Part) -> Iterator[None]:
    """So that the next jobs go to one worker."""
    frozen = [pid for other in rig.workers() if other is not part for pid in worker_processes(other)]
    for pid in frozen:
        processes.send(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in frozen:
            processes.send(pid, signal.SIGCONT)


@contextmanager
def _far_worker(rig: Installation) -> Iterator[tuple[Part, "_Network"]]:
    """A worker in a network of its own that reaches the servers through relays at two addresses."""
    with ExitStack() as stack:
        network = stack.enter_context(_network(stack.enter_context(free_subnet())))

        def through(name: str, address: str) -> str:
            parts = urlsplit(rig.service.env[name])
            port = stack.enter_context(_relay(address, parts.port or 0))
            login, found, _ = parts.netloc.rpartition("@")
            return urlunsplit(parts._replace(netloc=f"{login}{found}{address}:{port}"))

        settings = {
            "DATABASE_URL": through("DATABASE_URL", network.database),
            "REDIS_URL": through("REDIS_URL", network.others),
            "S3_ENDPOINT_URL": through("S3_ENDPOINT_URL", network.others),
        }
        queues = ("default", "git-heavy", "dynamic-inventory", "long-running")
        part = rig.add_worker("far", queues=queues, prefix=network.inside, **settings)
        stack.callback(rig.remove, part)
        rig.wait_until_ready(part)
        yield part, network


@dataclass(frozen=True)
class _Network:
    """A network namespace: `database` and `others` are the near end's two addresses."""

    database: str
    others: str
    inside: tuple[str, ...]

    def cut(self) -> None:
        """What goes to the database goes nowhere, and nobody is told."""
        self._ip("neigh", "replace", self.database, "lladdr", NOWHERE, "nud", "permanent", "dev", "eth0")

    def mend(self) -> None:
        self._ip("neigh", "del", self.database, "dev", "eth0")

    def _ip(self, *words: str) -> None:
        subprocess.run([*self.inside, require("ip"), *words], check=True)


@contextmanager
def _network(number: int) -> Iterator[_Network]:
    holder = subprocess.Popen([require("unshare"), "--net", "--", "sleep", "infinity"])
    try:
        own = f"/proc/{holder.pid}/ns/net"
        wait_for(lambda: _differs(own), 10, message="no network namespace")
        inside = (require("nsenter"), f"--net={own}", "--")
        near, far = f"tests{number}-f", "eth0"
        ip = require("ip")
        net = f"10.203.{number}"
        for words in (
            (ip, "link", "add", near, "type", "veth", "peer", "name", far, "netns", str(holder.pid)),
            (ip, "address", "add", f"{net}.1/29", "dev", near),
            (ip, "address", "add", f"{net}.2/29", "dev", near),
            (ip, "link", "set", near, "up"),
            (*inside, ip, "address", "add", f"{net}.3/29", "dev", far),
            (*inside, ip, "link", "set", far, "up"),
            (*inside, ip, "link", "set", "lo", "up"),
        ):
            subprocess.run(words, check=True)
        yield _Network(f"{net}.1", f"{net}.2", inside)
    finally:
        holder.kill()
        holder.wait()  # the veth pair goes with the namespace


def _differs(path: str) -> bool:
    with suppress(OSError):
        return Path(path).readlink() != Path("/proc/self/ns/net").readlink()
    return False


@contextmanager
def _relay(address: str, target: int) -> Iterator[int]:
    """A port of that address whose connections end at a loopback port."""
    with socket.create_server((address, 0), backlog=64) as listener:
        threading.Thread(target=_accept, args=(listener, target), daemon=True).start()
        yield listener.getsockname()[1]


def _accept(listener: socket.socket, target: int) -> None:
    with suppress(OSError):
        while True:
            near, _ = listener.accept()
            try:
                far = socket.create_connection(("127.0.0.1", target), 5)
            except OSError:
                near.close()
                continue
            far.settimeout(None)
            for source, sink in ((near, far), (far, near)):
                threading.Thread(target=_pump, args=(source, sink), daemon=True).start()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
