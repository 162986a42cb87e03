"""Check that the API can listen on a port."""

from __future__ import annotations

import socket
import time

import typer

from fastapi_ignite.core.errors import ConfigurationError

POLL_SECONDS = 0.1


def wait_for_free_port(host: str, port: int, *, seconds: float) -> None:
    """Wait until nobody listens on the port. Raise a ConfigurationError if it is still in use after that time."""
    deadline = time.monotonic() + seconds
    told = False
    while time.monotonic() < deadline:
        try:
            require_free_port(host, port)
        except ConfigurationError:
            if not told:
                typer.echo(f"Port {port} is in use by a stack that was killed. Waiting until its processes have ended.")
                told = True
            time.sleep(POLL_SECONDS)
        else:
            return
    require_free_port(host, port)


def require_free_port(host: str, port: int) -> None:
    """Raise a ConfigurationError if the port is in use. The server itself would print a traceback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another port with --port or PORT."
            ) from None
