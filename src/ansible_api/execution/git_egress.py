"""Where a git server may be: its addresses are found and checked here, and the git subprocess connects to no other.

Here and not there, because what parses a stranger's answers is not to decide where else it may connect.
"""

from ansible_api.egress import Deadline, EgressDenied, EgressFailed, Policy, Resolver, checked_addresses
from ansible_api.errors import JobError, TransientJobError
from ansible_api.git_address import PORTS, parse


def allowed_addresses(repo: str, policy: Policy, resolver: Resolver, seconds: float) -> tuple[str, ...]:
    """The IP addresses of the repository's server, none for a local path.

    Raises JobError source_denied or source_invalid, and TransientJobError source_unreachable.
    """
    try:
        address = parse(repo)
    except ValueError:
        raise JobError("source_invalid", "The repository's address is not one: correct repo.") from None
    if address.scheme not in PORTS:
        return ()
    try:
        found = checked_addresses(address.host, address.port, policy, Deadline(seconds), resolver)
    except EgressDenied as error:
        detail = f"The git server {address.host} may not be reached from here ({error.detail}): correct repo."
        raise JobError("source_denied", detail) from None
    except EgressFailed:
        detail = f"The git server {address.host} could not be reached: check repo, or submit again later."
        raise TransientJobError("source_unreachable", detail) from None
    return tuple(map(str, found))
