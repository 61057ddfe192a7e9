"""What a play reports while it runs: one Event per ansible-runner event, kept as one line of NDJSON."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, Self

import orjson


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

    def to_line(self) -> bytes:
        """One line of NDJSON, without the newline; `seq` comes first."""
        try:
            return orjson.dumps(self)
        except TypeError:  # numbers of more than 64 bits, which JSON may have
            return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":")).encode()

    def to_json(self) -> str:
        return self.to_line().decode()

    @classmethod
    def from_json(cls, line: str | bytes) -> Self:
        return cls(**json.loads(line))

    def text_size(self) -> int:
        """Bytes that the event adds to the text log."""
        return len(self.stdout.encode()) + 1 if self.stdout else 0


class Place(NamedTuple):
    """The end of an event in the logs of its attempt: its `seq`, and the bytes of either log up to there."""

    seq: int = 0
    text: int = 0
    ndjson: int = 0

    def after(self, line: bytes, text_size: int) -> "Place":
        """The end of the next event, which is that line without its newline."""
        return Place(self.seq + 1, self.text + text_size, self.ndjson + len(line) + 1)


def text_of(line: bytes) -> bytes:
    """What an event's line adds to the text log."""
    stdout: str = orjson.loads(line)["stdout"]
    return stdout.encode() + b"\n" if stdout else b""
