"""One guarded HTTP request: no proxy, no redirect, no decoding, a bounded answer, a total time limit."""

import functools
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import httpcore
import httpx

from ansible_api.egress.connect import CheckedBackend, Deadline, Resolver, system_resolver
from ansible_api.egress.errors import AnswerTooLarge, EgressDenied, EgressFailed
from ansible_api.egress.policy import Policy, check_url

EXCERPT = 1024  # bytes of an answer that `post` keeps


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back; `headers` compare without case, `duration` is seconds."""

    status: int
    headers: httpx.Headers
    body: bytes
    duration: float


def exchange(
    method: str,
    url: str,
    content: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
    policy: Policy,
    *,
    limit: int,
    cut: bool = False,
    resolver: Resolver = system_resolver,
    ssl_context: ssl.SSLContext | None = None,
) -> Answer:
    """The answer, whatever its status; EgressDenied or EgressFailed when there is none.

    A body larger than `limit` bytes is AnswerTooLarge, or is cut off there when `cut` is set. `timeout` is seconds, for
    the whole exchange.
    """
    began = time.monotonic()
    backend = CheckedBackend(policy, Deadline(timeout), resolver)
    with _response(method, check_url(url, policy), content, headers, backend, ssl_context) as response:
        answered = httpx.Headers(response.headers)
        # With `cut` it is the status that counts: a body that comes too slowly or breaks off does not unsay it.
        body = _excerpt(response, limit) if cut else _whole(response, answered, limit)
        return Answer(response.status, answered, body, time.monotonic() - began)


def post(
    url: str,
    content: bytes,
    headers: Mapping[str, str],
    timeout: float,
    policy: Policy,
    *,
    resolver: Resolver = system_resolver,
    ssl_context: ssl.SSLContext | None = None,
) -> Answer:
    """As `exchange`, with the first 1 kB of the answer's body."""
    return exchange(
        "POST",
        url,
        content,
        headers,
        timeout,
        policy,
        limit=EXCERPT,
        cut=True,
        resolver=resolver,
        ssl_context=ssl_context,
    )


def get(
    url: str,
    headers: Mapping[str, str],
    timeout: float,
    policy: Policy,
    *,
    limit: int,
    resolver: Resolver = system_resolver,
    ssl_context: ssl.SSLContext | None = None,
) -> Answer:
    """As `exchange`, with all of the answer's body."""
    return exchange("GET", url, None, headers, timeout, policy, limit=limit, resolver=resolver, ssl_context=ssl_context)


@contextmanager
def _response(
    method: str,
    url: httpx.URL,
    content: bytes | None,
    headers: Mapping[str, str],
    backend: CheckedBackend,
    ssl_context: ssl.SSLContext | None,
) -> Iterator[httpcore.Response]:
    target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
    if url.scheme == "https" and ssl_context is None:
        ssl_context = _system_ssl_context()
    with httpcore.ConnectionPool(ssl_context=ssl_context, network_backend=backend) as pool:
        try:
            with pool.stream(method, target, headers=_headers(url, headers), content=content) as response:
                yield response
        except (httpcore.LocalProtocolError, UnicodeEncodeError):
            # The error quotes the header, and headers carry secrets.
            raise EgressDenied(
                "not a request that can be sent: a header has a line break or a character beyond ASCII"
            ) from None
        except (httpcore.NetworkError, httpcore.RemoteProtocolError) as error:
            raise EgressFailed(f"{url.host} broke off: {error}") from error


def _headers(url: httpx.URL, headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    sent = httpx.Headers({"User-Agent": "ansible-api", "Accept": "*/*"})
    sent.update(headers)
    # Nothing is decoded, so that a few bytes cannot become gigabytes.
    sent.update({"Accept-Encoding": "identity", "Connection": "close"})
    sent.pop("Host", None)
    return [(b"Host", url.netloc), *sent.raw]


def _excerpt(response: httpcore.Response, limit: int) -> bytes:
    body = b""
    with suppress(EgressFailed, httpcore.NetworkError, httpcore.RemoteProtocolError):
        for block in response.iter_stream():
            body += block
            if len(body) >= limit:
                break
    return body[:limit]


def _whole(response: httpcore.Response, answered: httpx.Headers, limit: int) -> bytes:
    if answered.get("Content-Encoding", "identity") != "identity":
        raise EgressFailed("the answer is compressed, though that was not asked for")
    body = bytearray()
    for block in response.iter_stream():
        body += block
        if len(body) > limit:
            raise AnswerTooLarge(f"the answer is larger than {limit} bytes")
    return bytes(body)


@functools.cache
def _system_ssl_context() -> ssl.SSLContext:
    return ssl.create_default_context()
