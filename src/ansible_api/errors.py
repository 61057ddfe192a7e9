"""Every error of the service: its stable code, HTTP status and whether a retry may help.

AnsibleApiError
├── UsageError                 the caller can mend it
│   ├── MalformedBody          400  not JSON, not UTF-8
│   ├── Unauthenticated        401  no key, unknown, expired or revoked key
│   ├── Forbidden              403  the key's role or queues do not allow it
│   ├── NotFound               404  absent, or of another team
│   ├── MethodNotAllowed       405
│   ├── Conflict               409  the state of the thing does not allow it
│   ├── Expired                410  it was there, and has had its time
│   ├── BodyTooLarge           413
│   ├── UnsupportedMediaType   415
│   ├── RangeNotSatisfiable    416
│   ├── InvalidRequest         422  well-formed, but not valid; `errors` has the fields
│   └── IdempotencyMismatch    422  the same Idempotency-Key with another body
├── Unavailable                503  database, broker or storage is away; retry later
├── JobError                   the job could not be run: its status becomes `error`
│   └── TransientJobError      the same, but worth another attempt
├── LeaseLost                  the job is no longer this worker's: stop, write nothing
└── StartupError               the process must not start; the message names the remedy
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field: `pointer` is its JSON Pointer (RFC 6901), `detail` says what to do."""

    pointer: str
    detail: str


class AnsibleApiError(Exception):
    """Something went wrong in the service."""

    code: ClassVar[str] = "internal_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Internal error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        detail: str = "",
        *,
        errors: Sequence[FieldError] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        self.detail = detail or (self.__doc__ or self.title).strip()
        self.errors = tuple(errors)
        self.headers = dict(headers or {})
        super().__init__(self.detail)


class UsageError(AnsibleApiError):
    """The request cannot be served as it is."""

    code, status, title = "bad_request", 400, "Bad request"


class MalformedBody(UsageError):
    """The body is not a JSON document in UTF-8."""

    code, title = "malformed_body", "Malformed body"


class Unauthenticated(UsageError):
    """Send a valid API key: `Authorization: Bearer <key>`."""

    code, status, title = "unauthenticated", 401, "Unauthenticated"


class Forbidden(UsageError):
    """This API key may not do that."""

    code, status, title = "forbidden", 403, "Forbidden"


class NotFound(UsageError):
    """There is no such thing, or it belongs to another team."""

    code, status, title = "not_found", 404, "Not found"


class MethodNotAllowed(UsageError):
    """This address does not take that method."""

    code, status, title = "method_not_allowed", 405, "Method not allowed"


class Conflict(UsageError):
    """The present state does not allow that."""

    code, status, title = "conflict", 409, "Conflict"


class Expired(UsageError):
    """It was there, and has had its time."""

    code, status, title = "expired", 410, "Expired"


class BodyTooLarge(UsageError):
    """The body is larger than this service takes."""

    code, status, title = "body_too_large", 413, "Body too large"


class UnsupportedMediaType(UsageError):
    """Send JSON: `Content-Type: application/json`."""

    code, status, title = "unsupported_media_type", 415, "Unsupported media type"


class RangeNotSatisfiable(UsageError):
    """The range begins behind the end."""

    code, status, title = "range_not_satisfiable", 416, "Range not satisfiable"


class InvalidRequest(UsageError):
    """The request is well-formed but not valid; `errors` names the fields."""

    code, status, title = "invalid_request", 422, "Invalid request"


class IdempotencyMismatch(UsageError):
    """This Idempotency-Key was used with another body: send a new key."""

    code, status, title = "idempotency_mismatch", 422, "Idempotency key reused"


class Unavailable(AnsibleApiError):
    """A part that the service needs is away; try again shortly."""

    code, status, title = "unavailable", 503, "Unavailable"
    retryable = True


class JobError(AnsibleApiError):
    """The job could not be run; `code` says which part refused."""

    title = "Job error"

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.job_code = code


class TransientJobError(JobError):
    """The job could not be run now; another attempt may succeed."""

    retryable = True


class LeaseLost(AnsibleApiError):
    """The job belongs to another attempt; this one stops and writes nothing."""

    code, title = "lease_lost", "Lease lost"


class StartupError(AnsibleApiError):
    """The process must not start."""

    code, title = "startup_error", "Cannot start"
