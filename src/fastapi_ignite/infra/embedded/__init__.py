"""PostgreSQL and Valkey, started by the program itself from Python wheels.

Servers of a data folder run while somebody holds a lease on it: the first `acquire` starts them, the last process to
go stops them. A guardian process in between watches both.
"""

from __future__ import annotations

from fastapi_ignite.infra.embedded.errors import EmbeddedServerError
from fastapi_ignite.infra.embedded.lease import EmbeddedLease, acquire
from fastapi_ignite.infra.embedded.records import EmbeddedEndpoints
from fastapi_ignite.infra.embedded.status import EmbeddedStatus, status

__all__ = ["EmbeddedEndpoints", "EmbeddedLease", "EmbeddedServerError", "EmbeddedStatus", "acquire", "status"]
