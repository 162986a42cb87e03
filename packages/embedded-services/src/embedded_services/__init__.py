"""This package runs PostgreSQL and Valkey out of Python wheels, for a program that needs no installed server.

The servers of a data folder run while any process holds a lease on it. The first `acquire` starts them; when the last
lease ends, they stop. A guardian process watches both.
"""

from __future__ import annotations

from embedded_services.errors import EmbeddedServerError
from embedded_services.lease import EmbeddedLease, acquire
from embedded_services.state_files import EmbeddedEndpoints
from embedded_services.status import EmbeddedStatus, status

__all__ = ["EmbeddedEndpoints", "EmbeddedLease", "EmbeddedServerError", "EmbeddedStatus", "acquire", "status"]
