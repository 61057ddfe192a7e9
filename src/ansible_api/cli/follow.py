"""Following a job: events as they come, over as many connections as it takes, and at the end the job."""

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields

from ansible_api.cli.client import Client, Json, Unreachable
from ansible_api.cli.exits import CommandError
from ansible_api.cli.sse import Frame, frames
from ansible_api.events.types import Event

FIRST_PAUSE = 0.5
LONGEST_PAUSE = 10.0
PATIENCE = 120.0
_FIELDS = frozenset(field.name for field in fields(Event))


@dataclass
class Follower:
    """Follows one job; `on_gap` is told of each lost connection, `patience` is seconds without a sign of life."""

    client: Client
    job_id: str
    on_gap: Callable[[Unreachable], None] = lambda _: None
    patience: float = PATIENCE
    first_pause: float = FIRST_PAUSE
    _last_id: str | None = field(default=None, init=False)
    _heard: float = field(default_factory=time.monotonic, init=False)

    def __iter__(self) -> Iterator[Event | Json]:
        """Each event, then the job's JSON; raises Refused at once, Unreachable when patience has run out."""
        pause = self.first_pause
        while True:
            before = self._last_id
            gap = Unreachable("the stream ended before the job did")
            try:
                for frame in self._frames():
                    if frame.event in ("event", "end"):
                        yield _content(frame)
                    if frame.event == "end":
                        return
            except Unreachable as error:
                gap = error
            pause = self.first_pause if self._last_id != before else min(pause * 2, LONGEST_PAUSE)
            self._pause(gap, pause)

    def _frames(self) -> Iterator[Frame]:
        with self.client.stream(self.job_id, self._last_id) as lines:
            for frame in frames(self._listen(lines)):
                self._last_id = frame.id or self._last_id
                yield frame

    def _listen(self, lines: Iterator[str]) -> Iterator[str]:
        for line in lines:
            self._heard = time.monotonic()
            yield line

    def _pause(self, gap: Unreachable, seconds: float) -> None:
        if time.monotonic() - self._heard > self.patience:
            raise gap
        self.on_gap(gap)
        time.sleep(seconds)


def _content(frame: Frame) -> Event | Json:
    try:
        document: Json = json.loads(frame.data)
        if frame.event == "end":
            return {"id": document["id"], "status": document["status"], **document}
        # A newer API may say more than this client knows.
        return Event(**{name: value for name, value in document.items() if name in _FIELDS})
    except (ValueError, TypeError, KeyError, AttributeError):
        raise CommandError(f"the stream sent something that is no event: {frame.data[:80]!r}") from None
