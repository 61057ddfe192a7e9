"""The HTTP client of the command line: one method per call, every failure a CommandError with its exit code."""

import ipaddress
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Self

import httpx

from ansible_api.cli.exits import CommandError, Exit
from ansible_api.cli.text import clean_line

Json = dict[str, Any]
CONNECT_TIMEOUT = 10.0
ANSWER_TIMEOUT = 30.0
LONGEST_WAIT = 60  # the API's own default limit of ?wait=
# Twice the pause between the API's heartbeats and more: silence for so long is a dead connection.
STREAM_SILENCE = 60.0
RETRIED = frozenset({429, 502, 503, 504})


class Unreachable(CommandError):
    """No answer, or none for the moment; another attempt may succeed."""

    def __init__(self, message: str) -> None:
        super().__init__(message, Exit.UNREACHABLE)


class Refused(CommandError):
    """The API said no; `problem` is its application/problem+json document."""

    def __init__(self, status: int, problem: Json) -> None:
        super().__init__(explain(status, problem))
        self.status, self.problem = status, problem


class Client:
    """A connection to one API; close it, or use it in a with statement."""

    def __init__(self, url: str, key: str) -> None:
        # The environment's proxy is for other machines.
        self._http = httpx.Client(
            base_url=url.rstrip("/") + "/api/v1/",
            headers={"Authorization": f"Bearer {key}", "User-Agent": "ansible-api-client"},
            timeout=httpx.Timeout(ANSWER_TIMEOUT, connect=CONNECT_TIMEOUT),
            trust_env=not _is_loopback(httpx.URL(url).host),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, body: Json, idempotency_key: str, wait: int = 0) -> Json:
        """POST a job; safe to repeat, because the key makes one job of all attempts."""
        headers = {"Idempotency-Key": idempotency_key}
        return _patiently(lambda: self._call("POST", "jobs", wait=wait, json=body, headers=headers))

    def relaunch(self, job_id: str, wish: Json, idempotency_key: str, wait: int = 0) -> Json:
        """POST a relaunch; safe to repeat as `submit` is."""
        path, headers = f"jobs/{_segment(job_id)}/relaunch", {"Idempotency-Key": idempotency_key}
        return _patiently(lambda: self._call("POST", path, wait=wait, json=wish, headers=headers))

    def job(self, job_id: str, wait: int = 0) -> Json:
        """The job as it is now, or after at most `wait` seconds when it has not ended."""
        return _patiently(lambda: self._call("GET", f"jobs/{_segment(job_id)}", wait=wait))

    def jobs(self, query: Mapping[str, Any]) -> Json:
        """One page of jobs."""
        return self._call("GET", "jobs", params=query)

    def hosts(self, job_id: str) -> list[Json]:
        """The counts per host."""
        items: list[Json] = self._call("GET", f"jobs/{_segment(job_id)}/hosts").get("items", [])
        return items

    def queues(self) -> list[Json]:
        """All queues, with their workers."""
        items: list[Json] = self._call("GET", "queues")["items"]
        return items

    def queue(self, name: str, verb: str) -> Json:
        """Pause or resume a queue."""
        return self._call("POST", f"queues/{_segment(name)}/{verb}")

    def cancel(self, job_id: str) -> Json:
        """Ask for the end of a job."""
        return self._call("POST", f"jobs/{_segment(job_id)}/cancel")

    def wait_for_end(self, job: Json, until: float) -> Json:
        """The job once it has ended, or as it is at that time of the monotonic clock."""
        while job["finished_at"] is None and (left := until - time.monotonic()) > 0:
            asked = time.monotonic()
            job = self.job(job["id"], wait=max(1, min(LONGEST_WAIT, int(left))))
            if job["finished_at"] is None and time.monotonic() - asked < 1:
                time.sleep(min(1, left))  # an API that does not wait must not be asked without end
        return job

    @contextmanager
    def stream(self, job_id: str, last_id: str | None) -> Iterator[Iterator[str]]:
        """The lines of a job's event stream, from after that event."""
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if last_id is not None:
            headers["Last-Event-ID"] = last_id
        with self._open(f"jobs/{_segment(job_id)}/stream", headers=headers) as response:
            yield _lines(response)

    @contextmanager
    def log(self, job_id: str, form: str) -> Iterator[Iterator[bytes]]:
        """The chunks of a job's log; the key does not follow a redirect to another host."""
        with self._open(f"jobs/{_segment(job_id)}/logs", params={"format": form}, follow_redirects=True) as response:
            yield response.iter_bytes()

    @contextmanager
    def _open(self, path: str, follow_redirects: bool = False, **request: Any) -> Iterator[httpx.Response]:
        timeout = httpx.Timeout(STREAM_SILENCE, connect=CONNECT_TIMEOUT)
        with self._reached():
            message = self._http.build_request("GET", path, timeout=timeout, **request)
            response = self._http.send(message, stream=True, follow_redirects=follow_redirects)
            try:
                if response.status_code != httpx.codes.OK:
                    response.read()
                    raise _refusal(response)
                yield response
            finally:
                response.close()

    def _call(self, method: str, path: str, wait: int = 0, **request: Any) -> Json:
        if wait:
            request |= {"params": {"wait": wait}, "timeout": httpx.Timeout(wait + ANSWER_TIMEOUT)}
        with self._reached():
            response = self._http.request(method, path, **request)
        if not response.is_success:
            raise _refusal(response)
        return _document(response)

    @contextmanager
    def _reached(self) -> Iterator[None]:
        try:
            yield
        except httpx.TransportError as error:
            reason = clean_line(error) or type(error).__name__
            where = f"{self._http.base_url.scheme}://{self._http.base_url.netloc.decode()}"
            raise Unreachable(f"cannot reach {where}: {reason}; check --url or ANSIBLE_API_URL") from None


