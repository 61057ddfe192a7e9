"""values.schema.json refuses what would not work and says where; README and values.yaml agree."""

import json
import re
from typing import Any

import helm_python as helm
import pytest
import yaml

from ansible_api.routing import Queue
from tests.contract.chart_schema import CHART, config_properties
from tests.contract.rendering import render

SCHEMA = json.loads((CHART / "values.schema.json").read_text())
VALUES = (CHART / "values.yaml").read_text()
README = (CHART / "README.md").read_text()


def _pool(**said: Any) -> dict[str, Any]:
    return {"workers": {"default": said}}


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (_pool(queues=["defualt"]), "/workers/default/queues/0"),
        (_pool(queues=[]), "/workers/default/queues"),
        (_pool(concurrency=-1), "/workers/default/concurrency"),
        (_pool(concurrency="4"), "/workers/default/concurrency"),
        (_pool(replicas=2, keda={"max": 3}), "/workers/default/replicas"),
        (_pool(keda={"min": 1}), "max"),
        (_pool(keda={"max": 3, "maxx": 4}), "maxx"),
        (_pool(mode="job"), "keda"),
        (_pool(mode="job", concurrency=2, keda={"max": 3}), "/workers/default/concurrency"),
        (_pool(mode="job", concurrency=1, keda={"min": 1, "max": 3}), "/workers/default/keda/min"),
        (_pool(grace=-1), "/workers/default/grace"),
        (_pool(config={"log_levle": "DEBUG"}), "log_levle"),
        ({"workers": {"delivery": {"keda": {"max": 3}}}}, "/workers/delivery/keda"),
        ({"workers": {"delivery": {"replicas": 0}}}, "/workers/delivery/replicas"),
        ({"workers": {"Default": {"queues": ["default"]}}}, "Default"),
        ({"replicaCount": 2}, "replicaCount"),
        ({"config": {"max_attempts": 0}}, "/config/max_attempts"),
        ({"config": {"isolation": "docker"}}, "/config/isolation"),
        ({"config": {"master_key": "1:secret"}}, "master_key"),
        ({"config": {"state_dir": "/data"}}, "state_dir"),
        ({"secrets": {"masterKey": {"name": ""}}}, "/secrets/masterKey/name"),
        ({"api": {"service": {"port": 0}}}, "/api/service/port"),
        ({"image": {"pullPolicy": "Sometimes"}}, "/image/pullPolicy"),
    ],
)
def test_a_wrong_value_is_refused_and_the_error_says_which(wrong: dict[str, Any], told: str) -> None:
    with pytest.raises(helm.HelmError, match=re.escape(told)):
        render(wrong)


def test_the_schema_knows_every_setting_and_no_other() -> None:
    told = "run `python -m tests.contract.chart_schema` after a change of settings.py"
    assert SCHEMA["definitions"]["config"]["properties"] == config_properties(), told


def test_the_schema_knows_every_queue_and_no_other() -> None:
    assert SCHEMA["definitions"]["queue"]["enum"] == list(Queue)


def test_the_default_values_have_one_pool_for_each_queue() -> None:
    pools = yaml.safe_load(VALUES)["workers"]
    assert {name: pool["queues"] for name, pool in pools.items()} == {queue.value: [queue.value] for queue in Queue}


def test_the_schema_has_every_value_of_values_yaml() -> None:
    assert set(_paths(yaml.safe_load(VALUES))) <= set(_schema_paths(SCHEMA))


def test_every_value_has_its_meaning_above_it_and_its_row_in_the_readme() -> None:
    rows = re.findall(r"^\| `([\w.]+)` \| (.+?) \| `(.*)` \|$", README, re.MULTILINE)
    assert [(path, meaning) for path, meaning, _ in rows] == _documented()


def test_the_readme_tells_the_defaults() -> None:
    values = yaml.safe_load(VALUES)
    for path, _, default in re.findall(r"^\| `([\w.]+)` \| (.+?) \| `(.*)` \|$", README, re.MULTILINE):
        if default != "…":
            assert yaml.safe_load(default) == _at(values, path), path


def _documented() -> list[tuple[str, str]]:
    """Dotted paths of the values with a comment above them, with the comment."""
    found, comment, parents = [], "", []
    for line in VALUES.splitlines():
        indent = len(line) - len(line.lstrip())
        parents = [parent for parent in parents if parent[0] < indent] if line.strip() else parents
        if line.lstrip().startswith("# "):
            comment = f"{comment} {line.strip()[2:]}".strip()
        elif match := re.match(r"\s*([\w-]+):", line):
            parents.append((indent, match[1]))
            if comment:
                found.append((".".join(name for _, name in parents), comment))
            comment = ""
        else:
            comment = ""
    return found


def _at(values: Any, path: str) -> Any:
    for name in path.split("."):
        values = values[name]
    return values


def _paths(values: Any, *before: str) -> list[str]:
    if not isinstance(values, dict) or before[:1] == ("workers",):
        return []
    return [".".join([*before, name]) for name in values if before[-1:] not in (("requests",), ("limits",))] + [
        path for name, value in values.items() if not _free(*before, name) for path in _paths(value, *before, name)
    ]


def _free(*path: str) -> bool:
    """Values that are passed to Kubernetes as they are."""
    return path[-1] in {"podSecurityContext", "securityContext", "stateVolume", "labels", "resources"}


def _schema_paths(schema: dict[str, Any], *before: str) -> list[str]:
    if "$ref" in schema:
        schema = SCHEMA["definitions"][schema["$ref"].rsplit("/", 1)[1]]
    properties = schema.get("properties", {})
    return [".".join([*before, name]) for name in properties] + [
        path for name, inner in properties.items() if inner is not False for path in _schema_paths(inner, *before, name)
    ]
