"""The chart's pools of workers: who says how many there are, and that KEDA counts what keeps a worker busy."""

import datetime
import re
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import yaml
from sqlalchemy import text

from ansible_api.db import Database
from ansible_api.jobs import queues
from ansible_api.jobs.state import Status
from ansible_api.routing import JOB_QUEUES, Queue, Workload, route
from ansible_api.settings import Settings
from tests.contract.chart_schema import CHART
from tests.contract.rendering import MATRIX, Manifest, of_kind, render, worker
from tests.integration.rows import new_job, put
from tests.migrated import migrate
from tests.servers.mariadb import MariaDBServer

POOL = "ci-ansible-api-worker-default"
KEDA = {"workers": {"default": {"keda": {"min": 1, "max": 9}}}}
JOBS = {"workers": {"default": {"mode": "job", "concurrency": 1, "keda": {"max": 9}}}}


def _deployment(*values: dict[str, Any], name: str = POOL) -> Manifest:
    return of_kind(render(*values), "Deployment")[name]


def _query(*values: dict[str, Any]) -> dict[str, str]:
    manifests = render(*values)
    scaled = of_kind(manifests, "ScaledObject") | of_kind(manifests, "ScaledJob")
    metadata: dict[str, str] = scaled[POOL]["spec"]["triggers"][0]["metadata"]
    return metadata


def test_a_pool_has_the_workers_that_were_asked_for() -> None:
    assert _deployment()["spec"]["replicas"] == 1
    assert _deployment({"workers": {"default": {"replicas": 3}}})["spec"]["replicas"] == 3
    assert _deployment({"workers": {"default": {"replicas": 0}}})["spec"]["replicas"] == 0


def test_nobody_but_the_autoscaler_says_how_many_there_are() -> None:
    assert "replicas" not in _deployment(KEDA)["spec"]
    autoscaled = {"api": {"autoscaling": {"enabled": True}}}
    assert "replicas" not in _deployment(autoscaled, name="ci-ansible-api-api")["spec"]


def test_a_worker_serves_the_queues_of_its_pool_with_its_concurrency() -> None:
    pool = {"workers": {"default": {"queues": ["default", "git-heavy"], "concurrency": 7}}}
    container = worker(_deployment(pool)["spec"]["template"])
    wanted = ["worker", "--queue", "default", "--queue", "git-heavy", "--concurrency", "7"]
    assert container["args"] == wanted
    assert "command" not in container  # the image's entry point is the command line


def test_keda_wants_one_worker_for_as_many_jobs_as_it_runs_at_once() -> None:
    assert _query(KEDA)["queryValue"] == "4"
    assert _query(KEDA, {"workers": {"default": {"concurrency": 6}}})["queryValue"] == "6"


def test_keda_opens_the_database_with_an_existing_secret() -> None:
    manifests = render(KEDA)
    (trigger,) = of_kind(manifests, "ScaledObject")[POOL]["spec"]["triggers"]
    login = of_kind(manifests, "TriggerAuthentication")[trigger["authenticationRef"]["name"]]
    wanted = {"parameter": "connectionString", "name": "ansible-api", "key": "keda-connection"}
    assert login["spec"]["secretTargetRef"] == [wanted]
    assert of_kind(render(), "TriggerAuthentication") == {}


def test_in_job_mode_each_run_has_a_pod_of_its_own_that_kubernetes_never_repeats() -> None:
    spec = of_kind(render(JOBS), "ScaledJob")[POOL]["spec"]
    job = spec["jobTargetRef"]
    wanted = ["worker", "--queue", "default", "--concurrency", "1", "--once"]
    assert worker(job["template"])["args"] == wanted
    assert (job["backoffLimit"], job["template"]["spec"]["restartPolicy"]) == (0, "Never")
    assert POOL not in of_kind(render(JOBS), "Deployment")


def test_in_job_mode_pods_that_run_are_not_taken_for_ones_that_will_take_what_waits() -> None:
    strategy = of_kind(render(JOBS), "ScaledJob")[POOL]["spec"]["scalingStrategy"]
    assert strategy == {"strategy": "accurate", "pendingPodConditions": ["Ready"]}


def test_in_job_mode_an_upgrade_leaves_runs_alone() -> None:
    assert of_kind(render(JOBS), "ScaledJob")[POOL]["spec"]["rollout"] == {"strategy": "gradual"}


def test_in_job_mode_the_defaults_concurrency_does_not_hold() -> None:
    values = {"workers": {"extra": {"queues": ["git-heavy"], "mode": "job", "keda": {"max": 2}}}}
    scaled = of_kind(render(values), "ScaledJob")["ci-ansible-api-worker-extra"]
    assert "1" in worker(scaled["spec"]["jobTargetRef"]["template"])["args"]


