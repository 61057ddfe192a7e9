"""Every pod of the chart: what it may do, what it may write, which settings it gets, and how it ends."""

import re
from typing import Any

import pytest

from ansible_api.routing import Queue
from ansible_api.settings import Settings, known_names
from ansible_api.tasks.end import REPORTING
from tests.contract.rendering import MATRIX, Manifest, containers, of_kind, pods, render, variables, worker

WRITABLE = {"/tmp", "/home/ansible-api", "/var/lib/ansible-api"}
CANCEL_GRACE: float = Settings.model_fields["cancel_grace"].default
KNOWN = known_names() | {"ANSIBLE_API_WORKER_ADDRESS", "ANSIBLE_API_WORKER_PORT"}


@pytest.fixture(params=MATRIX)
def manifests(request: pytest.FixtureRequest) -> list[Manifest]:
    return render(MATRIX[request.param])


def test_no_pod_may_more_than_it_must(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests):
        spec = pod["spec"]
        assert spec["securityContext"]["runAsNonRoot"] is True, name
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert spec["automountServiceAccountToken"] is False, name
        for container in containers(pod):
            rights = container["securityContext"]
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert rights["readOnlyRootFilesystem"] is True, name
            assert rights["allowPrivilegeEscalation"] is False, name
            assert container["resources"]["limits"]["memory"], name


def test_a_service_of_the_chart_puts_no_setting_into_any_pod(manifests: list[Manifest]) -> None:
    """Kubernetes would add ANSIBLE_API_PORT for a Service named ansible-api, and unknown settings are refused."""
    assert all(pod["spec"]["enableServiceLinks"] is False for _, pod in pods(manifests))


def test_every_program_finds_its_writable_places_on_a_read_only_root(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests):
        if pod["spec"].get("volumes"):
            for container in containers(pod):
                assert {mount["mountPath"] for mount in container["volumeMounts"]} >= WRITABLE, name
                assert variables(container)["HOME"] == "/home/ansible-api", name


def test_no_pod_fills_the_disk_of_its_node(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests):
        scratch = [volume["emptyDir"] for volume in pod["spec"].get("volumes", ()) if "emptyDir" in volume]
        assert all(one["sizeLimit"] for one in scratch), name
    (tmp,) = [volume for volume in _volumes(render({"scratchSize": "1Gi"})) if volume["name"] == "tmp"]
    assert tmp["emptyDir"] == {"sizeLimit": "1Gi"}


def test_whatever_runs_the_service_gets_the_extra_environment_and_volumes() -> None:
    for name, pod in pods(render(MATRIX["placed"], {"flower": {"enabled": True}})):
        for container in containers(pod) if pod["spec"].get("volumes") else []:
            assert variables(container)["SSL_CERT_FILE"] == "/etc/authorities/ca.crt", name
            assert "/etc/authorities" in {mount["mountPath"] for mount in container["volumeMounts"]}, name
            assert "authorities" in {volume["name"] for volume in pod["spec"]["volumes"]}, name


def test_every_setting_of_every_pod_is_known(manifests: list[Manifest]) -> None:
    shared = of_kind(manifests, "ConfigMap")["ci-ansible-api"]["data"]
    said = {name for _, pod in pods(manifests) for container in containers(pod) for name in variables(container)}
    assert {name for name in said | set(shared) if name.startswith("ANSIBLE_API_")} <= KNOWN


def test_secrets_are_files_and_nowhere_else(manifests: list[Manifest]) -> None:
    assert of_kind(manifests, "Secret") == {}
    for name, pod in pods(manifests):
        for container in containers(pod):
            assert "secretKeyRef" not in str(container), name
            files = {value for key, value in variables(container).items() if key.endswith("_FILE") and "API" in key}
            assert files <= _secret_files(pod), name


def test_the_secrets_that_are_needed_are_there_and_optional_ones_when_named() -> None:
    _, pod = next(pods(render()))
    least = {"master_key", "database_url", "redis_url"}
    assert _secret_files(pod) == {f"/run/secrets/ansible-api/{name}" for name in least}
    _, pod = next(pods(render(MATRIX["bare"])))
    assert {"broker_url", "s3_secret_access_key"} < {path.rsplit("/", 1)[1] for path in _secret_files(pod)}


