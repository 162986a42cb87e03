"""The one exception of this package."""

from __future__ import annotations


class EmbeddedServerError(Exception):
    """An embedded server cannot run. The message is one line that names the cause and, where there is one, the log."""
