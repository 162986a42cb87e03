"""What can go wrong with the servers the program starts itself."""

from __future__ import annotations

from fastapi_ignite.core.errors import IgniteError


class EmbeddedServerError(IgniteError):
    """An embedded server cannot run; the message is one line that names the cause and the log file."""

    code = "embedded_server_error"
    title = "Embedded server error"
