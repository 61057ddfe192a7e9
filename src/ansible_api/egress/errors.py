"""How an outgoing request can come to nothing: it may not be made, or it was made and failed."""

from ansible_api.errors import AnsibleApiError, InvalidRequest


class EgressDenied(InvalidRequest):
    """This service does not send requests to that address."""

    code, title = "egress_denied", "Address not allowed"


class EgressFailed(AnsibleApiError):
    """The other side could not be reached or did not answer as HTTP; another attempt may succeed."""

    code, status, title = "egress_failed", 502, "Outgoing request failed"
    retryable = True


class AnswerTooLarge(EgressFailed):
    """The answer is larger than may be read."""

    retryable = False
