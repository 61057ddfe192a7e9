"""How often a job is tried again, and after what pause: by its queue's policy."""

import secrets
from dataclasses import dataclass

from ansible_api.errors import StartupError
from ansible_api.routing import JOB_QUEUES
from ansible_api.settings import RetryPolicy, Settings


@dataclass(frozen=True, slots=True)
class Retries:
    """The policy of one queue; times in seconds."""

    max_attempts: int
    base: float
    cap: float

    def exhausted(self, failures: int) -> bool:
        """Whether the attempt that fails now, after so many others, was the last."""
        return failures + 1 >= self.max_attempts

    def pause(self, failures: int) -> float:
        """Before the next attempt when one more has failed after so many: exponential, with a quarter of jitter."""
        pause = min(self.base * 2.0**failures, self.cap)
        return float(pause) * (0.75 + secrets.randbelow(500) / 1000)


def retries(settings: Settings, queue: str) -> Retries:
    """The policy of a queue."""
    own = settings.retry_policies.get(queue, RetryPolicy())
    return Retries(
        own.max_attempts or settings.max_attempts, own.base or settings.retry_base, own.cap or settings.retry_cap
    )


def check_policies(settings: Settings) -> None:
    """StartupError when a policy is for a queue that does not exist."""
    for name, policies in (("RETRY_POLICIES", settings.retry_policies), ("QUEUE_LIMITS", settings.queue_limits)):
        if unknown := sorted(set(policies) - set(JOB_QUEUES)):
            names = ", ".join(JOB_QUEUES)
            raise StartupError(f"ANSIBLE_API_{name}: no queue {', '.join(unknown)}; the queues are {names}")
