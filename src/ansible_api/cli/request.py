"""The body of a submission: a file, flags, or flags over a file."""

import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ansible_api.cli.exits import CommandError

Json = dict[str, Any]


class _PlainLoader(yaml.SafeLoader):
    """YAML whose every value JSON can say: a date stays the text that it is."""


_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


@dataclass(frozen=True)
class Flags:
    """What the options of `submit` say; None and empty mean not said. Keys are the fields of the request."""

    source: Mapping[str, Any]
    hosts: Sequence[str]
    groups: Sequence[str]
    credentials: Mapping[str, Any]
    extra_vars: Sequence[str]
    options: Mapping[str, Any]


def build(base: Json, flags: Flags) -> Json:
    """The request: what the flags say wins over the file, field by field; named hosts replace its inventory."""
    body = dict(base)
    if source := _said(flags.source):
        body["source"] = {"type": "playbook", **_part(base, "source"), **source}
    if flags.hosts or flags.groups:
        body["inventory"] = inline_inventory(flags.hosts, flags.groups)
    for name in ("credentials", "options"):
        if said := _said(getattr(flags, name)):
            body[name] = _part(base, name) | said
    if flags.extra_vars:
        body["extra_vars"] = _part(base, "extra_vars") | extra_vars(flags.extra_vars)
    _require(body)
    return body


def inline_inventory(hosts: Sequence[str], groups: Sequence[str]) -> Json:
    """An inventory of `--host NAME` and `--group NAME=HOST,HOST`."""
    inventory: Json = {"type": "inline"}
    if hosts:
        inventory["hosts"] = list(hosts)
    for text in groups:
        name, separator, members = text.partition("=")
        if not separator or not name or not members:
            raise CommandError(f"--group {text}: give NAME=HOST,HOST")
        inventory.setdefault("groups", {})[name] = members.split(",")
    return inventory


def extra_vars(texts: Sequence[str]) -> Json:
    """Variables as `ansible-playbook -e` takes them: KEY=VALUE (text), a JSON object, or @FILE."""
    variables: Json = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if text.startswith("@"):
            variables |= read_mapping(text[1:], "--extra-var")
        elif text.lstrip().startswith("{"):
            variables |= _mapping(text, "--extra-var")
        elif separator and name.isidentifier():
            variables[name] = value
        else:
            raise CommandError(f"--extra-var {text}: give NAME=VALUE, a JSON object, or @FILE")
    return variables


def read_mapping(path: str, option: str) -> Json:
    """The JSON or YAML mapping in a file; `-` is standard input."""
    try:
        text = sys.stdin.read() if path == "-" else Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise CommandError(f"{option} {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandError(f"{option} {path}: not UTF-8 text") from None
    return _mapping(text, f"{option} {path}")


def split(texts: Sequence[str]) -> list[str] | None:
    """Values of an option that is repeated, takes commas, or both; None when it was not given."""
    return [part for text in texts for part in text.split(",") if part] or None


def labels(texts: Sequence[str]) -> dict[str, str] | None:
    """Labels of NAME=VALUE; None when there are none."""
    pairs = [text.partition("=") for text in texts]
    if wrong := [text for text, (name, separator, _) in zip(texts, pairs, strict=True) if not name or not separator]:
        raise CommandError(f"--label {wrong[0]}: give NAME=VALUE")
    return {name: value for name, _, value in pairs} or None


def _mapping(text: str, where: str) -> Json:
    try:
        document = json.loads(text)
    except ValueError:
        try:
            document = yaml.load(text, Loader=_PlainLoader)  # noqa: S506 - a SafeLoader without dates
        except yaml.YAMLError as error:
            mark = getattr(error, "problem_mark", None)
            line = f", line {mark.line + 1}" if mark else ""
            raise CommandError(f"{where}: neither JSON nor YAML{line}") from None
    if not isinstance(document, dict):
        raise CommandError(f"{where}: give a mapping of names to values")
    return document


def _said(values: Mapping[str, Any]) -> Json:
    return {name: value for name, value in values.items() if value is not None}


def _part(base: Json, name: str) -> Json:
    part = base.get(name) or {}
    if not isinstance(part, dict):
        raise CommandError(f"--file: {name} must be a mapping")
    return part


def _require(body: Json) -> None:
    for name, remedy in (("source", "--repo and --path"), ("inventory", "--host")):
        if not body.get(name):
            raise CommandError(f"nothing says the {name}: give {remedy}, or --file with the whole request")
