"""PostgreSQL and Valkey, started by the program itself from Python wheels.

Servers of a data folder run while somebody holds a lease on it: the first `acquire` starts them, the last process to
go stops them. A guardian process in between watches both.
"""

from __future__ import annotations

from embedded_services.errors import EmbeddedServerError
from embedded_services.lease import EmbeddedLease, acquire
from embedded_services.state_files import EmbeddedEndpoints
from embedded_services.status import EmbeddedStatus, status

__all__ = ["EmbeddedEndpoints", "EmbeddedLease", "EmbeddedServerError", "EmbeddedStatus", "acquire", "status"]
