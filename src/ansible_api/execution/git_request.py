"""What the worker asks of the git subprocess, and what it hears back: one JSON line each way."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Self

BLOCK = 4096  # what the smallest entry of a tree costs on disk: bounds trees that unfold to endless small files
MOST_SUBMODULES = 50  # of one job, those of submodules included


class Refused(Exception):
    """The repository cannot be had; becomes the JobError of the same code in the worker."""

    def __init__(self, code: str, detail: str, *, transient: bool = False) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.transient = transient


def too_large(limit: int) -> Refused:
    """The answer to a repository beyond the size that the service takes."""
    detail = f"The repository is larger than {limit // 2**20} MiB: make it smaller, or raise the service's limit."
    return Refused("source_too_large", detail)


@dataclass(frozen=True, slots=True)
class Request:
    """`resolve` asks which commit `ref` is now; `fetch` gets `want` into `mirror` and writes its files to `tree`."""

    command: Literal["resolve", "fetch"]
    repo: str
    ref: str | None
    timeout: float
    connect_timeout: float
    memory: int
    size: int
    username: str | None = None
    token: str | None = None
    addresses: Sequence[str] = ()  # of the server, checked: no other is connected to
    ssh_options: Sequence[str] = ()
    want: str = ""
    commit: str = ""
    mirror: str = ""
    tree: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)  # all of it; HOME is where the subprocess is

    def __repr__(self) -> str:
        return f"Request({self.command} {self.repo} {self.ref})"

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        values: dict[str, Any] = json.loads(text)
        return cls(**{**values, **{name: tuple(values[name]) for name in ("addresses", "ssh_options")}})


@dataclass(frozen=True, slots=True)
class Answer:
    """What the subprocess found out; `error` is empty when it did what it was asked."""

    commit: str = ""
    want: str = ""
    fetched: bool = False
    files: int = 0
    size: int = 0
    submodules: Sequence[Sequence[str]] = ()  # path, url and commit of each
    error: str = ""
    detail: str = ""
    transient: bool = False
    damaged: bool = False  # reading the mirror itself failed: a fresh one may help

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, text: bytes) -> Self:
        values: dict[str, Any] = json.loads(text)
        return cls(**values)
