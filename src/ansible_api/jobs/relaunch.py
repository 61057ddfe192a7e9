"""A job made of an earlier one: the same request, pinned to what it was run from, perhaps on fewer hosts."""

from collections.abc import Sequence
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from ansible_api.credentials.refs import Credentials, InlineCredential
from ansible_api.errors import Conflict, FieldError, InvalidRequest
from ansible_api.jobs.model import Job, JobHost
from ansible_api.jobs.spec import JobSpec
from ansible_api.jobs.state import Status
from ansible_api.jobs.text import HostName, Model

_HOST = TypeAdapter[str](HostName)


class Relaunch(Model):
    """How to repeat a job."""

    hosts: Literal["all", "failed"] = Field("all", description="failed: those that failed or could not be reached")
    commit: Literal["same", "latest"] = Field("same", description="latest: what `branch` names now")
    credentials: Credentials | None = Field(
        None, description="instead of the job's; needed where it came with secret values of its own"
    )


def relaunched(job: Job, hosts: Sequence[JobHost], wish: Relaunch) -> JobSpec:
    """The request for the new job.

    Conflict: the job has not ended, none of its hosts failed, or it cannot be asked for so.
    InvalidRequest: values that came with it are gone.
    """
    if not Status(job.status).terminal:
        raise Conflict(f"the job has not ended: it is {job.status}")
    document = {**job.spec, "options": {**job.spec["options"]}}
    if wish.commit == "same":
        document |= _pinned(job)
    if wish.hosts == "failed":
        document["options"]["limit"] = _failed(hosts)
    if wish.credentials is not None:
        document["credentials"] = wish.credentials.model_dump(mode="json", exclude_none=True)
    spec = _checked(document)
    if wish.credentials is not None:  # as it came: a document carries no secret values
        spec = spec.model_copy(update={"credentials": wish.credentials})
    _require_values(spec)
    return spec


def _checked(document: dict[str, Any]) -> JobSpec:
    try:
        return JobSpec.model_validate(document)
    except ValidationError as error:  # more failed hosts than a limit takes, or rules that are younger than the job
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = "/".join(map(str, first["loc"]))
        raise Conflict(f"the job cannot be repeated in this way, submit a new one: {where}: {first['msg']}") from None


def _pinned(job: Job) -> dict[str, Any]:
    """The git locations of a request with the commits that they were at."""
    commits = {**(job.inventory or {}).get("commits", {})}
    if job.commit is not None:
        commits["/source"] = job.commit
    inventory = job.spec["inventory"]
    pinned: dict[str, Any] = {"source": _at(job.spec["source"], commits.get("/source"))}
    if isinstance(inventory, list):
        pinned["inventory"] = [_at(one, commits.get(f"/inventory/{number}")) for number, one in enumerate(inventory)]
    else:
        pinned["inventory"] = _at(inventory, commits.get("/inventory"))
    return pinned


def _at(location: dict[str, Any], commit: str | None) -> dict[str, Any]:
    return location if commit is None else {**location, "branch": commit}


def _failed(hosts: Sequence[JobHost]) -> list[str]:
    """The hosts that failed or were unreachable, as far as a limit can name them."""
    names = [row.host for row in hosts if row.failed or row.unreachable]
    found = [name for name in names if _is_host(name)]
    if not found:
        raise Conflict("no host of the job failed or was unreachable: relaunch it with hosts: all")
    return found


def _is_host(name: str) -> bool:
    try:
        _HOST.validate_python(name)
    except ValidationError:  # a play can call a host what it likes
        return False
    return True


def _require_values(spec: JobSpec) -> None:
    gone = [place for place, ref in spec.credential_refs() if isinstance(ref, InlineCredential) and ref.value is None]
    if gone:
        wiped = "the secret values that came with the job were wiped at its end"
        replaced = all(place.startswith("/credentials/") for place in gone)
        detail = f"{wiped}: {'give credentials' if replaced else 'submit a new job'}"
        raise InvalidRequest(detail, errors=[FieldError(place, detail) for place in gone])
