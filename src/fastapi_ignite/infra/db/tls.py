"""TLS to PostgreSQL. The URL carries `sslmode` and `sslrootcert` as in libpq; here they become driver options."""

from __future__ import annotations

import ssl
from typing import Any

from sqlalchemy import URL

from fastapi_ignite.core.errors import ConfigurationError

MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
SYSTEM_AUTHORITIES = "system"
_MODE, _AUTHORITIES = "sslmode", "sslrootcert"


def with_tls(url: URL, mode: str | None, authorities: str | None) -> URL:
    """Add these parameters if the URL has none. Without a mode the driver tries TLS, and works without it too."""
    wanted = {_MODE: mode, _AUTHORITIES: authorities}
    return url.update_query_dict({name: value for name, value in wanted.items() if value and name not in url.query})


def with_mode(url: URL, mode: str | None) -> URL:
    """Replace the TLS mode of the URL, if `mode` is given."""
    return url.update_query_dict({_MODE: mode}) if mode else url


def tls_options(url: URL) -> tuple[URL, dict[str, Any]]:
    """Return the URL for the driver, and the options for the TLS mode in the URL.

    Raises:
        ConfigurationError: the file of certificate authorities cannot be read.
    """
    mode, authorities = url.query.get(_MODE), url.query.get(_AUTHORITIES)
    address = url.difference_update_query([_MODE, _AUTHORITIES])
    if mode is None:
        return address, {}
    verified = mode in {"verify-ca", "verify-full"} or (mode == "require" and authorities is not None)
    if not verified:
        return address, {"ssl": mode}
    context = _context(str(authorities or SYSTEM_AUTHORITIES))
    context.check_hostname = mode == "verify-full"
    return address, {"ssl": context}


def _context(authorities: str) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if authorities == SYSTEM_AUTHORITIES else authorities)
    except (OSError, ValueError) as error:  # an SSLError (the file has no certificate) is an OSError
        raise ConfigurationError(f"POSTGRES_SSLROOTCERT: {authorities} holds no certificates: {error}") from error
