"""Server-sent events, as the WHATWG HTML standard (9.2.6) has them: lines in, frames out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Frame:
    """One dispatched event; `id` is the last one seen, also when this frame carried none."""

    event: str
    data: str
    id: str | None


def frames(lines: Iterable[str]) -> Iterator[Frame]:
    """Frames of a stream of lines without their ends; a frame that was cut off is dropped."""
    last_id: str | None = None
    event, data = "", list[str]()
    for line in lines:
        if not line:
            if data:
                yield Frame(event or "message", "\n".join(data), last_id)
            event, data = "", []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "event":
                event = value
            case "data":
                data.append(value)
            case "id" if "\0" not in value:
                last_id = value
            case _:
                pass  # comments (heartbeats), `retry` and unknown fields
