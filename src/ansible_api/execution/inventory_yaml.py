"""Writes inventories as YAML that only one reading is possible of: what is text stays text, also between braces."""

import json
import math
import re
from collections.abc import Iterator, Mapping
from typing import Any

# A comment in front: Ansible's JSON reader would take the rest for JSON and give a meaning to some keys.
HEADER = "# written by ansible-api\n"
LONGEST_SIMPLE_KEY = 500  # of 1024 characters that YAML allows, escapes counted
_UNPRINTABLE = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff\ufeff\ufffe\uffff]")
TEMPLATE = re.compile(r"\{[{%#]")


class Unsafe(str):
    """Text that is never a template."""

    __slots__ = ()


class Vaulted(str):
    """Text encrypted by Ansible Vault."""

    __slots__ = ()


def to_yaml(document: Mapping[str, Any]) -> str:
    """A document of JSON's types, Unsafe and Vaulted; keys are text, and none is a template."""
    return HEADER + "".join(_pieces(document)) + "\n"


def _pieces(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        yield "{"
        for number, (key, item) in enumerate(value.items()):
            yield ", " if number else ""
            yield _key(str(key))
            yield from _pieces(item)
        yield "}"
    elif isinstance(value, list | tuple):
        yield "["
        for number, item in enumerate(value):
            yield ", " if number else ""
            yield from _pieces(item)
        yield "]"
    else:
        yield _scalar(value)


def _key(key: str) -> str:
    text = _scalar(Unsafe(key) if TEMPLATE.search(key) else key)
    return f"{text}: " if len(text) <= LONGEST_SIMPLE_KEY else f"? {text} : "


def _scalar(value: Any) -> str:
    if isinstance(value, Vaulted):
        return f"!vault {_quoted(value)}"
    if isinstance(value, Unsafe):
        return f"!unsafe {_quoted(value)}"
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, float):
        return _float(value)
    return json.dumps(value)  # null, true, false and whole numbers are the same in both languages


def _quoted(text: str) -> str:
    return _UNPRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(str(text), ensure_ascii=False))


def _float(number: float) -> str:
    if math.isnan(number):
        return ".nan"
    if math.isinf(number):
        return ".inf" if number > 0 else "-.inf"
    mantissa, _, exponent = repr(number).partition("e")
    if exponent:  # YAML 1.1 takes 1e+20 for text
        return f"{mantissa if '.' in mantissa else mantissa + '.0'}e{exponent}"
    return mantissa
