"""Guarded requests over real connections: where they go, what they follow, and how long they take."""

import datetime
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from ansible_api.egress import Deadline, EgressDenied, EgressFailed, Policy, checked_addresses, exchange, get, post
from tests.servers.processes import free_port
from tests.servers.webhook_sink import Answer, WebhookSink
from tests.waiting import wait_for

TRIAL = Policy(allow_loopback=True)
Serve = Callable[[socket.socket], None]


def resolver(*answers: list[str]) -> Callable[[str, int], list[str]]:
    """A name server that gives these answers one after the other, and fails the test when asked once more."""
    waiting = iter(answers)
    return lambda host, port: next(waiting)


def send(url: str, timeout: float = 5, policy: Policy = TRIAL, **more):
    return post(url, b'{"id": 1}', {"Content-Type": "application/json"}, timeout, policy, **more)


@contextmanager
def serving(serve: Serve, context: ssl.SSLContext | None = None) -> Iterator[int]:
    """A server that hands each connection to `serve`; the port it listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=_accept, args=(listener, serve, context), daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join()


def _accept(listener: socket.socket, serve: Serve, context: ssl.SSLContext | None) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(10)
            try:
                secured = context.wrap_socket(connection, server_side=True) if context else connection
            except OSError:
                continue  # the client did not like the certificate
            with secured:
                try:
                    serve(secured)
                except OSError:
                    continue  # the client has gone, which is what most of these tests want


def answering(*parts: bytes, then: Serve = lambda connection: None) -> Serve:
    def serve(connection: socket.socket) -> None:
        received = b""
        while not received.endswith(b'{"id": 1}'):
            if not (block := connection.recv(65536)):
                return
            received += block
        for part in parts:
            connection.sendall(part)
        then(connection)

    return serve


def dripping(connection: socket.socket) -> None:
    """One byte at a time, for much longer than any test waits."""
    stop = time.monotonic() + 60
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    while time.monotonic() < stop:
        connection.sendall(b"x")
        time.sleep(0.02)


def flooding(connection: socket.socket) -> None:
    while True:
        connection.sendall(b"x" * 65536)


class TestWhereItGoes:
    def test_the_request_arrives_as_it_was_given(self, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(202, {"X-Id": "7"}, b"taken"))
        answer = send(webhook_sink.url)
        assert (answer.status, answer.headers["x-id"], answer.body) == (202, "7", b"taken")
        assert 0 < answer.duration < 5
        (received,) = webhook_sink.requests
        assert (received.method, received.path, received.body) == ("POST", "/hook", b'{"id": 1}')
        assert received.headers["Content-Type"] == "application/json"
        assert received.headers["Host"] == f"127.0.0.1:{webhook_sink.port}"

    def test_the_host_header_is_the_name_and_not_the_address(self, webhook_sink: WebhookSink):
        send(f"http://hooks.example:{webhook_sink.port}/a?b=c", resolver=resolver(["127.0.0.1"]))
        (received,) = webhook_sink.requests
        assert (received.headers["Host"], received.path) == (f"hooks.example:{webhook_sink.port}", "/a?b=c")

    def test_the_host_header_of_an_ipv6_address_has_its_brackets(self, webhook_sink: WebhookSink):
        send(f"http://[::1]:{webhook_sink.port}/", resolver=resolver(["127.0.0.1"]))
        assert webhook_sink.requests[0].headers["Host"] == f"[::1]:{webhook_sink.port}"

    def test_a_caller_cannot_choose_another_host_header(self, webhook_sink: WebhookSink):
        post(webhook_sink.url, b"", {"host": "admin.internal"}, 5, TRIAL)
        assert webhook_sink.requests[0].headers.get_all("Host") == [f"127.0.0.1:{webhook_sink.port}"]

    @pytest.mark.parametrize("bad", ["169.254.169.254", "10.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1"])
    def test_one_bad_address_among_good_ones_denies_them_all(self, webhook_sink: WebhookSink, bad: str):
        for addresses in (["127.0.0.1", bad], [bad, "127.0.0.1"]):
            with pytest.raises(EgressDenied):
                send(f"http://hooks.example:{webhook_sink.port}/", resolver=resolver(addresses))
        assert webhook_sink.requests == []

    def test_a_name_that_changes_its_address_is_called_at_the_checked_one(self, webhook_sink: WebhookSink):
        rebinding = resolver(["127.0.0.1"], ["169.254.169.254"])
        assert send(f"http://hooks.example:{webhook_sink.port}/", resolver=rebinding).status == 204
        assert rebinding("hooks.example", 80) == ["169.254.169.254"], "the name was resolved more than once"

    def test_the_next_address_is_tried_when_one_does_not_answer(self, webhook_sink: WebhookSink):
        # Nothing listens on 127.0.0.2: the sink is bound to 127.0.0.1 alone.
        both = resolver(["127.0.0.2", "127.0.0.1"])
        assert send(f"http://hooks.example:{webhook_sink.port}/", resolver=both).status == 204

    def test_the_real_resolver_is_checked_too(self, webhook_sink: WebhookSink):
        url = f"http://localhost:{webhook_sink.port}/"
        assert send(url).status == 204
        with pytest.raises(EgressDenied):
            send(url, policy=Policy())
        assert checked_addresses("127.0.0.1", 80, TRIAL, Deadline(5)) == [ip_address("127.0.0.1")]

    def test_a_redirect_is_an_answer_and_is_not_followed(self, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(307, {"Location": webhook_sink.url}))
        assert send(webhook_sink.url).status == 307
        assert len(webhook_sink.requests) == 1

    def test_a_proxy_in_the_environment_is_not_used(self, webhook_sink: WebhookSink, monkeypatch: pytest.MonkeyPatch):
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert send(webhook_sink.url).status == 204

    def test_a_header_cannot_carry_a_second_one(self, webhook_sink: WebhookSink):
        with pytest.raises(EgressDenied):
            post(webhook_sink.url, b"", {"X-A": "1\r\nX-B: 2"}, 5, TRIAL)


class TestHowItFails:
    def test_nobody_listens(self):
        with pytest.raises(EgressFailed, match="Connection refused"):
            send(f"http://127.0.0.1:{free_port()}/")

    def test_a_name_is_unknown(self):
        def unknown(host: str, port: int) -> list[str]:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        with pytest.raises(EgressFailed, match=r"hooks\.example cannot be resolved"):
            send("http://hooks.example/", resolver=unknown)

    def test_a_name_has_no_address(self):
        with pytest.raises(EgressFailed, match="no address"):
            send("http://hooks.example/", resolver=resolver([]))

    @pytest.mark.parametrize("answer", [b"", b"not http\r\n\r\n", b"HTTP/1.1 200 OK\r\nX: " + b"x" * 500_000])
    def test_what_comes_back_is_not_http(self, answer: bytes):
        with serving(answering(answer)) as port, pytest.raises(EgressFailed):
            send(f"http://127.0.0.1:{port}/")

    def test_a_failure_is_worth_another_attempt(self):
        assert EgressFailed().retryable
        assert not EgressDenied().retryable


class TestHowLongItTakes:
    LIMIT = 0.5

    @contextmanager
    def within_the_limit(self) -> Iterator[None]:
        began = time.monotonic()
        yield
        assert self.LIMIT * 0.9 < time.monotonic() - began < self.LIMIT + 1

    @pytest.mark.parametrize(
        "start",
        [b"", b"HTTP/1.1 200 OK\r\nX-Long: ", b"HTTP/1.1 100 Continue\r\n\r\n" * 3],
        ids=["status line", "header", "interim answers"],
    )
    def test_a_dripping_head_ends_at_the_limit(self, start: bytes):
        refused = pytest.raises(EgressFailed, match=r"within 0\.5 s")
        with serving(answering(start, then=dripping)) as port, self.within_the_limit(), refused:
            send(f"http://127.0.0.1:{port}/", timeout=self.LIMIT)

    def test_a_dripping_body_ends_at_the_limit_and_the_status_counts(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n"
        with serving(answering(head, then=dripping)) as port, self.within_the_limit():
            answer = send(f"http://127.0.0.1:{port}/", timeout=self.LIMIT)
        assert answer.status == 200
        assert 0 < len(answer.body) < 1024

    def test_silence_ends_at_the_limit(self, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(delay=60))
        with self.within_the_limit(), pytest.raises(EgressFailed):
            send(webhook_sink.url, timeout=self.LIMIT)

    def test_a_server_that_does_not_read_ends_at_the_limit(self):
        with socket.create_server(("127.0.0.1", 0)) as deaf, self.within_the_limit(), pytest.raises(EgressFailed):
            post(f"http://127.0.0.1:{deaf.getsockname()[1]}/", b"x" * 50_000_000, {}, self.LIMIT, TRIAL)

    def test_a_handshake_that_never_ends_ends_at_the_limit(self):
        with socket.create_server(("127.0.0.1", 0)) as deaf, self.within_the_limit(), pytest.raises(EgressFailed):
            send(f"https://127.0.0.1:{deaf.getsockname()[1]}/", timeout=self.LIMIT)

    def test_a_slow_name_server_ends_at_the_limit(self):
        done = threading.Event()

        def slow(host: str, port: int) -> list[str]:
            done.wait(60)
            return []

        with self.within_the_limit(), pytest.raises(EgressFailed):
            send("http://hooks.example/", timeout=self.LIMIT, resolver=slow)
        done.set()


class TestHowMuchComesBack:
    def test_a_huge_body_is_cut_to_its_first_kilobyte(self):
        head = b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000000\r\n\r\n"
        with serving(answering(head, then=flooding)) as port:
            answer = send(f"http://127.0.0.1:{port}/")
        assert answer.body == b"x" * 1024
        assert answer.duration < 2

    def test_a_body_that_breaks_off_does_not_unsay_the_status(self):
        with serving(answering(b"HTTP/1.1 201 Created\r\nContent-Length: 100\r\n\r\nhalf")) as port:
            answer = send(f"http://127.0.0.1:{port}/")
        assert (answer.status, answer.body) == (201, b"half")

    def test_a_whole_body_is_given_up_to_its_limit(self, webhook_sink: WebhookSink):
        webhook_sink.default = Answer(200, body=b"x" * 5000)
        assert get(webhook_sink.url, {}, 5, TRIAL, limit=5000).body == b"x" * 5000
        with pytest.raises(EgressFailed, match="larger than 4999 bytes"):
            get(webhook_sink.url, {}, 5, TRIAL, limit=4999)

    def test_a_whole_body_that_breaks_off_is_a_failure(self):
        def cut(connection: socket.socket) -> None:
            connection.recv(65536)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")

        with serving(cut) as port, pytest.raises(EgressFailed):
            get(f"http://127.0.0.1:{port}/", {}, 5, TRIAL, limit=5000)

    def test_compressed_answers_are_neither_asked_for_nor_taken(self, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(200, {"Content-Encoding": "gzip"}, b"\x1f\x8b"))
        with pytest.raises(EgressFailed, match="compressed"):
            get(webhook_sink.url, {"Accept-Encoding": "gzip"}, 5, TRIAL, limit=5000)
        assert webhook_sink.requests[0].headers["Accept-Encoding"] == "identity"


class TestTls:
    @pytest.fixture
    def certificate(self, tmp_path: Path) -> Path:
        """Key and self-signed certificate of hooks.example in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "tests")])
        now = datetime.datetime.now(datetime.UTC)
        certificate = (
            x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("hooks.example")]), critical=False)
            .sign(key, hashes.SHA256())
        )
        pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
        path = tmp_path / "certificate.pem"
        path.write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()) + certificate.public_bytes(pem))
        return path

    @pytest.fixture
    def asked_for(self) -> list[str | None]:
        """The names that clients asked the server for (SNI)."""
        return []

    @pytest.fixture
    def port(self, certificate: Path, asked_for: list[str | None]) -> Iterator[int]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        context.sni_callback = lambda connection, name, _: asked_for.append(name)
        with serving(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"), context) as port:
            yield port

    @pytest.fixture
    def trusting(self, certificate: Path) -> ssl.SSLContext:
        return ssl.create_default_context(cadata=certificate.read_text().partition("-----END PRIVATE KEY-----\n")[2])

    def test_name_and_certificate_are_those_of_the_url(
        self, port: int, trusting: ssl.SSLContext, asked_for: list[str | None]
    ):
        to = resolver(["127.0.0.1"])
        answer = send(f"https://hooks.example:{port}/", resolver=to, ssl_context=trusting)
        assert (answer.status, answer.body, asked_for) == (200, b"ok", ["hooks.example"])

    def test_a_certificate_of_another_name_is_refused(self, port: int, trusting: ssl.SSLContext):
        to = resolver(["127.0.0.1"])
        with pytest.raises(EgressFailed, match=r"not valid for 'other\.example'"):
            send(f"https://other.example:{port}/", resolver=to, ssl_context=trusting)

    def test_a_certificate_that_nobody_vouches_for_is_refused(self, port: int):
        with pytest.raises(EgressFailed, match="self-signed"):
            send(f"https://hooks.example:{port}/", resolver=resolver(["127.0.0.1"]))

    def test_plain_http_on_the_port_is_a_failure(self, webhook_sink: WebhookSink):
        with pytest.raises(EgressFailed, match="no TLS with"):
            send(f"https://127.0.0.1:{webhook_sink.port}/")
        assert wait_for(lambda: webhook_sink.requests == [])


class TestExchange:
    @pytest.mark.parametrize("method", ["GET", "PUT", "LIST", "DELETE"])
    def test_the_method_and_the_body_arrive(self, webhook_sink: WebhookSink, method: str):
        webhook_sink.answer(Answer(200, {}, b"x" * 100))
        if method == "LIST":  # the sink does not know it, and says so
            assert exchange(method, webhook_sink.url, None, {}, 5, TRIAL, limit=10_000).status == 501
            return
        answer = exchange(method, webhook_sink.url, b"body", {}, 5, TRIAL, limit=100)
        assert (answer.status, answer.body) == (200, b"x" * 100)
        assert (webhook_sink.requests[0].method, webhook_sink.requests[0].body) == (method, b"body")

    def test_a_body_over_the_limit_is_cut_off_only_when_that_was_asked_for(self, webhook_sink: WebhookSink):
        webhook_sink.answer(*[Answer(200, {}, b"x" * 101)] * 2)
        assert exchange("GET", webhook_sink.url, None, {}, 5, TRIAL, limit=100, cut=True).body == b"x" * 100
        with pytest.raises(EgressFailed, match="larger than 100 bytes"):
            exchange("GET", webhook_sink.url, None, {}, 5, TRIAL, limit=100)

    @pytest.mark.parametrize(
        "value", ["canary\n", "canary\r\nX: y", "canary\x00", " canary\x7f", "canary-é", "canary-€"]
    )
    def test_a_header_that_cannot_be_sent_is_not_quoted(self, webhook_sink: WebhookSink, value: str):
        with pytest.raises(EgressDenied) as caught:
            get(webhook_sink.url, {"Authorization": value}, 5, TRIAL, limit=100)
        assert "canary" not in caught.value.detail + repr(caught.value.__cause__)
        assert webhook_sink.requests == []
