"""Whether a Galaxy server or Automation Hub takes a token."""

import re

from pydantic_core import from_json

from ansible_api.credentials.probes import Question, Reach, Verdict, failed, judged, sent
from ansible_api.egress import Answer, EgressDenied, EgressFailed

WHOM = "the Galaxy server"
API_PATH = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*/?", re.ASCII)


def galaxy(token: str, server: str, reach: Reach) -> Verdict:
    """Find the API as ansible-galaxy does, then ask it for collections: a wrong token is refused there."""
    headers = {"Authorization": f"Token {token}", "Accept": "application/json"}
    root = server.rstrip("/") + "/"
    try:
        for api in (root, f"{root}api/"):
            answer = sent(Question(WHOM, "GET", api, headers), reach)
            if answer.status in (401, 403):
                return judged(WHOM, answer.status)
            if (path := _version_3(answer)) is not None:
                collections = Question(WHOM, "GET", f"{api}{path.rstrip('/')}/collections/?limit=1", headers)
                return _verdict(sent(collections, reach).status)
    except (EgressDenied, EgressFailed) as error:
        return failed(WHOM, error)
    return Verdict(False, f"{WHOM} does not speak version 3 of the Galaxy API: correct galaxy_server")


def _verdict(status: int) -> Verdict:
    if status in (301, 302, 307, 308, 404):  # a hub that keeps its collections elsewhere; it has looked at the token
        return Verdict(True, f"{WHOM} did not refuse the token")
    return judged(WHOM, status)


def _version_3(answer: Answer) -> str | None:
    """The path of version 3 below the root of the API, when this is such a root."""
    if answer.status != 200:
        return None
    try:
        path = from_json(answer.body)["available_versions"]["v3"]
    except (ValueError, KeyError, TypeError, IndexError):
        return None
    return path if isinstance(path, str) and API_PATH.fullmatch(path) else None
