import socket

from ansible_api.cli.api import _send_at_once


def test_connections_of_an_inherited_socket_are_sent_without_delay() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _send_at_once(listener.fileno())
        with socket.create_connection(listener.getsockname()), listener.accept()[0] as accepted:
            assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_unix_socket_is_left_as_it_is() -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        _send_at_once(listener.fileno())
        assert listener.fileno() >= 0
