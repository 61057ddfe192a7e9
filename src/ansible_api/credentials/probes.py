"""Whether a stored credential works: the servers that it opens are asked, through the egress guard."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from ansible_api.egress import Answer, EgressDenied, EgressFailed, Policy, exchange
from ansible_api.errors import AnsibleApiError, InvalidRequest

LIMIT = 64 * 1024  # bytes of an answer that are looked at


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether a credential works, and in which words; never a value, nor anything of an answer."""

    ok: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Reach:
    """Where questions may go, and how many seconds each may take."""

    policy: Policy
    timeout: float


@dataclass(frozen=True, slots=True)
class Question:
    """A request that is answered well only when the credential is good; `whom` is for the words."""

    whom: str
    method: str
    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes | None = field(default=None, repr=False)


def ask(question: Question, reach: Reach) -> Verdict:
    """What the answer's status says of the credential."""
    try:
        return judged(question.whom, sent(question, reach).status)
    except AnsibleApiError as error:
        return failed(question.whom, error)


def sent(question: Question, reach: Reach) -> Answer:
    """The answer; EgressDenied or EgressFailed."""
    return exchange(
        question.method,
        question.url,
        question.content,
        question.headers,
        reach.timeout,
        reach.policy,
        limit=LIMIT,
        cut=True,
    )


def judged(whom: str, status: int) -> Verdict:
    """The verdict on a credential that an answer of this status was given to."""
    if 200 <= status < 300:
        return Verdict(True, f"{whom} took the credential")
    if 300 <= status < 400:
        return Verdict(False, f"{whom} answered with a redirect ({status}), which is not followed: give the address")
    if status in (400, 401, 403):
        return Verdict(False, f"{whom} refused the credential ({status})")
    return Verdict(False, f"{whom} answered {status}: try again later, or check its address")


def failed(whom: str, error: AnsibleApiError) -> Verdict:
    """The verdict when no answer came."""
    if not isinstance(error, EgressDenied | EgressFailed):
        raise error
    words = "may not be asked" if isinstance(error, InvalidRequest) else "did not answer"
    return Verdict(False, f"{whom} {words}: {error.detail}")
