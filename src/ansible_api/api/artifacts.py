"""What a play left for its caller: the data of set_stats, and files."""

from typing import Any
from urllib.parse import quote

from fastapi import APIRouter
from pydantic import BaseModel, Field
from sqlalchemy.orm import Session
from starlette.responses import Response

from ansible_api.api import PREFIX
from ansible_api.api.answers import answer
from ansible_api.api.deps import Service, Viewer
from ansible_api.api.files import StoredFile, WantedPart, file_answer
from ansible_api.api.openapi import problems
from ansible_api.errors import NotFound
from ansible_api.events import keys
from ansible_api.jobs import store
from ansible_api.jobs.model import Job

router = APIRouter(prefix=f"{PREFIX}/jobs", tags=["jobs"])


class ArtifactView(BaseModel):
    """A file that the play left in `$ANSIBLE_API_ARTIFACTS`."""

    name: str
    size: int
    sha256: str
    url: str


class LeftOutView(BaseModel):
    """A file that was not kept."""

    name: str
    reason: str


class ArtifactList(BaseModel):
    """All that a play left."""

    data: dict[str, Any] = Field(description="of set_stats")
    files: list[ArtifactView]
    left_out: list[LeftOutView]


@router.get("/{job_id}/artifacts", response_model=ArtifactList, responses=problems(401, 403, 404, 503))
async def list_artifacts(caller: Viewer, service: Service, job_id: str) -> Response:
    """What the play of the last attempt left; nothing before it has ended. Files that have expired are named, too."""
    job = await service.db.read(store.get_of_team, caller.team, job_id)
    found = job.artifacts or {"data": {}, "files": [], "left_out": []}
    files = [
        ArtifactView(**file, url=f"{PREFIX}/jobs/{job.id}/artifacts/{quote(file['name'])}") for file in found["files"]
    ]
    return answer(ArtifactList(data=found["data"], files=files, left_out=found["left_out"]))


@router.get(
    "/{job_id}/artifacts/{name:path}",
    response_class=Response,
    responses={
        200: {"content": {"application/octet-stream": {}}},
        206: {"description": "The part that `Range` asked for"},
        307: {"description": "The file lies at `Location`"},
        **problems(401, 403, 404, 410, 416, 503),
    },
)
async def get_artifact(
    caller: Viewer,
    service: Service,
    job_id: str,
    name: str,
    wanted: WantedPart,
) -> Response:
    """One file that the play left."""
    job = await service.db.read(_job_with_files, caller.team, job_id)
    for number, file in enumerate((job.artifacts or {}).get("files", ())):
        if file["name"] == name:
            key, filename = keys.artifact(job.id, job.attempt, number), name.rpartition("/")[2]
            stored = StoredFile(key, file["size"], file["sha256"], filename, "application/octet-stream")
            return await file_answer(service, stored, wanted)
    raise NotFound("the job has no such artifact")


def _job_with_files(session: Session, team: str, job_id: str) -> Job:
    store.with_log(session, team, job_id)
    return store.get_of_team(session, team, job_id)
