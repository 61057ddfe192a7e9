"""An inventory from an HTTP server: a bounded answer, few redirects, and secrets in headers for its own origin only."""

import time
from collections.abc import Callable, Mapping
from typing import Literal

import httpx

from ansible_api.credentials.headers import UnknownVariable, filled
from ansible_api.credentials.secrets import Variables
from ansible_api.egress import Answer, AnswerTooLarge, EgressDenied, EgressFailed, Policy, check_url, get
from ansible_api.errors import JobError, TransientJobError
from ansible_api.execution.inventory_document import check_ini, check_yaml, convert_json, invalid
from ansible_api.execution.patience import patiently
from ansible_api.jobs.inventories import UrlInventory

MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)
_ACCEPT = {"yaml": "application/yaml, text/yaml, */*", "json": "application/json, */*", "ini": "text/plain, */*"}


def fetch_inventory(
    inventory: UrlInventory,
    variables: Variables | None,
    policy: Policy,
    *,
    timeout: float,
    limit: int,
    keep_going: Callable[[], bool],
) -> str:
    """The text for an inventory file of the format said (for json: YAML), within `timeout` seconds in all.

    Raises JobError inventory_variable_unknown, inventory_variable_invalid, inventory_denied, inventory_refused,
    inventory_not_found, inventory_too_large, inventory_invalid or canceled, and TransientJobError
    inventory_unreachable.
    """
    headers = {"Accept": _ACCEPT[inventory.format]} | _filled(inventory.headers, variables)
    deadline = time.monotonic() + timeout
    # The check as well: a large answer takes it many seconds.
    return patiently(
        lambda: _checked(_follow(inventory.url, headers, policy, deadline, limit), inventory.format), keep_going
    )


def _checked(body: bytes, form: Literal["yaml", "json", "ini"]) -> str:
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise invalid("the answer is not text in UTF-8") from None
    match form:
        case "yaml":
            return check_yaml(text)
        case "json":
            return convert_json(text)
        case "ini":
            return check_ini(text)


def _filled(headers: Mapping[str, str], variables: Variables | None) -> dict[str, str]:
    """The headers with the credential's values in the places of their names."""
    try:
        texts = filled(headers, variables.values if variables else {})
    except UnknownVariable as error:
        raise JobError("inventory_variable_unknown", f"headers/{error.header}: {error.detail}") from None
    for name, text in texts.items():
        if not (text.isascii() and text.isprintable()):
            raise JobError(
                "inventory_variable_invalid",
                f"headers/{name}: its variable does not fit: store it as one line of ASCII, without a line end",
            )
    return texts


def _follow(url: str, headers: Mapping[str, str], policy: Policy, deadline: float, limit: int) -> bytes:
    """The body of the answer after at most three redirects, each address checked anew."""
    try:
        first = target = check_url(url, policy)
    except EgressDenied as error:
        raise _denied(error) from None
    for _ in range(MOST_REDIRECTS + 1):
        answer = _get(target, headers if _origin(target) == _origin(first) else {}, policy, deadline, limit)
        if answer.status not in REDIRECTS:
            _check_status(answer.status)
            return answer.body
        try:
            target = target.join(answer.headers["Location"])
        except (KeyError, httpx.InvalidURL, ValueError):
            raise JobError("inventory_invalid", "the server redirects to nowhere: correct url") from None
    raise JobError("inventory_invalid", f"the server redirects more than {MOST_REDIRECTS} times: correct url")


def _get(target: httpx.URL, headers: Mapping[str, str], policy: Policy, deadline: float, limit: int) -> Answer:
    try:
        return get(str(target), headers, max(deadline - time.monotonic(), 0.001), policy, limit=limit)
    except EgressDenied as error:
        raise _denied(error) from None
    except AnswerTooLarge as error:
        raise JobError("inventory_too_large", f"the inventory's server: {error.detail}; narrow what it gives") from None
    except EgressFailed as error:
        raise TransientJobError("inventory_unreachable", f"the inventory's server: {error.detail}") from None


def _denied(error: EgressDenied) -> JobError:
    return JobError("inventory_denied", f"the inventory's address: {error.detail}; correct url")


def _origin(url: httpx.URL) -> tuple[str, str, int | None]:
    return url.scheme, url.host, url.port  # httpx drops a scheme's own port


def _check_status(status: int) -> None:
    said = f"the inventory's server answered {status}"
    if status == 200:
        return
    if status in (401, 403, 407):
        raise JobError("inventory_refused", f"{said}: correct credential and headers")
    if status in (404, 410):
        raise JobError("inventory_not_found", f"{said}: correct url")
    if status in (408, 425, 429) or status >= 500:
        raise TransientJobError("inventory_unreachable", said)
    raise JobError("inventory_invalid", f"{said}, not 200: correct url")
