"""The Helm chart: Helm accepts it, and Kubernetes accepts what it makes of many values."""

import json
import re
from functools import cache
from pathlib import Path
from typing import Any

import helm_python as helm
import jsonschema
import kubernetes_validate
import pytest
import yaml

from ansible_api import __version__
from ansible_api.routing import JOB_QUEUES, Queue
from tests.contract.chart_schema import CHART
from tests.contract.rendering import BUCKET, MATRIX, Manifest, containers, merged, notes, of_kind, pods, render

OLDEST, NEWEST = "1.31", "1.37"
CRDS = Path(__file__).parent / "crds"


@pytest.fixture(params=MATRIX)
def values(request: pytest.FixtureRequest) -> dict[str, Any]:
    return MATRIX[request.param]


def test_lint_finds_nothing(values: dict[str, Any]) -> None:
    report = helm.lint(CHART, merged(BUCKET, values), strict=True)
    assert (report["messages"], report["errors"]) == ([], [])


@pytest.mark.parametrize("version", [OLDEST, NEWEST])
def test_the_oldest_and_the_newest_kubernetes_take_every_manifest(values: dict[str, Any], version: str) -> None:
    for manifest in render(values):
        _validate(json.dumps(_known_to_kubernetes(manifest)), version)


def test_the_definitions_of_custom_resources_allow_what_the_chart_makes(values: dict[str, Any]) -> None:
    for manifest in filter(_is_custom, render(values)):
        jsonschema.Draft202012Validator(_crd(manifest["kind"])).validate(manifest)


def test_the_matrix_has_each_kind_of_custom_resource() -> None:
    made = {one["kind"] for values in MATRIX.values() for one in render(values) if _is_custom(one)}
    assert made == {"ScaledObject", "ScaledJob", "TriggerAuthentication", "ServiceMonitor", "PrometheusRule"}


def test_the_oldest_kubernetes_is_the_one_that_the_chart_asks_for() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert chart["kubeVersion"] == f">={OLDEST}.0-0"
    assert max(kubernetes_validate.utils.all_versions(), key=_number) == f"{NEWEST}.0"


def test_the_charts_image_is_of_this_version() -> None:
    assert yaml.safe_load((CHART / "Chart.yaml").read_text())["appVersion"] == __version__


def test_names_are_unique_and_short_enough_for_what_is_made_of_them(values: dict[str, Any]) -> None:
    pool = {"workers": {"p" * 20: {"queues": ["default"]}}}
    names = [(one["kind"], one["metadata"]["name"]) for one in render(values, pool, name="r" * 53)]
    assert len(set(names)) == len(names)
    assert max(len(name) for _, name in names) <= 63


def test_everything_is_in_the_releases_namespace(values: dict[str, Any]) -> None:
    assert {one["metadata"]["namespace"] for one in render(values)} == {"ansible"}


def test_the_notes_tell_how_to_make_the_first_key() -> None:
    assert "deploy/ci-ansible-api-api -c api -- ansible-api keys create" in notes()


def test_the_notes_warn_of_a_queue_that_no_pool_serves() -> None:
    assert "WARNING" not in notes()
    for queue in Queue:
        warned = re.findall(r"no pool of this release serves the queue (\S+):", notes({"workers": {queue.value: None}}))
        assert warned == [queue]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"config": {"s3_bucket": None}}, "config.s3_bucket or objects.existingClaim"),
        ({"objects": {"existingClaim": "logs"}}, "set one of them, not both"),
        ({"ingress": {"enabled": True}}, "ingress.host"),
        ({"workerDefaults": {"mode": "job"}, "workers": {"delivery": {"mode": "deployment"}}}, r"workers.default.keda"),
        ({"workerDefaults": {"mode": "job"}, "workers": {"default": {"keda": {"max": 2}}}}, r"workers.delivery.mode"),
    ],
)
def test_what_does_not_go_together_is_refused_with_the_remedy(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(helm.HelmError, match=message):
        render(wrong)


def test_all_pools_may_be_of_mode_job_but_delivery() -> None:
    scaled = {queue.value: {"keda": {"max": 2}} for queue in JOB_QUEUES}
    pools = {"workerDefaults": {"mode": "job"}, "workers": scaled | {"delivery": {"mode": "deployment"}}}
    assert len(of_kind(render(pools), "ScaledJob")) == len(JOB_QUEUES)


def test_a_digest_says_which_image_instead_of_a_tag() -> None:
    digest = f"sha256:{'0' * 64}"
    images = {one["image"] for _, pod in pods(render({"image": {"digest": digest}})) for one in containers(pod)}
    assert images == {f"ansible-api@{digest}"}
    tagged = {one["image"] for _, pod in pods(render({"image": {"tag": "1.2.3"}})) for one in containers(pod)}
    assert tagged == {"ansible-api:1.2.3"}


def test_the_migration_runs_before_everything_and_needs_nothing_of_the_release() -> None:
    job = of_kind(render(MATRIX["placed"]), "Job")["ci-ansible-api-migrate"]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    pod = job["spec"]["template"]["spec"]
    assert pod["containers"][0]["args"] == ["db", "upgrade"]
    assert "serviceAccountName" not in pod
    assert "envFrom" not in pod["containers"][0]


def test_the_migration_can_be_left_to_the_operator() -> None:
    assert of_kind(render({"migrations": {"enabled": False}}), "Job") == {}


def _is_custom(manifest: Manifest) -> bool:
    return manifest["apiVersion"].split("/")[0] in ("keda.sh", "monitoring.coreos.com")


def _known_to_kubernetes(manifest: Manifest) -> Manifest:
    """A custom resource has no schema there, but the Job that KEDA makes of one has."""
    if manifest["kind"] == "ScaledJob":
        return {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "metadata": manifest["metadata"],
            "spec": manifest["spec"]["jobTargetRef"],
        }
    if _is_custom(manifest):
        return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": manifest["metadata"]}
    return manifest


@cache
def _validate(manifest: str, version: str) -> None:
    kubernetes_validate.validate(json.loads(manifest), version, strict=True)


def _crd(kind: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((CRDS / f"{kind.lower()}.json").read_text())
    return schema


def _number(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))
