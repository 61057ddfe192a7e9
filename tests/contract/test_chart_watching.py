"""Alerts and dashboards ask for metrics that the service has, and the manual tells what each alert means."""

import json
import re
from http import HTTPStatus
from pathlib import Path
from typing import Any, get_args, get_type_hints

import promql_parser
import pytest
import yaml
from fastapi.routing import APIRoute
from prometheus_client import Histogram
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.utils import floatToGoString

from ansible_api import telemetry
from ansible_api.api import logs, stream
from ansible_api.api.metrics import as_text
from ansible_api.deliveries.store import Outcome
from ansible_api.execution.source import Checkout
from ansible_api.jobs.figures import QueueFigures
from ansible_api.jobs.state import TERMINAL, Phase, Status
from ansible_api.routing import Queue
from tests.contract.chart_schema import CHART
from tests.contract.rendering import MATRIX, of_kind, render

# Every metric of API and workers, as README and manual promise them.
GAUGES = {
    "ansible_api_jobs": {"queue", "status"},
    "ansible_api_queue_oldest_seconds": {"queue"},
    "ansible_api_queue_depth": {"queue"},
    "ansible_api_workers": {"queue"},
    "ansible_api_slots": {"queue"},
    "ansible_api_slots_busy": {"queue"},
}
COUNTERS = {
    "ansible_api_jobs_submitted_total": {"queue"},
    "ansible_api_jobs_ended_total": {"queue", "status"},
    "ansible_api_events_total": set(),
    "ansible_api_webhook_attempts_total": {"outcome"},
    "ansible_api_leases_lost_total": set(),
    "ansible_api_git_cache_total": {"result"},
}
HISTOGRAMS = {
    "ansible_api_queue_seconds": {"queue"},
    "ansible_api_phase_seconds": {"phase"},
    "ansible_api_run_seconds": {"queue", "status"},
    "ansible_api_http_request_seconds": {"method", "route", "status"},
}
SERIES = GAUGES | COUNTERS | {
    f"{name}_{part}": labels | ({"le"} if part == "bucket" else set())
    for name, labels in HISTOGRAMS.items()
    for part in ("bucket", "sum", "count")
}  # fmt: skip
BUCKETS = [bound for metric in vars(telemetry).values() for bound in getattr(metric, "_upper_bounds", ())]
# What a label may say; `status` is a job's, but for requests. Routes have a test of their own.
VALUES = {
    "queue": set(Queue),
    "status": set(Status),
    "phase": set(Phase),
    "outcome": set(get_args(Outcome)),
    "result": set(get_args(get_type_hints(Checkout)["cache"])),
    "le": {floatToGoString(bound) for bound in BUCKETS},
}
OF_METRIC = {
    "ansible_api_jobs_ended_total": {"status": set(TERMINAL)},
    "ansible_api_run_seconds": {"status": set(TERMINAL)},
    "ansible_api_http_request_seconds": {"status": {str(status.value) for status in HTTPStatus}},
}
FROM_OUTSIDE = {"namespace", "pod", "container"}  # labels that Prometheus adds
MANUAL = (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
RULES = [
    rule
    for path in sorted((CHART / "rules").glob("*.yaml"))
    for group in yaml.safe_load(path.read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
RECORDS = {rule["record"] for rule in RULES if "record" in rule}
DASHBOARDS = {path.stem: json.loads(path.read_text()) for path in sorted((CHART / "dashboards").glob("*.json"))}
PANELS = [(name, panel) for name, board in DASHBOARDS.items() for panel in board["panels"] if panel["type"] != "row"]
QUERIES = [rule["expr"] for rule in RULES] + [target["expr"] for _, panel in PANELS for target in panel["targets"]]


@pytest.mark.parametrize("query", QUERIES)
def test_prometheus_understands_the_query(query: str) -> None:
    promql_parser.parse(query.replace("$__rate_interval", "5m"))


@pytest.mark.parametrize("query", QUERIES)
def test_a_query_names_metrics_and_labels_that_exist(query: str) -> None:
    names = set(re.findall(r"\bansible_api_\w+", query))
    assert names <= set(SERIES)
    assert set(re.findall(r"\bansible_api:[\w:]+", query)) <= RECORDS
    known = set().union(*(SERIES[name] for name in names)) | FROM_OUTSIDE
    assert set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", query)) <= known
    grouped = " ".join(re.findall(r"\b(?:by|on)\s*\(([^)]*)\)", query))
    assert set(re.findall(r"\w+", grouped)) <= known


@pytest.mark.parametrize("query", [query for query in QUERIES if re.search(r"ansible_api_\w+\{", query)])
def test_a_query_asks_for_values_that_labels_have(query: str) -> None:
    for metric, matchers in _selectors(query):
        for label, operator, wanted in matchers:
            if label not in FROM_OUTSIDE | {"route"}:
                known = OF_METRIC.get(re.sub("_(bucket|sum|count)$", "", metric), {}).get(label, VALUES[label])
                pattern = wanted if "~" in operator else re.escape(wanted)
                assert any(re.fullmatch(pattern, value) for value in known), (metric, label, wanted)


def test_the_time_to_answer_leaves_out_what_is_meant_to_last() -> None:
    matchers = [one for query in QUERIES for _, found in _selectors(query) for one in found if one[0] == "route"]
    ((_, operator, pattern),) = matchers
    routes = [route.path for route in (*stream.router.routes, *logs.router.routes) if isinstance(route, APIRoute)]
    lasting = {route for route in routes if re.fullmatch(pattern, route)}
    assert (operator, lasting) == ("!~", {"/api/v1/jobs/{job_id}/stream", "/api/v1/jobs/{job_id}/logs"})


def test_nobody_is_alarmed_that_nothing_starts_in_a_queue_that_runs_no_jobs() -> None:
    stuck = _selectors(ALERTS["AnsibleApiJobsStuck"]["expr"])
    assert dict(stuck)["ansible_api_queue_depth"] == [("queue", "!=", Queue.DELIVERY)]


def test_the_metrics_of_queues_have_the_names_labels_and_values_that_queries_use() -> None:
    told = as_text({queue: QueueFigures() for queue in Queue}).decode()
    samples = [sample for family in text_string_to_metric_families(told) for sample in family.samples]
    assert {sample.name: set(sample.labels) for sample in samples} == GAUGES
    assert {sample.labels["queue"] for sample in samples} == VALUES["queue"]
    assert {sample.labels["status"] for sample in samples if "status" in sample.labels} == VALUES["status"] - TERMINAL


def test_the_services_metrics_have_the_names_and_labels_that_queries_use() -> None:
    there: list[Any] = [metric for metric in vars(telemetry).values() if hasattr(metric, "_labelnames")]
    names = {metric: metric.describe()[0].name for metric in there}
    assert {
        names[metric] if isinstance(metric, Histogram) else f"{names[metric]}_total": set(metric._labelnames)
        for metric in there
    } == COUNTERS | HISTOGRAMS


def test_the_limit_of_a_late_start_is_a_bucket() -> None:
    metric: Any = getattr(telemetry, "QUEUE_SECONDS", telemetry.PHASE_SECONDS)
    assert isinstance(metric, Histogram)
    assert 30 in metric._upper_bounds


def test_values_of_several_apis_are_not_added_up() -> None:
    """Each API tells the same of the queues."""
    for query in QUERIES:
        for found in re.finditer(rf"(?:{'|'.join(GAUGES)})\b", query):
            assert re.search(r"(max by \([^)]*\) \(|absent\()$", query[: found.start()]), query


def test_every_alert_tells_how_bad_it_is_and_what_it_means() -> None:
    for name, alert in ALERTS.items():
        assert alert["labels"]["severity"] in ("critical", "warning"), name
        assert set(alert["annotations"]) == {"summary", "description"}, name


def test_the_manual_has_a_row_for_each_alert_and_no_other() -> None:
    assert re.findall(r"^\| `(AnsibleApi\w+)` \|", MANUAL, re.MULTILINE) == list(ALERTS)


def test_late_starts_are_watched_over_a_long_and_a_short_window() -> None:
    late = [alert["expr"] for name, alert in ALERTS.items() if "StartsLate" in name]
    windows = [re.findall(r"ratio_rate(\w+)", expr) for expr in late]
    assert windows == [["1h", "5m"], ["6h", "30m"], ["3d", "6h"]]


def test_panels_tell_what_they_are_for_and_do_not_lie_on_each_other() -> None:
    for name, board in DASHBOARDS.items():
        ids = [panel["id"] for panel in board["panels"]]
        assert len(set(ids)) == len(ids), name
        squares = [square for panel in board["panels"] for square in _squares(panel["gridPos"])]
        assert len(set(squares)) == len(squares), name
        assert all(panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24 for panel in board["panels"]), name


def test_dashboards_take_any_prometheus_and_any_namespace() -> None:
    for name, board in DASHBOARDS.items():
        assert [variable["name"] for variable in board["templating"]["list"]] == ["datasource", "namespace"]
        assert board["uid"] == f"ansible-api-{name}"
    assert all(panel["datasource"]["uid"] == "${datasource}" for _, panel in PANELS)
    assert all("$namespace" in target["expr"] for _, panel in PANELS for target in panel["targets"])


def test_the_chart_ships_rules_and_dashboards_as_they_are() -> None:
    manifests = render(MATRIX["watched"])
    (rules,) = of_kind(manifests, "PrometheusRule").values()
    assert [rule for group in rules["spec"]["groups"] for rule in group["rules"]] == RULES
    shipped = of_kind(manifests, "ConfigMap")["ci-ansible-api-dashboards"]["data"]
    assert {name: json.loads(board) for name, board in shipped.items()} == {
        f"ansible-api-{name}.json": board for name, board in DASHBOARDS.items()
    }


def _selectors(query: str) -> list[tuple[str, list[tuple[str, str, str]]]]:
    """The service's metrics that a query selects by labels: label, operator and value of each."""
    found = re.findall(r"\b(ansible_api_\w+)\{([^}]*)\}", query)
    return [(name, re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', said.replace("\\\\", "\\"))) for name, said in found]


def _squares(place: dict[str, int]) -> list[tuple[int, int]]:
    columns, rows = range(place["x"], place["x"] + place["w"]), range(place["y"], place["y"] + place["h"])
    return [(x, y) for x in columns for y in rows]
