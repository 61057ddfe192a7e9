"""The bounds that the git subprocess puts on itself."""

import os
import resource

from ansible_api.execution.git_request import Request


def limit_self(request: Request) -> None:
    """Bound memory, file size and processor time of this process and its ssh; the hard limits of the worker hold."""
    os.umask(0o022)
    for which, most in (
        (resource.RLIMIT_AS, request.memory),
        (resource.RLIMIT_FSIZE, request.size),
        (resource.RLIMIT_CPU, int(request.timeout) + 1),
        (resource.RLIMIT_CORE, 0),
    ):
        _, hard = resource.getrlimit(which)
        allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (allowed, allowed))
