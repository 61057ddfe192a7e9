"""The guarded proxy over real connections: whom it lets in, where it goes, and what is left when it is closed."""

import http.client
import os
import socket
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from ansible_api.egress import DENIED, Policy, guarded_proxy
from ansible_api.egress.proxy import HEAD_LIMIT, MOST_CONNECTIONS
from ansible_api.execution import tunnel
from tests.servers.processes import free_port
from tests.servers.webhook_sink import Answer, WebhookSink
from tests.waiting import wait_for

TRIAL = Policy(allow_private=True, allow_loopback=True)


def proxy_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("egress-proxy")]


@pytest.fixture
def proxy() -> Iterator[str]:
    with guarded_proxy(TRIAL, timeout=20) as url:
        yield url
    assert proxy_threads() == []


@contextmanager
def echo() -> Iterator[int]:
    """A server that sends back what it gets, until the client has no more to say."""

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                while piece := connection.recv(65536):
                    connection.sendall(piece)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def fetch(proxy: str, url: str, data: bytes | None = None) -> tuple[int, str, bytes]:
    """Status, reason and body of a request that urllib sends through the proxy."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy, "https": proxy}))
    try:
        with opener.open(urllib.request.Request(url, data), timeout=10) as answer:
            return answer.status, answer.reason, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.reason, error.read()


def login(proxy: str) -> str:
    parts = urlsplit(proxy)
    return f"Proxy-Authorization: Basic {b64encode(f'{parts.username}:{parts.password}'.encode()).decode()}\r\n"


@contextmanager
def spoken(proxy: str, text: str) -> Iterator[tuple[socket.socket, str]]:
    """A connection on which this was said, and the head of what came back."""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy).port or 0), 10) as connection:
        connection.sendall(text.encode())
        head = b""
        while b"\r\n\r\n" not in head and (piece := connection.recv(1)):
            head += piece
        yield connection, head.decode()


def connect(host: str, port: int, proxy: str) -> str:
    return f"CONNECT {host}:{port} HTTP/1.1\r\n{login(proxy)}\r\n"


def names(*answers: list[str]) -> Callable[[str, int], list[str]]:
    waiting = iter(answers)
    return lambda host, port: next(waiting)


class TestWhatItServes:
    def test_a_plain_request_arrives_without_what_was_meant_for_the_proxy(self, proxy: str, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(201, {"X-Id": "7"}, b"taken"))
        assert fetch(proxy, webhook_sink.url, b"x" * 300_000) == (201, "Created", b"taken")
        (received,) = webhook_sink.requests
        assert (received.method, received.path, received.body) == ("POST", "/hook", b"x" * 300_000)
        assert received.headers["Host"] == f"127.0.0.1:{webhook_sink.port}"
        assert "Proxy-Authorization" not in received.headers

    def test_the_answer_ends_the_connection_whatever_the_server_says(self, proxy: str, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(200, {"Connection": "keep-alive", "Keep-Alive": "timeout=5"}, b"ok"))
        with spoken(proxy, f"GET {webhook_sink.url} HTTP/1.1\r\n{login(proxy)}\r\n") as (_, head):
            assert "Connection: close" in head
            assert "eep-" not in head

    def test_a_tunnel_carries_bytes_both_ways_and_ends_with_its_sides(self, proxy: str):
        with echo() as port, spoken(proxy, connect("127.0.0.1", port, proxy)) as (connection, head):
            assert head.startswith("HTTP/1.1 200 ")
            sent = os.urandom(3_000_000)
            writer = threading.Thread(target=lambda: (connection.sendall(sent), connection.shutdown(socket.SHUT_WR)))
            writer.start()
            received = b"".join(iter(lambda: connection.recv(65536), b""))
            writer.join()
            assert received == sent

    def test_ssh_and_the_like_go_through_it_by_a_command(self, proxy: str):
        with echo() as port:
            argv = [sys.executable, "-I", str(tunnel.PROGRAM), "127.0.0.1", str(port)]
            done = subprocess.run(argv, env={tunnel.VARIABLE: proxy}, input=b"hello" * 9999, capture_output=True)
        assert (done.returncode, done.stdout) == (0, b"hello" * 9999)

    def test_the_command_tells_why_it_was_denied(self):
        with guarded_proxy(Policy()) as proxy:
            argv = [sys.executable, "-I", str(tunnel.PROGRAM), "127.0.0.1", "22"]
            done = subprocess.run(argv, env={tunnel.VARIABLE: proxy}, input="", capture_output=True, text=True)
        assert done.returncode == 1
        assert done.stderr == f"proxy: 403 {DENIED}: 127.0.0.1 is loopback: not allowed\n"


class TestWhatItRefuses:
    @pytest.mark.parametrize("given", ["", "Proxy-Authorization: Basic am9iOndyb25n\r\n", "Authorization: Basic x\r\n"])
    def test_nobody_without_the_password_is_served(self, proxy: str, webhook_sink: WebhookSink, given: str):
        for line in (f"GET {webhook_sink.url} HTTP/1.1", f"CONNECT 127.0.0.1:{webhook_sink.port} HTTP/1.1"):
            with spoken(proxy, f"{line}\r\n{given}\r\n") as (_, head):
                assert head.startswith("HTTP/1.1 407 ")
                assert "Proxy-Authenticate: Basic" in head
        assert webhook_sink.requests == []

    @pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "2130706433", "[::1]", "169.254.169.254", "0.0.0.0"])
    def test_denied_destinations_are_not_reached(self, webhook_sink: WebhookSink, host: str):
        with guarded_proxy(Policy()) as proxy:
            status, reason, _ = fetch(proxy, f"http://{host}:{webhook_sink.port}/hook")
            assert (status, reason.startswith(f"{DENIED}: ")) == (403, True)
            with pytest.raises(OSError, match=f"403 {DENIED}: "):
                fetch(proxy, f"https://{host}:{webhook_sink.port}/hook")
        assert webhook_sink.requests == []

    def test_one_bad_address_among_good_ones_denies_them_all(self, webhook_sink: WebhookSink):
        answers = names(["127.0.0.1", "169.254.169.254"], ["169.254.169.254", "127.0.0.1"])
        with guarded_proxy(TRIAL, resolver=answers) as proxy:
            for _ in range(2):
                assert fetch(proxy, f"http://hooks.example:{webhook_sink.port}/")[0] == 403
        assert webhook_sink.requests == []

    def test_a_name_that_changes_its_address_is_called_at_the_checked_one(self, webhook_sink: WebhookSink):
        rebinding = names(["127.0.0.1"], ["169.254.169.254"])
        with guarded_proxy(TRIAL, resolver=rebinding) as proxy:
            assert fetch(proxy, f"http://hooks.example:{webhook_sink.port}/")[0] == 204
            assert fetch(proxy, f"http://hooks.example:{webhook_sink.port}/")[0] == 403
        assert [request.headers["Host"] for request in webhook_sink.requests] == [f"hooks.example:{webhook_sink.port}"]

    def test_what_cannot_be_reached_is_a_gateway_timeout(self, proxy: str):
        status, reason, _ = fetch(proxy, f"http://127.0.0.1:{free_port()}/")
        assert (status, "Connection refused" in reason) == (504, True)

    @pytest.mark.parametrize(
        ("line", "status"),
        [
            ("GET / HTTP/1.1", 403),
            ("GET https://127.0.0.1/ HTTP/1.1", 400),
            ("GET ftp://127.0.0.1/ HTTP/1.1", 403),
            ("GET http://a:b@127.0.0.1/ HTTP/1.1", 403),
            ("CONNECT 127.0.0.1 HTTP/1.1", 400),
            ("CONNECT 127.0.0.1:99999 HTTP/1.1", 400),
            ("CONNECT 127.0.0.1:-1 HTTP/1.1", 400),
            ("nonsense", 400),
            ("GET http://127.0.0.1/ HTTP/1.1\r\nX: 1\r\n folded: 2", 400),
            ("GET http://127.0.0.1/ HTTP/1.1\r\nX: " + "x" * (HEAD_LIMIT + 70_000), 431),
        ],
    )
    def test_what_is_no_request_for_a_proxy_is_refused(self, proxy: str, line: str, status: int):
        with spoken(proxy, f"{line}\r\n{login(proxy)}\r\n") as (_, head):
            assert head.startswith(f"HTTP/1.1 {status} ")


class TestItsEnd:
    def test_no_connection_and_no_thread_outlives_it(self):
        with echo() as port:
            with guarded_proxy(TRIAL) as proxy:
                speaking = spoken(proxy, connect("127.0.0.1", port, proxy))
                connection, head = speaking.__enter__()
                assert "200" in head
                silent = socket.create_connection(("127.0.0.1", urlsplit(proxy).port or 0))
                assert wait_for(lambda: len(proxy_threads()) == 3)
            assert proxy_threads() == []
            assert connection.recv(1) == b""
            assert silent.recv(1) == b""
            silent.close()
            speaking.__exit__(None, None, None)

    def test_a_connection_ends_at_its_limit(self):
        with (
            echo() as port,
            guarded_proxy(TRIAL, timeout=0.5) as proxy,
            spoken(proxy, connect("127.0.0.1", port, proxy)) as (connection, head),
        ):
            assert "200" in head
            assert connection.recv(1) == b""

    def test_more_connections_than_it_takes_are_closed_and_the_others_served(self, proxy: str):
        address = ("127.0.0.1", urlsplit(proxy).port or 0)
        held = [socket.create_connection(address, 10) for _ in range(MOST_CONNECTIONS)]
        assert wait_for(lambda: len(proxy_threads()) == MOST_CONNECTIONS + 1)
        with socket.create_connection(address, 10) as one_more:
            assert one_more.recv(1) == b""
        for connection in held:
            connection.close()
        assert wait_for(lambda: len(proxy_threads()) == 1)
        with echo() as port, spoken(proxy, connect("127.0.0.1", port, proxy)) as (_, head):
            assert "200" in head

    def test_http_clients_get_a_whole_answer_of_unknown_length(self, proxy: str, webhook_sink: WebhookSink):
        webhook_sink.answer(Answer(200, {}, b"y" * 200_000))
        parts = urlsplit(proxy)
        client = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
        name, _, value = login(proxy).strip().partition(": ")
        client.request("GET", webhook_sink.url, headers={name: value, "Expect": "100-continue"})
        assert len(client.getresponse().read()) == 200_000
        client.close()


def test_what_is_refused_is_told_to_who_opened_the_proxy() -> None:
    told: list[tuple[int, str]] = []
    gone = free_port()
    with guarded_proxy(Policy(allow_loopback=True), refused=lambda *refusal: told.append(refusal)) as url:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": url}))
        for target in ("http://169.254.169.254/", f"http://127.0.0.1:{gone}/"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                opener.open(target, timeout=10)
            caught.value.close()
    assert [status for status, _ in told] == [403, 504]
    assert "169.254.169.254" in told[0][1]
    assert str(gone) in told[1][1]
