"""Ports the API may listen on."""

from __future__ import annotations

import socket

from fastapi_ignite.core.errors import ConfigurationError


def require_free_port(host: str, port: int) -> None:
    """One clear line where the server would print a traceback."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ConfigurationError(
                f"{host}:{port} cannot be listened on ({error.strerror}): choose another with --port or PORT."
            ) from None
