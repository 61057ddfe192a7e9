"""Many jobs at once on one repository: it is fetched once, and asked a few times for all."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydantic import SecretStr

from ansible_api.credentials.secrets import GitLogin
from ansible_api.errors import JobError
from ansible_api.execution.source import Checkout
from tests.integration.git.workers import LOGIN, Worker
from tests.servers.git_histories import repository_of_roles, repository_with_history
from tests.servers.git_servers import USERNAME, GitRepository


def at_once(worker: Worker, jobs: int, repo: str, login: GitLogin = LOGIN) -> list[Checkout | str]:
    """The outcomes (or the codes of errors) of as many checkouts that begin together."""
    gate = threading.Barrier(jobs)

    def one() -> Checkout | str:
        gate.wait(60)
        try:
            return worker.checkout(repo, "main", login)[0]
        except JobError as error:
            return error.job_code

    with ThreadPoolExecutor(jobs) as pool:
        return [done.result(120) for done in [pool.submit(one) for _ in range(jobs)]]


@pytest.mark.parametrize("generated", [repository_of_roles, repository_with_history])
def test_twenty_jobs_on_a_cold_repository_fetch_it_once(
    worker: Worker, https, tmp_path: Path, generated: Callable[[Path], GitRepository]
):
    repository = generated(tmp_path / "served" / "large")
    commit = repository.git("rev-parse", "main")
    outcomes = at_once(worker, 20, https.url(repository.path))
    assert sorted(outcomes, key=str) == [*[Checkout(commit, "hit")] * 19, Checkout(commit, "miss")]
    assert https.fetches == 1
    files = int(repository.git("ls-files").count("\n")) + 1
    copies = [sum(path.is_file() for path in (worker.home / f"job{job}").rglob("*")) for job in range(1, 21)]
    assert copies == [files] * 20


def test_two_hundred_jobs_on_a_cached_repository_ask_a_few_times_for_all(worker, repository, https):
    worker.checkout(https.url(repository.path), "main", LOGIN)
    https.requests.clear()
    outcomes = at_once(worker, 200, https.url(repository.path))
    assert {outcome.cache for outcome in outcomes} == {"hit"}
    assert len(https.requests) < 40


def test_a_job_that_comes_after_a_push_gets_what_was_pushed(worker, repository, https):
    for number in range(3):
        pushed = repository.commit({"site.yml": f"{number}\n"})
        assert {outcome.commit for outcome in at_once(worker, 10, https.url(repository.path))} == {pushed}


def test_a_refusal_is_shared_but_not_kept(worker, repository, https):
    stranger = GitLogin(USERNAME, SecretStr("wrong-token"))
    assert at_once(worker, 50, https.url(repository.path), stranger) == ["source_refused"] * 50
    assert len(https.requests) < 20
    https.token = "wrong-token"
    assert worker.checkout(https.url(repository.path), "main", stranger)[0].cache == "miss"


def test_credentials_do_not_share_answers(worker, repository, https):
    repo = https.url(repository.path)
    strangers = [GitLogin(USERNAME, SecretStr(f"wrong-{number}")) for number in range(4)]
    with ThreadPoolExecutor(8) as pool:
        good = [pool.submit(at_once, worker, 5, repo) for _ in range(4)]
        bad = [pool.submit(at_once, worker, 5, repo, stranger) for stranger in strangers]
        assert {outcome for each in bad for outcome in each.result(120)} == {"source_refused"}
        assert "source_refused" not in [outcome for each in good for outcome in each.result(120)]
