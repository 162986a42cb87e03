"""The format of API keys and admin keys: a prefix that names the kind, a secret, and a checksum.

The format follows GitHub's tokens. A secret scanner recognises a leaked key by its prefix and checksum, and a mistyped
key is refused without a database query. Only an HMAC of a key is stored.
"""

from __future__ import annotations

import hmac
import re
import secrets
import string
import zlib
from uuid import UUID

from fastapi_ignite.core.config import Settings

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_CHARACTERS = 43  # 256 bits
ID_CHARACTERS = 22  # 128 bits
CHECKSUM_CHARACTERS = 6
ADMIN_PREFIX = "ign_admin_"
_FORM = re.compile(
    rf"(?P<prefix>ign_(?:live|test|admin)_)(?P<tenant>[0-9A-Za-z]{{{ID_CHARACTERS}}})?"
    rf"[0-9A-Za-z]{{{SECRET_CHARACTERS}}}(?P<checksum>[0-9A-Za-z]{{{CHECKSUM_CHARACTERS}}})"
)


def tenant_prefix(settings: Settings) -> str:
    """Return the prefix of this environment. It makes a development key fail in production, and the reverse."""
    return "ign_live_" if settings.app.production else "ign_test_"


def new_tenant_key(tenant_id: UUID, settings: Settings) -> str:
    """Make a key. It contains the tenant's id, so that row-level security applies when the key is looked up."""
    return _new_key(tenant_prefix(settings) + _base62(tenant_id.int, ID_CHARACTERS))


def new_admin_key() -> str:
    return _new_key(ADMIN_PREFIX)


def tenant_id_in_key(key: str, settings: Settings) -> UUID | None:
    """Return the tenant id in a well-formed key of this environment, or None. The key itself may still be unknown."""
    form = _well_formed(key)
    if form is None or form["prefix"] != tenant_prefix(settings) or form["tenant"] is None:
        return None
    number = 0
    for character in form["tenant"]:
        number = number * len(ALPHABET) + ALPHABET.index(character)
    return UUID(int=number) if number < 1 << 128 else None


def is_admin_key(key: str) -> bool:
    """Tell whether the text has the format of an admin key; it may still be unknown."""
    form = _well_formed(key)
    return form is not None and form["prefix"] == ADMIN_PREFIX and form["tenant"] is None


def key_digest(key: str, settings: Settings) -> bytes:
    """Return what is stored: HMAC-SHA256 with `API_KEY_SECRET`, or with a secret derived from `JWT_SECRET`."""
    if settings.api_key.secret:
        secret = settings.api_key.secret.get_secret_value().encode()
    else:
        secret = hmac.digest(settings.jwt.secret.get_secret_value().encode(), b"fastapi-ignite:api-keys", "sha256")
    return hmac.digest(secret, key.encode(), "sha256")


def key_hint(key: str) -> str:
    """Return the last characters, by which people can tell keys apart in a list."""
    return key[-4:]


def _new_key(beginning: str) -> str:
    key = beginning + "".join(secrets.choice(ALPHABET) for _ in range(SECRET_CHARACTERS))
    return key + _checksum(key)


def _well_formed(key: str) -> re.Match[str] | None:
    form = _FORM.fullmatch(key)
    return form if form and form["checksum"] == _checksum(key[:-CHECKSUM_CHARACTERS]) else None


def _checksum(text: str) -> str:
    return _base62(zlib.crc32(text.encode()), CHECKSUM_CHARACTERS)


def _base62(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, len(ALPHABET))
        digits = ALPHABET[digit] + digits
    return digits
