"""All configuration: environment variables with the prefix ANSIBLE_API_, read once per process.

A secret may also come from a file: ANSIBLE_API_MASTER_KEY_FILE names one. Unknown names are refused,
so that a misspelt setting never passes for a default.
"""

import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    PositiveFloat,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from ansible_api.errors import StartupError

PREFIX = "ANSIBLE_API_"
CLIENT_NAMES = {"ANSIBLE_API_URL", "ANSIBLE_API_KEY"}  # read by the command-line client, not by the service
BROKERS = ("amqp", "amqps", "redis", "rediss", "redis+socket")  # schemes of their URLs, as Celery takes them
MIB = 1024 * 1024


class Isolation(StrEnum):
    """How a play is kept apart from its worker."""

    AUTO = "auto"
    BUBBLEWRAP = "bubblewrap"
    NONE = "none"


class HostKeyPolicy(StrEnum):
    """What an unknown SSH host key means: an error, or trust on first use."""

    STRICT = "strict"
    ACCEPT_NEW = "accept-new"


class RetryPolicy(BaseModel):
    """How often a queue's jobs are tried, and the pauses between; what is not said is as for all queues."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_attempts: int | None = Field(None, ge=1)
    base: float | None = Field(None, gt=0)
    cap: float | None = Field(None, gt=0)


class QueueLimits(BaseModel):
    """What jobs of a queue may take: none is not said."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    max_timeout: int | None = Field(None, ge=1, description="longest options.timeout, in seconds")
    max_running: int | None = Field(None, ge=1, description="jobs that run at once, of all workers")


