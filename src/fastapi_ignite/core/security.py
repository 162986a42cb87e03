"""Who is calling: the verified claims of a bearer token."""

from __future__ import annotations

import hmac
import warnings
from dataclasses import dataclass
from uuid import UUID

import jwt

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import IgniteError

ALGORITHM = "HS256"
LEEWAY_SECONDS = 30
MAX_TOKEN_CHARACTERS = 8192

# Only the seed's development secret is short; production refuses it, so PyJWT need not say so at every request.
warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)


class InvalidTokenError(IgniteError):
    """No bearer token, or one that does not verify."""

    status = 401
    code = "invalid_token"
    title = "Not authenticated"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant a request acts for. Nothing but the token says who that is."""

    tenant_id: UUID


def bearer_token(authorization: str | None) -> str:
    """The token of an `Authorization` header."""
    if not authorization:
        raise InvalidTokenError("The Authorization header is missing; send 'Authorization: Bearer <token>'.")
    scheme, _, token = authorization.partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidTokenError("The Authorization header is not 'Bearer <token>'.")
    return token


def verify_token(token: str, settings: Settings) -> Principal:
    """The principal of a JWT signed with `JWT_SECRET`.

    `exp` and `nbf` count when present; production requires `exp`.
    """
    try:
        claims = jwt.decode(
            token,
            settings.jwt.secret.get_secret_value(),
            algorithms=[ALGORITHM],
            leeway=LEEWAY_SECONDS,
            options={"require": ["exp"] if settings.app.production else [], "verify_aud": False, "verify_iat": False},
        )
    except jwt.ExpiredSignatureError:
        raise InvalidTokenError("The token has expired.") from None
    except jwt.PyJWTError:
        raise InvalidTokenError("The token does not verify.") from None
    tenant_id = claims.get("tenant_id")
    if not isinstance(tenant_id, str):
        raise InvalidTokenError("The token has no tenant_id claim.")
    try:
        return Principal(tenant_id=UUID(tenant_id))
    except ValueError:
        raise InvalidTokenError("The token's tenant_id is not a UUID.") from None


def sign_token(tenant_id: UUID, settings: Settings, *, expires_at: int | None = None) -> str:
    """A token as the command line hands it out; `expires_at` is Unix seconds."""
    claims: dict[str, str | int] = {"tenant_id": str(tenant_id)}
    if expires_at is not None:
        claims["exp"] = expires_at
    return jwt.encode(claims, settings.jwt.secret.get_secret_value(), algorithm=ALGORITHM)


def is_admin_key(token: str, settings: Settings) -> bool:
    """Constant-time comparison with `ADMIN_KEY`; false where none is set."""
    expected = settings.app.admin_key
    return expected is not None and hmac.compare_digest(token.encode(), expected.get_secret_value().encode())
