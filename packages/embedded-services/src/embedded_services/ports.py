"""Finds free ports on the loopback address."""

from __future__ import annotations

import random
import socket

from embedded_services.errors import EmbeddedServerError
from embedded_services.state_files import LOOPBACK

# They are below the ports that Linux (from 32768) and macOS (from 49152) give to outgoing connections. A remembered
# port of those ranges would often be taken when the servers start again.
CANDIDATES = range(18_000, 32_000)
ATTEMPTS = 200


def choose_port(remembered: int) -> int:
    """Return the remembered port if it is free, so that addresses stay valid over a restart, or else another."""
    if remembered and port_is_free(remembered):
        return remembered
    for _ in range(ATTEMPTS):
        port = random.choice(CANDIDATES)  # noqa: S311  # it only spreads the instances
        if port_is_free(port):
            return port
    raise EmbeddedServerError(f"no free port found on {LOOPBACK} between {CANDIDATES.start} and {CANDIDATES.stop}")


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # the servers set it too: a port with connections in TIME_WAIT only is free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