class Settings(BaseSettings):
    """The service's configuration; times are seconds, sizes are bytes unless the name says otherwise."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="forbid", hide_input_in_errors=True)

    # Parts
    database_url: SecretStr = Field(description="mysql://user:password@host/name or sqlite:///path")
    redis_url: SecretStr = Field(
        description="redis://[:password@]host:port or unix:///path; live events, broker, chords"
    )
    broker_url: SecretStr | None = Field(
        None, description="another broker than redis_url: amqp://user:password@host:port/vhost of RabbitMQ, or a Redis"
    )
    master_key: SecretStr = Field(
        description="version:base64 of 32 bytes; several with commas, the highest version wraps"
    )
    objects_dir: Path | None = Field(None, description="directory of the object store, when it is not S3")
    s3_bucket: str | None = Field(None, description="bucket of the object store, when it is not a directory")
    s3_endpoint_url: str | None = Field(None, description="another S3 than Amazon's; callers follow links to it, too")
    s3_region: str = Field("us-east-1", description="region of the bucket")
    s3_access_key_id: str | None = Field(None, description="absent: what the environment of botocore gives")
    s3_secret_access_key: SecretStr | None = Field(None, description="goes with the access key id")
    state_dir: Path = Field(Path("/var/lib/ansible-api"), description="workspaces, git cache and spools of a worker")

    # API
    body_limit: int = Field(2 * MIB, ge=1024, description="largest request")
    extra_vars_limit: int = Field(1 * MIB, ge=1024, description="largest extra_vars, and role_vars, as JSON")
    wait_limit: int = Field(60, ge=0, description="longest ?wait= and Prefer: wait=")
    public_url: str | None = Field(None, description="address of the API as callers see it, for links in webhooks")
    broker_timeout: float = Field(1.0, gt=0, description="longest wait for the broker in a request")

    # What jobs may ask
    repo_schemes: frozenset[str] = Field(frozenset({"https", "ssh"}), description="URL schemes of repositories")
    allow_local_repos: bool = Field(False, description="let repo be a local path or file:// URL")
    private_egress: bool = Field(True, description="let callbacks and the like reach private address ranges")
    loopback_egress: bool = Field(False, description="let callbacks and the like reach this machine; for trials only")
    ssh_host_keys: HostKeyPolicy = Field(HostKeyPolicy.STRICT, description="strict, or accept-new: trust on first use")

    # Queues and attempts
    long_running_after: int = Field(3600, gt=0, description="a longer options.timeout goes to long-running")
    git_heavy_after: float = Field(10.0, gt=0, description="a repository that took longer to fetch goes to git-heavy")
    queue_limits: dict[str, QueueLimits] = Field(
        {}, description='of single queues: {"default": {"max_timeout": 1800, "max_running": 20}}'
    )
    max_attempts: int = Field(3, ge=1, description="attempts that may come to nothing, by loss or transient trouble")
    retry_base: float = Field(5.0, gt=0, description="first pause after transient trouble; doubles, with jitter")
    retry_cap: float = Field(300.0, gt=0, description="longest pause between attempts")
    retry_policies: dict[str, RetryPolicy] = Field(
        {}, description='of single queues: {"git-heavy": {"max_attempts": 5, "base": 10, "cap": 600}}'
    )
    priority_step: float = Field(
        600.0, ge=0, description="a job that has waited so long is as urgent as a new one of the next priority"
    )
    operator_team: str = Field("default", description="its admins may pause queues and drain workers")
    team_weights: dict[str, PositiveFloat] = Field(
        {}, description='shares of a queue that several teams want, 1 when not said: {"payments": 3}'
    )
    republish_after: float = Field(5.0, gt=0, description="a queued job unclaimed for so long is published again")
    lease_preparing: float = Field(60.0, gt=0, description="a silent worker loses a job that has not begun to play")
    lease_playing: float = Field(300.0, gt=0, description="a silent worker loses a job that plays: it is lost")
    lease_renewal: float = Field(10.0, gt=0, description="pause between renewals of a lease")
    upkeep_interval: float = Field(5.0, gt=0, description="pause between repairs, in every worker")

    # Running
    isolation: Isolation = Field(Isolation.AUTO, description="auto, bubblewrap or none: see security.md")
    default_timeout: int = Field(3600, gt=0, description="options.timeout when a job names none")
    source_timeout: float = Field(300.0, gt=0, description="longest git fetch")
    source_memory: int = Field(1024 * MIB, description="address space of one git fetch")
    source_size: int = Field(2048 * MIB, description="largest repository")
    cancel_grace: float = Field(5.0, ge=0, description="between SIGTERM and SIGKILL of a play")
    shutdown_grace: float = Field(30.0, ge=0, description="plays may go on for so long after SIGTERM to a worker")
    galaxy_server: str = Field("https://galaxy.ansible.com", description="Galaxy server of jobs that name none")
    galaxy_timeout: float = Field(600.0, gt=0, description="longest installation of collections and roles")
    galaxy_cache_size: int = Field(10 * 1024 * MIB, description="least recently used collections and roles go first")
    galaxy_cache_ttl: float = Field(3600.0, ge=0, description="ranges of versions are looked up again after so long")
    inventory_timeout: float = Field(120.0, gt=0, description="longest gathering of a job's inventories")
    inventory_size: int = Field(16 * MIB, description="largest inventory")
    vault_timeout: float = Field(10.0, gt=0, description="longest wait for HashiCorp Vault, for each secret")
    git_cache_size: int = Field(10 * 1024 * MIB, description="least recently used repositories go first")
    child_max_jobs: int = Field(200, ge=1, description="a worker child is replaced after so many jobs")
    child_max_memory: int = Field(512 * MIB, description="a larger worker child is replaced after its task")

    # Events, logs, webhooks
    hot_events: int = Field(4 * MIB, description="events kept in Redis per job; older ones move to the object store")
    hot_events_ttl: int = Field(3600, gt=0, description="events stay in Redis so long after they are stored")
    webhook_timeout: float = Field(15.0, gt=0, description="for the whole exchange")
    webhook_hold: float = Field(15.0, ge=0, description="longest wait of a webhook for its job's log")
    webhook_schedule: tuple[float, ...] = Field(
        (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400), description="pause before each attempt"
    )
    webhook_jitter: float = Field(0.2, ge=0, le=1, description="pauses grow at random by up to this share")
    presign_ttl: int = Field(300, gt=0, description="a link to a log in S3 is good for so long")
    artifact_files: int = Field(100, ge=0, description="most files that are kept of a play")
    artifact_size: int = Field(32 * MIB, description="largest file that is kept of a play")
    artifacts_size: int = Field(256 * MIB, description="of all files that are kept of a play")

    # How long what has ended is kept; days
    retain_logs_days: int = Field(30, ge=1, le=36500, description="logs and files of plays, when a job does not say")
    retain_jobs_days: int = Field(90, ge=1, le=36500, description="ended jobs, and as long as their logs at least")
    retain_keys_days: int = Field(2, ge=1, le=36500, description="Idempotency-Keys")

    worker_port: int | None = Field(
        None, ge=1, le=65535, description="a worker serves /metrics and /health there; absent: it serves nothing"
    )
    worker_address: str = Field("127.0.0.1", description="address on which it does so; 0.0.0.0 for all")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings

    def base_url(self, seen: str = "") -> str:
        """What links begin with; `seen`: the address that a request came to."""
        return (self.public_url or seen).rstrip("/")

    @field_validator("broker_url")
    @classmethod
    def _a_broker_we_know(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and urlsplit(url.get_secret_value()).scheme not in BROKERS:
            raise ValueError(f"begin with one of {', '.join(f'{scheme}://' for scheme in BROKERS)}")
        return url

    @model_validator(mode="after")
    def _one_object_store(self) -> Self:
        if (self.objects_dir is None) == (self.s3_bucket is None):
            raise ValueError(f"set exactly one of {PREFIX}OBJECTS_DIR and {PREFIX}S3_BUCKET")
        return self


def known_names() -> set[str]:
    """Every environment variable that the service reads."""
    names = {PREFIX + name.upper() for name in Settings.model_fields}
    return names | {PREFIX + name.upper() + "_FILE" for name in _secret_fields()} | CLIENT_NAMES


def load_settings() -> Settings:
    """Settings from the environment; StartupError names every wrong or unknown variable."""
    unknown = sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known_names())
    if unknown:
        raise StartupError(f"unknown settings: {', '.join(unknown)}; correct or remove them")
    try:
        return Settings(**_values_from_files(os.environ))
    except ValidationError as error:
        raise StartupError(f"settings: {_explain(error)}") from None


def _secret_fields() -> list[str]:
    return [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


def _values_from_files(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in _secret_fields():
        variable = PREFIX + name.upper()
        if path := environ.get(variable + "_FILE"):
            if variable in environ:
                raise StartupError(f"set {variable} or {variable}_FILE, not both")
            try:
                values[name] = Path(path).read_text().strip()
            except OSError as error:
                raise StartupError(f"{variable}_FILE: cannot read {path}: {error.strerror}") from None
    return values


def _explain(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        where = PREFIX + str(item["loc"][0]).upper() + ": " if item["loc"] else ""
        parts.append(where + item["msg"].removeprefix("Value error, "))
    return "; ".join(parts)
