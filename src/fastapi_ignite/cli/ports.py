"""Check that the API can listen on a port."""

from __future__ import annotations

import socket

from fastapi_ignite.core.errors import ConfigurationError


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
