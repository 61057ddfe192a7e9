"""The chart's pools of workers: who says how many there are, and that KEDA counts what keeps a worker busy."""

import datetime
from typing import Any

import pytest
from sqlalchemy import text

from ansible_api.db import Database
from ansible_api.jobs.state import Status
from tests.contract.rendering import MATRIX, Manifest, of_kind, render, worker
from tests.integration.rows import new_job, put
from tests.migrated import migrate

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


@pytest.mark.parametrize("mode", [KEDA, JOBS])
def test_keda_counts_what_runs_and_what_may_start_in_the_pools_queues(mariadb_url: str, mode: dict[str, Any]) -> None:
    migrate(mariadb_url)
    database = Database(mariadb_url)
    later = datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)
    new_job(database)
    new_job(database, queue="git-heavy")
    put(database, new_job(database), status=Status.RUNNING)
    put(database, new_job(database), status=Status.SUCCESSFUL)
    put(database, new_job(database), next_attempt_at=later)
    put(database, new_job(database), next_attempt_at=later - datetime.timedelta(hours=2))
    query = text(_query(mode)["query"])
    assert database.read(lambda session: session.scalar(query)) == 3
    database.close()