def test_api_and_workers_wait_for_the_schema(manifests: list[Manifest]) -> None:
    for name, pod in pods(manifests):
        if pod["metadata"]["labels"]["app.kubernetes.io/component"] in ("api", "worker"):
            (first,) = pod["spec"]["initContainers"]
            assert first["args"][:2] == ["db", "wait"], name


@pytest.mark.parametrize("flower", [False, True])
def test_pods_are_renewed_when_the_configuration_changes_and_only_then(flower: bool) -> None:
    watched = {"flower": {"enabled": flower}}
    before, same = _checksums(render(watched)), _checksums(render(watched, {"api": {"replicas": 5}}))
    after = _checksums(render(watched, {"config": {"log_level": "DEBUG"}}))
    assert before == same
    assert len(before) == 6 + flower
    assert all(before[name] != after[name] for name in before)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (10737418240, "10737418240"),
        (2.5, "2.5"),
        (True, "true"),
        (["https", "ssh"], '["https","ssh"]'),
        ({"git-heavy": {"max_attempts": 5}}, '{"git-heavy":{"max_attempts":5}}'),
    ],
)
def test_settings_become_the_texts_that_the_service_reads(value: Any, text: str) -> None:
    name = {
        int: "source_size",
        float: "retry_base",
        bool: "private_egress",
        list: "repo_schemes",
        dict: "retry_policies",
    }
    setting = name[type(value)]
    shared = of_kind(render({"config": {setting: value}}), "ConfigMap")["ci-ansible-api"]["data"]
    assert shared[f"ANSIBLE_API_{setting.upper()}"] == text


def test_links_in_webhooks_begin_with_the_name_of_the_ingress_unless_another_is_said() -> None:
    open_, other = MATRIX["open"], {"config": {"public_url": "https://other.example.com"}}
    assert _public_url(render(open_)) == "https://ansible.example.com"
    assert _public_url(render(open_, other)) == "https://other.example.com"


def test_nobody_reaches_metrics_or_probes_through_the_ingress() -> None:
    (ingress,) = of_kind(render(MATRIX["open"]), "Ingress").values()
    paths = [path["path"] for path in ingress["spec"]["rules"][0]["http"]["paths"]]
    assert not any("/metrics".startswith(path) or "/ready".startswith(path) for path in paths)


def test_flower_is_reached_by_port_forwarding_only() -> None:
    manifests = render(MATRIX["watched"])
    flower = of_kind(manifests, "Deployment")["ci-ansible-api-flower"]["spec"]["template"]
    assert "127.0.0.1" in flower["spec"]["containers"][0]["args"]
    assert not [one for one in of_kind(manifests, "Service") if "flower" in one]
    (policy,) = [one for name, one in of_kind(manifests, "NetworkPolicy").items() if name.endswith("-nobody")]
    assert policy["spec"]["ingress"] == []
    assert "flower" in policy["spec"]["podSelector"]["matchExpressions"][0]["values"]


def test_a_worker_gets_as_long_to_end_as_its_drain_its_grace_and_the_kill_take(manifests: list[Manifest]) -> None:
    for name, pod in _workers(manifests):
        container = worker(pod)
        hook = container.get("lifecycle", {}).get("preStop", {}).get("exec", {}).get("command", ["0"])
        needed = int(hook[-1]) + int(variables(container)["ANSIBLE_API_SHUTDOWN_GRACE"]) + CANCEL_GRACE + REPORTING
        assert pod["spec"]["terminationGracePeriodSeconds"] > needed, name


@pytest.mark.parametrize(
    "more", [{"config": {"cancel_grace": 60}}, {"workerDefaults": {"config": {"cancel_grace": 60}}}]
)
def test_a_longer_pause_before_the_kill_is_a_longer_end(more: dict[str, Any]) -> None:
    ends = [
        [pod["spec"]["terminationGracePeriodSeconds"] for _, pod in _workers(manifests)]
        for manifests in (render(), render(more))
    ]
    assert [after - before for before, after in zip(*ends, strict=True)] == [60 - CANCEL_GRACE] * len(Queue)


