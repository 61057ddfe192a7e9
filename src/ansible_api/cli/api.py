"""`ansible-api api`: serve the REST API."""

import os
import socket
from typing import Annotated

import typer

from ansible_api import loading
from ansible_api.logs import configure_logs
from ansible_api.settings import load_settings

app = typer.Typer(add_completion=False)
GRACE = 5


@app.command()
def api(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port to listen on.")] = 8000,
    fd: Annotated[int | None, typer.Option(help="Listen on this inherited socket instead.")] = None,
) -> None:
    """Serve the REST API: one process; start as many as you need behind a load balancer."""
    loading.begin()
    import uvicorn

    from ansible_api.api.app import create_app

    settings = load_settings()
    configure_logs(settings.log_level)
    if fd is not None:
        _send_at_once(fd)
    served = create_app(settings)
    loading.end()
    uvicorn.run(
        served,
        host=host,
        port=port,
        fd=fd,
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=GRACE,
    )


def _send_at_once(fd: int) -> None:
    """Have connections of an inherited socket sent without delay: asyncio sees to that only for its own sockets.

    An answer is two writes, head and body; with Nagle's algorithm the second waits 40 ms.
    """
    with socket.socket(fileno=os.dup(fd)) as listener:
        if listener.family != socket.AF_UNIX:
            listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
