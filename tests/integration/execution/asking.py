"""Asks for collections and roles as a job does, without its play."""

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import SecretStr
from tests.servers.galaxy import GalaxyServer

from ansible_api.credentials.secrets import Secrets, Token
from ansible_api.errors import JobError
from ansible_api.execution.dependencies import Dependencies, dependencies
from ansible_api.execution.mask import Mask
from ansible_api.execution.preparation import Assignment, ExecutionConfig, Preparation
from ansible_api.execution.sandbox import choose
from ansible_api.execution.workspace import workspace
from ansible_api.jobs.spec import JobSpec

TOKEN = "galaxy-tests-token"


class Job:
    """Asks for dependencies as a job does, and looks at them while they are lent."""

    def __init__(self, config: ExecutionConfig, galaxy: GalaxyServer, marker: str = "") -> None:
        self.config, self.galaxy = config, galaxy
        # Strays are found by the marker: no two test runs on this machine may share one.
        self.marker = marker or f"job-{uuid.uuid4().hex}.1"
        self.secrets = Secrets({"/source/galaxy_credential": Token(SecretStr(TOKEN))})
        self.secrets_dir = config.work_dir  # of the job, once it has begun
        self.files: dict[str, str] = {}
        self.keep_going: Callable[[], bool] = lambda: True

    def prepare(
        self, *collections: str, look: Callable[[Dependencies], object] = lambda _: None, **source: Any
    ) -> Dependencies:
        wanted = [dict(zip(("name", "version"), one.split(" ", 1), strict=False)) for one in collections]
        parts = {"type": "playbook", "repo": "https://git.example/r.git", "path": "site.yml", "collections": wanted}
        parts |= {"galaxy_server": self.galaxy.url} | source
        spec = JobSpec.model_validate({"source": parts, "inventory": {"type": "inline", "hosts": ["a"]}})
        with workspace(self.config.work_dir, self.marker) as room:
            self.secrets_dir = room.secrets
            room.project.mkdir()
            for name, text in self.files.items():
                (room.project / name).parent.mkdir(exist_ok=True)
                (room.project / name).write_text(text)
            assignment = Assignment("job-x", 1, spec, self.secrets)
            sandbox = choose(self.config.isolation)
            prepared = Preparation(assignment, self.config, room, sandbox, Mask([]), lambda: self.keep_going())
            with dependencies(prepared) as needed:
                look(needed)
                return needed

    def fails(self, *collections: str, **source: Any) -> JobError:
        with pytest.raises(JobError) as caught:
            self.prepare(*collections, **source)
        detail = caught.value.detail
        assert TOKEN not in detail
        assert str(self.config.work_dir) not in detail
        assert "Traceback" not in detail
        return caught.value


def installed(needed: Dependencies) -> dict[str, str]:
    assert needed.facts is not None
    return {one["name"]: one["version"] for one in needed.facts["collections"] + needed.facts["roles"]}