def test_long_running_workers_drain_first_and_no_autoscaler_of_nodes_cuts_them_off() -> None:
    pod = dict(_workers(render()))["ci-ansible-api-worker-long-running"]
    hook = worker(pod)["lifecycle"]["preStop"]["exec"]["command"]
    assert hook == ["ansible-api", "worker", "drain", "--timeout", "14400"]
    assert pod["metadata"]["annotations"]["cluster-autoscaler.kubernetes.io/safe-to-evict"] == "false"


def test_a_pools_own_settings_come_before_those_of_all() -> None:
    pool = {"config": {"isolation": "auto"}, "workers": {"default": {"config": {"isolation": "none"}}}}
    workers = dict(_workers(render(pool)))
    assert variables(worker(workers["ci-ansible-api-worker-default"]))["ANSIBLE_API_ISOLATION"] == "none"
    assert "ANSIBLE_API_ISOLATION" not in variables(worker(workers["ci-ansible-api-worker-git-heavy"]))


def test_probes_ask_the_process_and_not_what_all_copies_share(manifests: list[Manifest]) -> None:
    probed = re.findall(r"'path': '([^']*)', 'port'", str([pod for _, pod in pods(manifests)]))
    assert set(probed) == {"/health"}


def _workers(manifests: list[Manifest]) -> list[tuple[str, Manifest]]:
    return [(name, pod) for name, pod in pods(manifests) if "ansible-api/pool" in pod["metadata"]["labels"]]


def _volumes(manifests: list[Manifest]) -> list[Manifest]:
    """Of the default pool."""
    volumes: list[Manifest] = dict(_workers(manifests))["ci-ansible-api-worker-default"]["spec"]["volumes"]
    return volumes


def _secret_files(pod: Manifest) -> set[str]:
    projected = [volume["projected"] for volume in pod["spec"].get("volumes", ()) if "projected" in volume]
    sources = [source["secret"] for volume in projected for source in volume["sources"]]
    return {f"/run/secrets/ansible-api/{item['path']}" for source in sources for item in source["items"]}


def _checksums(manifests: list[Manifest]) -> dict[str, str]:
    notes = {name: pod["metadata"].get("annotations", {}) for name, pod in pods(manifests)}
    return {name: found["checksum/config"] for name, found in notes.items() if "checksum/config" in found}


def _public_url(manifests: list[Manifest]) -> str:
    url: str = of_kind(manifests, "ConfigMap")["ci-ansible-api"]["data"]["ANSIBLE_API_PUBLIC_URL"]
    return url


# Who may connect

INGRESS = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}
PROMETHEUS = {"podSelector": {"matchLabels": {"app": "prometheus"}}}
ANY_POD = {"namespaceSelector": {}}


@pytest.mark.parametrize("metrics_from", [[], [PROMETHEUS]])
def test_the_api_is_reached_by_those_that_are_named_and_by_its_own_test(metrics_from: list[Manifest]) -> None:
    manifests = render({"networkPolicy": {"apiFrom": [INGRESS], "metricsFrom": metrics_from}})
    own_test = {"podSelector": {"matchLabels": _selecting(of_kind(manifests, "Pod")["ci-ansible-api-test"])}}
    assert _peers(manifests, "ci-ansible-api-api") == [INGRESS, *metrics_from, own_test]


def test_everybody_reaches_the_api_unless_somebody_is_named() -> None:
    assert _peers(render({"networkPolicy": {"metricsFrom": [PROMETHEUS]}}), "ci-ansible-api-api") is None


def test_metrics_of_workers_are_for_the_cluster_unless_somebody_is_named() -> None:
    assert _peers(render(), "ci-ansible-api-worker") == [ANY_POD]
    named = render({"networkPolicy": {"apiFrom": [INGRESS], "metricsFrom": [PROMETHEUS]}})
    assert _peers(named, "ci-ansible-api-worker") == [PROMETHEUS]


def _peers(manifests: list[Manifest], policy: str) -> list[Manifest] | None:
    (rule,) = of_kind(manifests, "NetworkPolicy")[policy]["spec"]["ingress"]
    peers: list[Manifest] | None = rule.get("from")
    return peers


def _selecting(pod: Manifest) -> dict[str, str]:
    labels: dict[str, str] = pod["metadata"]["labels"]
    return {name: labels[name] for name in (f"app.kubernetes.io/{part}" for part in ("name", "instance", "component"))}
