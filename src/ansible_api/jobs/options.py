"""How to run."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from ansible_api.credentials.text import VariableName, WebUrl
from ansible_api.jobs.text import HostName, HostPattern, Model, Tag
from ansible_api.routing import DEFAULT_PRIORITY, HIGHEST_PRIORITY, JOB_QUEUES, Queue

LabelName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*(/[A-Za-z0-9_-][A-Za-z0-9_.-]*)?$", max_length=63)
]
LabelValue = Annotated[str, StringConstraints(pattern=r"^[\x20-\x7e]{0,255}$")]
GroupName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_./:@-]*$", max_length=128)]
TaskTitle = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f\x7f-][^\x00-\x1f\x7f]*$", max_length=255)]
VariableValue = Annotated[str, StringConstraints(pattern=r"^[^\x00]*$", max_length=32_768)]


class Concurrency(Model):
    """Of the team's jobs that name one group no more than `limit` run at once, whatever their queues."""

    group: GroupName
    limit: int = Field(1, ge=1, le=1000)
    on_conflict: Literal["queue", "reject", "cancel_running", "replace_queued"] = Field(
        "queue",
        description="when the group is full: wait; be refused with 409; cancel its running jobs that have run longest,"
        " to make room; cancel its jobs that wait, to take their place",
    )


class Options(Model):
    """How to run."""

    timeout: int | None = Field(None, ge=1, le=7 * 86400, description="seconds from the start of the play")
    idle_timeout: int | None = Field(None, ge=1, le=7 * 86400, description="seconds that the play may print nothing")
    callback_url: WebUrl | None = None
    tags: list[Tag] = Field(default_factory=list, max_length=100)
    skip_tags: list[Tag] = Field(default_factory=list, max_length=100)
    limit: HostPattern | Annotated[list[HostName], Field(min_length=1, max_length=10_000)] | None = Field(
        None, description="a host pattern as ansible-playbook takes it, or a list of hosts"
    )
    start_at_task: TaskTitle | None = None
    verbosity: int = Field(0, ge=0, le=5)
    check_mode: bool = False
    diff_mode: bool = False
    diff: bool | None = Field(None, description="the same as diff_mode")
    become: bool | None = Field(None, description="become root on managed hosts where the play does not say otherwise")
    gather_facts: bool | None = Field(None, description="of the play around a role; a playbook says it itself")
    forks: int = Field(5, ge=1, le=200)
    strategy: Literal["linear", "free", "host_pinned"] | None = Field(
        None, description="for plays that name none themselves"
    )
    env: dict[VariableName, VariableValue] = Field(
        default_factory=dict, max_length=100, description="environment of the play; nothing secret"
    )
    max_hosts: int | None = Field(None, ge=1, description="do not begin when more hosts would be played on")
    queue: Queue | None = Field(None, strict=False)
    priority: int = Field(DEFAULT_PRIORITY, ge=0, le=HIGHEST_PRIORITY, description="9 is most urgent")
    concurrency: Concurrency | None = None
    labels: dict[LabelName, LabelValue] = Field(default_factory=dict, max_length=20)
    on_worker_loss: Literal["lost", "rerun"] = Field(
        "lost", description="what becomes of a job whose worker vanished while it played; rerun plays it again"
    )
    retain_days: int | None = Field(None, ge=1, le=3650, description="keep the log and the files so long")
    dry_run: Literal["plan"] | None = Field(
        None, description="prepare everything, say what would run on which hosts, and touch none"
    )

    @property
    def shows_diff(self) -> bool:
        return self.diff_mode or bool(self.diff)

    @field_validator("queue")
    @classmethod
    def _runs_jobs(cls, queue: Queue | None) -> Queue | None:
        if queue is not None and queue not in JOB_QUEUES:
            raise ValueError(f"use one of {', '.join(JOB_QUEUES)}")
        return queue

    @model_validator(mode="after")
    def _agrees_on_diff(self) -> Self:
        if self.diff is False and self.diff_mode:
            raise ValueError("diff and diff_mode say different things: give one of them")
        return self
