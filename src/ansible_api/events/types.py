"""What a play reports while it runs: one Event per ansible-runner event."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened in a play.

    `seq` counts 1, 2, 3 … without gaps in an attempt; `time` is UTC, ISO 8601 with `Z`; `type` is the name
    ansible-runner gives, such as `runner_on_ok`; `stdout` is what Ansible printed for it, without the last newline.
    """

    seq: int
    time: str
    type: str
    stdout: str = ""
    play: str | None = None
    task: str | None = None
    host: str | None = None
    result: Mapping[str, Any] = field(default_factory=dict)

    def to_json(self) -> str:
        """One line of NDJSON, without the newline."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        return cls(**json.loads(line))