def test_what_a_pool_says_replaces_the_default_also_when_it_is_nothing() -> None:
    defaults = {"workerDefaults": {"drain": 60, "podAnnotations": {"a/b": "c"}, "concurrency": 3}}
    pool = {"drain": 0, "podAnnotations": {}, "securityContext": {"readOnlyRootFilesystem": False}}
    spec = _deployment(defaults, {"workers": {"default": pool}})["spec"]["template"]
    assert "lifecycle" not in worker(spec)
    assert "a/b" not in spec["metadata"]["annotations"]
    assert worker(spec)["securityContext"]["readOnlyRootFilesystem"] is False
    assert worker(spec)["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    other = _deployment(defaults, name="ci-ansible-api-worker-git-heavy")["spec"]["template"]
    assert worker(other)["lifecycle"]["preStop"]["exec"]["command"][-1] == "60"


def test_each_pool_has_a_budget_of_its_own() -> None:
    budgets = of_kind(render(MATRIX["least"]), "PodDisruptionBudget")
    assert len(budgets) == 6
    assert budgets[POOL]["spec"]["selector"]["matchLabels"]["ansible-api/pool"] == "default"


def test_a_pool_that_is_upgraded_lets_every_job_end_that_routing_sends_there() -> None:
    """But for long-running: there `options.timeout` is the limit, and the README says so."""
    fields = Settings.model_fields
    longest, heavy = fields["long_running_after"].default, fields["git_heavy_after"].default
    longer = route(Workload(longest + 1, installs=True), long_running_after=longest, git_heavy_after=heavy)
    assert longer.queue == Queue.LONG_RUNNING
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    time = {name: _seconds_to_end(values["workerDefaults"] | pool) for name, pool in values["workers"].items()}
    assert [queue for queue in JOB_QUEUES if time[queue] < longest] == []
    assert time[Queue.LONG_RUNNING] > longest


def _seconds_to_end(pool: dict[str, Any]) -> int:
    return int(pool["drain"] + pool["grace"])


def test_delivery_has_no_plays_to_wait_for() -> None:
    assert "lifecycle" not in worker(_deployment(name="ci-ansible-api-worker-delivery")["spec"]["template"])


@pytest.fixture
def database(mariadb_url: str) -> Iterator[Database]:
    migrate(mariadb_url)
    with closing(Database(mariadb_url)) as database:
        yield database


@pytest.fixture
def keda(mariadb_server: MariaDBServer, mariadb_url: str) -> Iterator[Database]:
    """The database as KEDA's login of the README sees it."""
    readme = (CHART / "README.md").read_text()
    statements = re.findall(r"^ +((?:CREATE USER|GRANT) .*'keda'@'%'.*);$", readme, re.MULTILINE)
    server, name = mariadb_url.rsplit("@", 1)[1].split("/")
    for statement in statements:
        mariadb_server.execute(statement.replace("ansible.", f"{name}.").replace("%", "%%"))
    with closing(Database(f"mysql://keda:PASSWORD@{server}/{name}")) as database:
        yield database
    mariadb_server.execute("DROP USER 'keda'@'%%'")


def _counted(keda: Database, mode: dict[str, Any]) -> int:
    query = text(_query(mode)["query"])
    return int(keda.read(lambda session: session.scalar(query)))


@pytest.mark.parametrize(("mode", "wanted"), [(KEDA, 3), (JOBS, 2)], ids=["deployment", "job"])
def test_keda_counts_what_may_start_in_the_pools_queues_and_what_keeps_a_worker_of_a_deployment(
    database: Database, keda: Database, mode: dict[str, Any], wanted: int
) -> None:
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    assert _counted(keda, mode) == 0
    new_job(database)
    new_job(database, queue="git-heavy")
    put(database, new_job(database), status=Status.RUNNING)
    put(database, new_job(database), status=Status.SUCCESSFUL)
    put(database, new_job(database), next_attempt_at=later)
    put(database, new_job(database), next_attempt_at=later - datetime.timedelta(hours=2))
    assert _counted(keda, mode) == wanted


def test_of_a_paused_queue_keda_counts_what_runs(database: Database, keda: Database) -> None:
    both = {"workers": {"default": {"queues": ["default", "git-heavy"], "keda": {"max": 9}}}}
    new_job(database)
    put(database, new_job(database), status=Status.RUNNING)
    new_job(database, queue="git-heavy")
    database.write(queues.pause, Queue.DEFAULT, None)
    assert _counted(keda, both) == 2


def test_of_a_concurrency_group_keda_counts_no_more_than_may_run_at_once(database: Database, keda: Database) -> None:
    group = {"concurrency_group": "web", "concurrency_limit": 2}
    put(database, new_job(database, **group), status=Status.RUNNING)
    for _ in range(5):
        new_job(database, **group)
        new_job(database)
    assert (_counted(keda, KEDA), _counted(keda, JOBS)) == (2 + 5, 1 + 5)
    new_job(database, team="blue", **group)  # another team's group
    assert (_counted(keda, KEDA), _counted(keda, JOBS)) == (2 + 5 + 1, 1 + 5 + 1)
    for _ in range(2):
        put(database, new_job(database, **group), status=Status.RUNNING)  # more than its limit, which was lowered
    assert _counted(keda, JOBS) == 0 + 5 + 1
