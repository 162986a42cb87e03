"""Free ports on the loopback address."""

from __future__ import annotations

import random
import socket

from embedded_services.errors import EmbeddedServerError
from embedded_services.state_files import LOOPBACK

# Below the ranges from which Linux (32768) and macOS (49152) give ports to outgoing connections: a port
# remembered from there would often be taken when the servers come back.
CANDIDATES = range(18_000, 32_000)
ATTEMPTS = 200


def choose_port(remembered: int) -> int:
    """The remembered port when it is free, so that connection strings stay valid over a restart; else another."""
    if remembered and port_is_free(remembered):
        return remembered
    for _ in range(ATTEMPTS):
        port = random.choice(CANDIDATES)  # noqa: S311  # spreads instances, guards nothing
        if port_is_free(port):
            return port
    raise EmbeddedServerError(f"no free port found on {LOOPBACK} between {CANDIDATES.start} and {CANDIDATES.stop}")


def port_is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # as the servers do: a port that only has old connections in TIME_WAIT counts as free
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True
