"""How often a job is tried again follows its queue's policy."""

from pathlib import Path

import pytest
from pydantic import SecretStr

from ansible_api.errors import StartupError
from ansible_api.settings import RetryPolicy, Settings
from ansible_api.tasks.retries import check_policies, retries


def settings(**policies: RetryPolicy) -> Settings:
    secret = SecretStr("sqlite://")
    named = {name.replace("_", "-"): policy for name, policy in policies.items()}
    return Settings(
        database_url=secret, redis_url=secret, master_key=secret, objects_dir=Path("x"), retry_policies=named
    )


def test_what_a_queue_does_not_say_is_as_for_all() -> None:
    policy = retries(settings(git_heavy=RetryPolicy(max_attempts=5, base=10)), "git-heavy")
    assert (policy.max_attempts, policy.base, policy.cap) == (5, 10, 300)
    others = retries(settings(git_heavy=RetryPolicy(max_attempts=5)), "default")
    assert (others.max_attempts, others.base) == (3, 5)


def test_pauses_double_with_jitter_up_to_the_cap() -> None:
    policy = retries(settings(default=RetryPolicy(base=10, cap=60)), "default")
    for failures, middle in ((0, 10), (1, 20), (2, 40), (3, 60), (50, 60)):
        pauses = [policy.pause(failures) for _ in range(50)]
        assert middle * 0.75 <= min(pauses) < max(pauses) <= middle * 1.25


def test_the_last_attempt_is_the_one_of_the_policy() -> None:
    policy = retries(settings(default=RetryPolicy(max_attempts=2)), "default")
    assert [policy.exhausted(failures) for failures in range(3)] == [False, True, True]


def test_a_policy_of_an_unknown_queue_is_refused_with_the_names_of_the_queues() -> None:
    with pytest.raises(StartupError, match="no queue heavy; the queues are default, "):
        check_policies(settings(heavy=RetryPolicy()))
