"""Scenario: clients of two teams go away at random moments."""

import random
import socket
import threading
import time
from dataclasses import dataclass, field

import httpx

from tests.faults.installation import Installation
from tests.faults.load import Load, job
from tests.faults.oracle import judge
from tests.faults.report import Result
from tests.waiting import wait_for

THREADS = 8


@dataclass
class _Team:
    name: str
    key: str
    jobs: set[str] = field(default_factory=set)


def disconnects(rig: Installation, short: bool, seed: int) -> Result:
    """No answer holds another caller's data, and nothing of the API is left behind."""
    count = 200 if short else 2000
    result = Result(f"{count} disconnects")
    load = Load(rig, None, lambda _: {})
    teams = [_Team(name, rig.service.run("keys", "create", "--name", name, "--team", name)) for name in ("red", "blue")]
    for team in teams:
        for _ in range(3):
            with rig.client(key=team.key) as client:
                spec = job(rig, seconds=1.0, labels={"of": team.name})
                answer = client.post("/api/v1/jobs", json=spec)
            assert answer.status_code == 202, answer.text
            team.jobs.add(answer.json()["id"])
    threads = [
        threading.Thread(target=_come_and_go, args=(rig, result, teams, count // THREADS, random.Random(seed + number)))
        for number in range(THREADS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _nothing_is_left(rig, result)
    load.submit(job(rig))
    judge(rig, result, load.accepted)
    return result


def _come_and_go(rig: Installation, result: Result, teams: list[_Team], count: int, dice: random.Random) -> None:
    for _ in range(count):
        mine, other = dice.sample(teams, 2)
        known = dice.choice(sorted(mine.jobs))
        job_path = f"/api/v1/jobs/{known}"
        of_job = (job_path, f"{job_path}?wait=5", f"{job_path}/logs", f"{job_path}/stream")
        path = dice.choice(("/api/v1/jobs", "/api/v1/jobs?limit=1", *of_job))
        said = _ask(dice.choice(rig.apis()).port or 0, path, mine.key, patience=dice.choice((0, 0.002, 0.02, 0.1, 0.5)))
        # Whatever came of it, even in part, must be this team's.
        foreign = [job_id for job_id in other.jobs if job_id.encode() in said]
        if foreign or f'"of":"{other.name}"'.encode() in said:
            result.expect(False, f"{mine.name} was told of {foreign} at {path}")


def _ask(port: int, path: str, key: str, patience: float) -> bytes:
    """What the API said until the caller went away."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), 5) as connection:
        request = f"GET {path} HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer {key}\r\n\r\n"
        connection.sendall(request.encode())
        end = time.monotonic() + patience
        while (left := end - time.monotonic()) > 0:
            connection.settimeout(left)
            try:
                part = connection.recv(65536)
            except TimeoutError:
                break
            if not part:
                break
            said += part
    return said


def _nothing_is_left(rig: Installation, result: Result) -> None:
    """No transaction is open for long, and as many as ever are served at once."""
    wait_for(lambda: not _open_transactions(rig), 15, message="transactions are left open")
    answers: list[int] = []

    def ask(port: int) -> None:
        with rig.client() as client:
            answers.append(client.get(f"http://127.0.0.1:{port}/api/v1/jobs?limit=5").status_code)

    for part in rig.apis():
        threads = [threading.Thread(target=ask, args=(part.port,)) for _ in range(40)]  # more than the pool holds
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    result.expect(answers == [200] * 80, f"afterwards: {answers}")
    try:
        with rig.client() as client:
            client.get("/ready").raise_for_status()
    except httpx.HTTPError as error:
        result.expect(False, f"not ready afterwards: {error}")


def _open_transactions(rig: Installation) -> list[tuple]:
    return rig.rows("SELECT trx_id FROM information_schema.innodb_trx WHERE trx_started < NOW() - INTERVAL 2 SECOND")
