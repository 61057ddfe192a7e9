"""One attempt to deliver a webhook: sign, post, decide what follows."""

import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

from pydantic import SecretStr

from ansible_api.deliveries.signing import signed_headers
from ansible_api.deliveries.store import Decision
from ansible_api.egress import Answer, Policy, post
from ansible_api.errors import AnsibleApiError

GONE = 410
LONGEST_RETRY_AFTER = 24 * 3600.0
SLOW_AFTER = 1.0  # a receiver that takes longer gets one webhook at a time
EXCERPT = 1024  # characters of an answer that are kept


def attempt(
    url: str,
    message_id: str,
    body: str,
    signing_secrets: Sequence[SecretStr],
    *,
    policy: Policy,
    timeout: float,
    trace_parent: str | None = None,
) -> Answer | AnsibleApiError:
    """Post the signed body once; an error is an answer too."""
    headers = signed_headers(message_id, datetime.now(UTC), body, signing_secrets)
    if trace_parent is not None:
        headers = {**headers, "traceparent": trace_parent}
    try:
        return post(url, content=body.encode(), headers=headers, timeout=timeout, policy=policy)
    except AnsibleApiError as error:
        return error


def decide(answer: Answer | AnsibleApiError, number: int, schedule: Sequence[float], jitter: float) -> Decision:
    """What follows attempt `number` (1, 2, …): 2xx delivers, 410 stops, anything else follows the schedule."""
    if isinstance(answer, Answer) and 200 <= answer.status < 300:
        return Decision("delivered")
    if (isinstance(answer, Answer) and answer.status == GONE) or number >= len(schedule):
        return Decision("failed")
    pause = schedule[number] * (1 + jitter * secrets.randbelow(1000) / 1000)
    return Decision("pending", max(pause, _retry_after(answer)))


def _retry_after(answer: Answer | AnsibleApiError) -> float:
    """Seconds that the receiver asks for (RFC 9110, 10.2.3), capped."""
    text = answer.headers.get("retry-after", "") if isinstance(answer, Answer) else ""
    if text.isascii() and text.isdecimal():  # '²' is a digit, too, and no number
        return min(float(text), LONGEST_RETRY_AFTER)
    try:
        wait = parsedate_to_datetime(text) - datetime.now(UTC)
    except (ValueError, TypeError, OverflowError):
        return 0.0
    return min(max(wait / timedelta(seconds=1), 0.0), LONGEST_RETRY_AFTER)


def columns(answer: Answer | AnsibleApiError) -> dict[str, object]:
    """What an attempt's row keeps: texts of strangers, so nothing in them may harm whoever reads them."""
    if isinstance(answer, AnsibleApiError):
        return {"error": clean(answer.detail)[:255]}
    return {"status": answer.status, "answer": clean(answer.body.decode("utf-8", "replace"))[:EXCERPT]}


def clean(text: str) -> str:
    """Without control characters, lone surrogates and the like, which databases and terminals take badly."""
    text = text.replace("\r\n", "\n")
    return "".join(character if character.isprintable() or character in "\n\t" else "\ufffd" for character in text)