def explain(status: int, problem: Json) -> str:
    """A problem as lines: what it is, then `field: remedy` for each refused field."""
    title = clean_line(problem.get("detail") or problem.get("title") or "refused")
    code = clean_line(problem.get("code") or status)
    fields = [(_field(str(item.get("pointer", ""))), item.get("detail", "")) for item in problem.get("errors") or []]
    lines = [f"{title} ({code})", *(f"  {field}: {clean_line(remedy)}" for field, remedy in fields)]
    if request_id := problem.get("request_id"):
        lines.append(f"  request: {clean_line(request_id)}")
    return "\n".join(lines)


def _field(pointer: str) -> str:
    parts = [part.replace("~1", "/").replace("~0", "~") for part in pointer.split("/")[1:]]
    return clean_line(".".join(parts)) or "request"


def _refusal(response: httpx.Response) -> CommandError:
    try:
        problem = response.json()
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        problem = {"title": f"{response.request.url} answered {response.status_code} {response.reason_phrase}"}
    if response.status_code in RETRIED:
        return Unreachable(explain(response.status_code, problem))
    return Refused(response.status_code, problem)


def _document(response: httpx.Response) -> Json:
    try:
        document = response.json()
    except ValueError:
        document = None
    if not isinstance(document, dict):
        raise CommandError(f"{response.request.url} is not an ansible-api: its answer is no JSON object")
    return document


def _patiently(call: Callable[[], Json], pauses: tuple[float, ...] = (0.3, 1.0)) -> Json:
    for pause in pauses:
        try:
            return call()
        except Unreachable:
            time.sleep(pause)
    return call()


def _segment(job_id: str) -> str:
    if not job_id or not all(character.isalnum() or character in "-_" for character in job_id):
        raise CommandError(f"{json.dumps(job_id)} is not a job id; `ansible-api jobs` lists them")
    return job_id


def _lines(response: httpx.Response) -> Iterator[str]:
    # Not httpx's iter_lines: it also splits at U+2028 and the like, which JSON strings may hold.
    rest = b""
    for chunk in response.iter_bytes():
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode(errors="replace")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"
