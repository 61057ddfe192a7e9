"""The addresses in a credential's fields, which the service or a play sends its secrets to."""

from collections.abc import Mapping

from ansible_api.credentials.fields import Fields
from ansible_api.credentials.model import Kind
from ansible_api.egress import Policy, check_url
from ansible_api.errors import FieldError, InvalidRequest

ADDRESSES: Mapping[Kind, str] = {
    Kind.AWS: "endpoint_url",
    Kind.OPENSTACK: "auth_url",
    Kind.HASHICORP_VAULT: "url",
}


def address_errors(fields: Fields, policy: Policy, place: str = "") -> list[FieldError]:
    """What is wrong with the address of a credential that stands at a place of the request."""
    name = ADDRESSES.get(fields.kind)
    url = getattr(fields, name) if name else None
    if url is None:
        return []
    try:
        check_url(url, policy)
    except InvalidRequest as error:
        return [FieldError(f"{place}/{name}", error.detail)]
    return []
