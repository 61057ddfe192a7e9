"""From pydantic's errors to JSON Pointers (RFC 6901) of real places in the request, without its values."""

from collections.abc import Iterable, Sequence
from typing import Any

from pydantic_core import ErrorDetails

from ansible_api.errors import FieldError

MOST_ERRORS = 50
TAGS = ("type", "kind")  # the discriminators of our unions
# A union tells of every branch; what it says of the value's type counts only when no branch got further.
WRONG_TYPE = frozenset({"string_type", "list_type", "dict_type", "model_type", "model_attributes_type"})
PLAIN_WORDS = {
    "missing": "required, but absent",
    "extra_forbidden": "unknown field: correct its name or leave it out",
    "union_tag_not_found": "required, but absent",
}


def pointer(parts: Iterable[str | int]) -> str:
    """The JSON Pointer of a path."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)


def field_errors(found: Sequence[ErrorDetails], document: Any) -> list[FieldError]:
    """One FieldError per place of the document, with all that is to be said about it."""
    placed = [(_pointer(error, document), error) for error in found]
    details: dict[str, list[str]] = {}
    for place, error in placed:
        if error["type"] in WRONG_TYPE and _said_better(place, placed):
            continue
        said = details.setdefault(place, [])
        if (words := _words(error)) not in said:
            said.append(words)
    return [FieldError(place, "; or: ".join(said)) for place, said in list(details.items())[:MOST_ERRORS]]


def parameter_errors(found: Sequence[ErrorDetails]) -> list[FieldError]:
    """The same for parameters, whose places FastAPI knows: `/query/limit`, `/header/idempotency-key`."""
    return [FieldError(pointer(error["loc"]), _words(error)) for error in found[:MOST_ERRORS]]


def _said_better(place: str, placed: Sequence[tuple[str, ErrorDetails]]) -> bool:
    return any(
        error["type"] not in WRONG_TYPE if other == place else other.startswith(place + "/") for other, error in placed
    )


def _pointer(error: ErrorDetails, document: Any) -> str:
    parts = list(_places(error["loc"], document, absent=error["type"] == "missing"))
    if error["type"].startswith("union_tag"):
        parts.append(error["ctx"]["discriminator"].strip("'"))
    return pointer(parts)


def _places(loc: Sequence[str | int], document: Any, *, absent: bool) -> Iterable[str | int]:
    """The parts of `loc` that exist in the document; pydantic adds the names of union branches."""
    here, tagged = document, False
    for index, part in enumerate(loc):
        if not tagged and isinstance(here, dict) and part in [here.get(tag) for tag in TAGS]:
            tagged = True
        elif isinstance(here, dict) and part in here:
            here, tagged = here[str(part)], False
            yield part
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here, tagged = here[part], False
            yield part
        elif absent and index == len(loc) - 1:
            yield part


def _words(error: ErrorDetails) -> str:
    match error["type"]:
        case "union_tag_invalid":
            return f"use one of {error['ctx']['expected_tags']}"
        case "string_pattern_mismatch":
            return f"must match {error['ctx']['pattern']}"
        case known if known in PLAIN_WORDS:
            return PLAIN_WORDS[known]
        case _:
            return error["msg"].removeprefix("Value error, ")
