"""Turns ansible-runner's event dicts, which come out of the play and are not to be trusted, into our Events."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from ansible_api.events.types import Event
from ansible_api.execution.mask import Mask

STDOUT_LIMIT = 1024 * 1024  # characters of one event
NAME_LIMIT = 1024
RESULT_LIMIT = 16 * 1024  # characters of JSON
STATS_LIMIT = 4 * 1024 * 1024  # some 10,000 hosts
STATS = ("ok", "changed", "failures", "dark", "skipped", "rescued", "ignored", "processed", "artifact_data")
# Ever smaller: longest string, most items of a list or an object.
EXCERPTS = ((4096, 200), (1024, 50), (256, 20), (64, 10))
DEEPEST = 12
_TYPE = re.compile(r"[a-z][a-z0-9_]{0,63}")


def to_event(seq: int, raw: Mapping[str, Any], mask: Mask) -> Event:
    """The event with secrets masked and everything in it bounded."""
    data = raw.get("event_data")
    data = data if isinstance(data, dict) else {}
    kind = raw.get("event")
    kind = kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else "verbose"
    return Event(
        seq=seq,
        time=_time(raw.get("created")),
        type=kind,
        stdout=_cut(mask.text(_text(raw.get("stdout")) or ""), STDOUT_LIMIT),
        play=_name(data.get("play"), mask),
        task=_name(data.get("task"), mask),
        host=_name(data.get("host"), mask),
        result=_result(kind, data, mask),
    )


def excerpt(document: Mapping[str, Any], limit: int) -> dict[str, Any]:
    """The document, or what is left of it within `limit` characters of JSON; what is missing is marked."""
    if len(_dump(document)) <= limit:
        return dict(document)
    for longest, most in EXCERPTS:
        shorter: dict[str, Any] = _shorten(document, longest, most, DEEPEST)
        if len(_dump(shorter)) <= limit:
            return shorter
    return {"truncated": True} | {key: document[key] for key in ("changed", "rc") if _plain(document.get(key))}


def _result(kind: str, data: dict[str, Any], mask: Mask) -> dict[str, Any]:
    if kind == "playbook_on_stats":
        stats = {key: data[key] for key in STATS if key in data}
        # Part of the numbers would be wrong numbers.
        return _masked(stats, mask, STATS_LIMIT) if len(_dump(stats)) <= STATS_LIMIT else {"truncated": True}
    result = data.get("res")
    if not isinstance(result, dict):
        return {}
    result = _without_invocation(result)
    if isinstance(result.get("results"), list):
        result["results"] = [_without_invocation(item) for item in result["results"]]
    if data.get("ignore_errors") is True:
        result["ignore_errors"] = True
    return _masked(result, mask, RESULT_LIMIT)


def _without_invocation(result: Any) -> Any:
    """Module arguments and Ansible's private marks do not concern callers, and arguments may hold secrets."""
    if not isinstance(result, dict):
        return result
    return {key: value for key, value in result.items() if key != "invocation" and not str(key).startswith("_ansible")}


def _masked(result: dict[str, Any], mask: Mask, limit: int) -> dict[str, Any]:
    text = _dump(result)
    if (clean := _text(text)) and clean != text:
        result, text = json.loads(clean), clean
    # Masked before it is cut: half a secret would no longer be found.
    return excerpt(mask.document(result) if mask.finds(text) else result, limit)


def _shorten(value: Any, longest: int, most: int, depth: int) -> Any:
    if isinstance(value, str):
        return _cut(value, longest)
    if isinstance(value, Mapping):
        if not depth:
            return {"truncated": True}
        kept = {_cut(key, longest): _shorten(value[key], longest, most, depth - 1) for key in list(value)[:most]}
        return kept | ({"truncated": True} if len(value) > most else {})
    if isinstance(value, list):
        if not depth:
            return ["… truncated"]
        kept_items = [_shorten(item, longest, most, depth - 1) for item in value[:most]]
        return kept_items + ([f"… {len(value) - most} more"] if len(value) > most else [])
    return value


def _plain(value: Any) -> bool:
    return isinstance(value, bool | int | float)


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else f"{text[:longest]}… {len(text) - longest} more characters"


def _name(value: Any, mask: Mask) -> str | None:
    text = _text(value)
    return None if text is None else _cut(mask.text(text), NAME_LIMIT)


def _text(value: Any) -> str | None:
    """The string without lone surrogates, which no UTF-8 text can carry."""
    return value.encode(errors="replace").decode() if isinstance(value, str) else None


def _time(created: Any) -> str:
    try:
        moment = datetime.fromisoformat(created).astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        moment = datetime.now(UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _dump(document: Any) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
