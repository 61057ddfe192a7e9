"""The chart rendered by Helm itself, and the questions that its tests ask of the result."""

import json
from collections.abc import Iterator
from functools import cache
from typing import Any

import helm_python as helm
import yaml

from tests.contract.chart_schema import CHART

Manifest = dict[str, Any]
BUCKET: dict[str, Any] = {"config": {"s3_bucket": "logs"}}  # the least that must be said
# Each adds something to the least; together they reach every branch of the templates.
MATRIX: dict[str, dict[str, Any]] = {
    "least": {},
    "shared-directory": {"config": {"s3_bucket": None}, "objects": {"existingClaim": "logs"}},
    "watched": {
        "metrics": {
            "serviceMonitor": {"enabled": True, "labels": {"release": "prometheus"}},
            "prometheusRule": {"enabled": True, "labels": {"release": "prometheus"}},
            "dashboards": {"enabled": True, "annotations": {"folder": "CI"}},
        },
        "flower": {"enabled": True},
    },
    "scaled": {
        "api": {"autoscaling": {"enabled": True}},
        "workers": {
            "default": {"keda": {"min": 1, "max": 20, "pollingInterval": 10, "cooldownPeriod": 600}},
            "git-heavy": {"keda": {"max": 5}},
            "long-running": {"mode": "job", "keda": {"max": 50}, "drain": 86400},
        },
    },
    "open": {
        "ingress": {
            "enabled": True,
            "className": "nginx",
            "host": "ansible.example.com",
            "tlsSecret": "tls",
            "annotations": {"a/b": "c"},
        },
        "api": {"service": {"type": "LoadBalancer", "port": 8080, "annotations": {"a/b": "c"}}},
        "networkPolicy": {
            "apiFrom": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "ingress"}}}],
            "metricsFrom": [{"podSelector": {"matchLabels": {"app": "prometheus"}}}],
            "egress": [{"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["169.254.169.254/32"]}}]}],
        },
    },
    "placed": {
        "image": {"tag": "1.2.3", "pullSecrets": ["registry"]},
        "api": {"podAnnotations": {"a/b": "c"}, "affinity": {"podAntiAffinity": {}}},
        "workerDefaults": {
            "nodeSelector": {"pool": "ansible"},
            "tolerations": [{"key": "ansible", "operator": "Exists"}],
            "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
            ],
            "priorityClassName": "batch",
            "runtimeClassName": "gvisor",
            "podAnnotations": {"a/b": "c"},
            "stateVolume": {
                "ephemeral": {
                    "volumeClaimTemplate": {
                        "spec": {
                            "accessModes": ["ReadWriteOnce"],
                            "resources": {"requests": {"storage": "40Gi"}},
                        }
                    }
                }
            },
        },
        "extraEnv": [{"name": "SSL_CERT_FILE", "value": "/etc/authorities/ca.crt"}],
        "extraVolumes": [{"name": "authorities", "configMap": {"name": "authorities"}}],
        "extraVolumeMounts": [{"name": "authorities", "mountPath": "/etc/authorities", "readOnly": True}],
    },
    "bare": {
        "migrations": {"enabled": False},
        "networkPolicy": {"enabled": False},
        "podDisruptionBudget": {"enabled": False},
        "serviceAccount": {"create": False, "name": "ci"},
        "secrets": {
            "brokerUrl": {"name": "rabbitmq", "key": "url"},
            "s3SecretAccessKey": {"name": "s3", "key": "secret"},
        },
    },
}


def merged(*values: dict[str, Any]) -> dict[str, Any]:
    """Later values into earlier ones, as Helm does with files of values; null removes."""
    result: dict[str, Any] = {}
    for one in values:
        for key, value in one.items():
            old = result.get(key)
            if value is None and key in result:
                del result[key]
            else:
                result[key] = merged(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return result


def render(*values: dict[str, Any], name: str = "ci") -> list[Manifest]:
    """Every manifest of the chart with the least values and these."""
    return json.loads(json.dumps(_rendered(json.dumps(merged(BUCKET, *values)), name)))


def notes(*values: dict[str, Any]) -> str:
    """What Helm says after an installation."""
    with helm.Chart.load(CHART) as chart:
        return chart.render(merged(BUCKET, *values), name="ci", namespace="ansible")["ansible-api/templates/NOTES.txt"]


@cache
def _rendered(values: str, name: str) -> list[Manifest]:
    with helm.Chart.load(CHART) as chart:
        files = chart.render(json.loads(values), name=name, namespace="ansible")
    texts = [text for path, text in files.items() if path.endswith(".yaml")]
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


def of_kind(manifests: list[Manifest], kind: str) -> dict[str, Manifest]:
    """Manifests of a kind by name."""
    return {one["metadata"]["name"]: one for one in manifests if one["kind"] == kind}


def pods(manifests: list[Manifest]) -> Iterator[tuple[str, Manifest]]:
    """Every pod or template of one, with the name of what makes it."""
    for one in manifests:
        name, spec = one["metadata"]["name"], one.get("spec", {})
        if one["kind"] == "Pod":
            yield name, one
        elif one["kind"] == "ScaledJob":
            yield name, spec["jobTargetRef"]["template"]
        elif "template" in spec:
            yield name, spec["template"]


def containers(pod: Manifest) -> list[Manifest]:
    """All containers of a pod, those that run before the others first."""
    return [*pod["spec"].get("initContainers", ()), *pod["spec"]["containers"]]


def variables(container: Manifest) -> dict[str, str]:
    """The environment that a container says itself."""
    return {one["name"]: one["value"] for one in container.get("env", ())}


def worker(pod: Manifest) -> Manifest:
    """The one container of a worker's pod."""
    (found,) = pod["spec"]["containers"]
    return found
