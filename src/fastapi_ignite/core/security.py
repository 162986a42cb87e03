"""Who is calling: the verified claims of a bearer token."""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt

from fastapi_ignite.core.audit_context import Actor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError, IgniteError, UnavailableError
from fastapi_ignite.core.permissions import Role, Scope, granted
from fastapi_ignite.core.token_format import StrictTokens, token_header

SHARED_ALGORITHM = "HS256"
PUBLIC_ALGORITHMS = ("RS256", "ES256")
# RFC 8725 3.11: a token that says it is something else (a logout token, a DPoP proof) is no access token
TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
MAX_TOKEN_CHARACTERS = 8192
MAX_KEY_ID_CHARACTERS = 200
MAX_SUBJECT_CHARACTERS = 200

# Only the seed's development secret is short; production refuses it, so PyJWT need not say so at every request.
warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)


class InvalidTokenError(IgniteError):
    """No bearer token, or one that does not verify."""

    status = 401
    code = "invalid_token"
    title = "Not authenticated"

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class KeysUnavailableError(UnavailableError):
    """The identity provider's keys are not known and cannot be fetched."""

    code = "identity_provider_unavailable"
    title = "Identity provider unavailable"


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant a request acts for, and what it may do. Nothing but the bearer says who that is."""

    tenant_id: UUID
    scopes: frozenset[Scope]
    actor: Actor


class KeySource(Protocol):
    """Public keys of an identity provider."""

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """The key of this id; None when the provider does not have it.

        Raises:
            KeysUnavailableError: that cannot be known at the moment.
        """
        ...


def bearer_token(authorization: Sequence[str]) -> str:
    """The token of the request's `Authorization` headers, of which there is to be one."""
    if not authorization:
        raise InvalidTokenError("The Authorization header is missing; send 'Authorization: Bearer <token>'.")
    if len(authorization) > 1:
        raise InvalidTokenError("The request has more than one Authorization header.")
    scheme, _, token = authorization[0].partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidTokenError("The Authorization header is not 'Bearer <token>'.")
    return token


class TokenVerifier:
    """One family of algorithms: the shared secret's, or with a key source the public ones, never both.

    Settings and the token's `kid` alone decide which key it is checked with; `jku`, `x5u` and `jwk` are not read.
    """

    def __init__(self, settings: Settings, *, keys: KeySource | None = None) -> None:
        self._settings = settings.jwt
        self._longest = settings.longest_token_lifetime
        wants_end = settings.app.production or self._longest is not None
        self._required = sorted({*self._settings.required_claims, *(["exp"] if wants_end else [])})
        self._keys = keys
        self._tokens = StrictTokens()

    async def verify(self, token: str) -> Principal:
        """The principal of a JWT. `exp`, `nbf` and `iat` count when present.

        Raises:
            InvalidTokenError: it does not verify; the detail says no more than the caller may know.
            KeysUnavailableError: the identity provider's keys are not known.
        """
        try:
            key, algorithm = await self._key(token_header(token))
            claims = self._tokens.decode(
                token,
                key,
                algorithms=[algorithm],
                leeway=self._settings.leeway_seconds,
                issuer=self._settings.issuer,
                audience=list(self._settings.audience) or None,
                options={"require": self._required, "verify_aud": bool(self._settings.audience)},
            )
        except jwt.ExpiredSignatureError:
            raise InvalidTokenError("The token has expired.") from None
        except (jwt.PyJWTError, ValueError, TypeError, OverflowError, RecursionError):
            # a header and a payload are any text: some of it Python cannot hold
            raise InvalidTokenError("The token does not verify.") from None
        self._require_short_life(claims)
        return self._principal(claims)

    async def _key(self, header: dict[str, Any]) -> tuple[Any, str]:
        kind = header.get("typ", "JWT")
        if not isinstance(kind, str) or kind.lower() not in TOKEN_TYPES:
            raise jwt.InvalidTokenError
        if self._keys is None:
            return self._settings.secret.get_secret_value(), SHARED_ALGORITHM
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in PUBLIC_ALGORITHMS or not isinstance(key_id, str) or len(key_id) > MAX_KEY_ID_CHARACTERS:
            raise jwt.InvalidTokenError
        key = await self._keys.find(key_id)
        if key is None:
            raise jwt.InvalidKeyError
        return key.key, key.algorithm_name

    def _require_short_life(self, claims: dict[str, Any]) -> None:
        """Refuse what ends too long after now, or after `iat` where there is one."""
        if self._longest is None:
            return
        from_now = claims["exp"] - time.time() - self._settings.leeway_seconds
        from_issue = claims["exp"] - claims.get("iat", claims["exp"])
        if max(from_now, from_issue) > self._longest:
            raise InvalidTokenError(f"The token is valid for longer than the {self._longest} s allowed here.")

    def _principal(self, claims: dict[str, Any]) -> Principal:
        tenant_id = claims.get(self._settings.tenant_claim)
        if not isinstance(tenant_id, str):
            raise InvalidTokenError(f"The token has no {self._settings.tenant_claim} claim.")
        try:
            tenant = UUID(tenant_id)
        except ValueError:
            raise InvalidTokenError(f"The token's {self._settings.tenant_claim} is not a UUID.") from None
        return Principal(tenant, self._scopes(claims), Actor("token", _storable(claims.get("sub", ""))))

    def _scopes(self, claims: dict[str, Any]) -> frozenset[Scope]:
        """A claim that is absent narrows nothing. One that is there is understood, or the token is refused."""
        return granted(self._role(claims), self._named_scopes(claims))

    def _role(self, claims: dict[str, Any]) -> Role:
        role = claims.get(self._settings.role_claim, Role.OWNER)
        if not isinstance(role, str) or role not in set(Role):
            raise InvalidTokenError(f"The token's {self._settings.role_claim} is none of {', '.join(Role)}.")
        return Role(role)

    def _named_scopes(self, claims: dict[str, Any]) -> list[str] | None:
        if self._settings.scope_claim not in claims:
            return None
        scopes = claims[self._settings.scope_claim]
        if isinstance(scopes, str):
            return scopes.split()
        if not isinstance(scopes, list) or not all(isinstance(name, str) for name in scopes):
            raise InvalidTokenError(f"The token's {self._settings.scope_claim} is no list of scopes.")
        return scopes


def _storable(subject: str) -> str | None:
    """A provider's users may choose it: without what no log or database takes (NUL, halves of surrogate pairs)."""
    return "".join(character for character in subject if character.isprintable())[:MAX_SUBJECT_CHARACTERS] or None


def sign_token(tenant_id: UUID, settings: Settings, *, expires_at: int | None = None, role: Role | None = None) -> str:
    """A token as the command line hands it out; `expires_at` is Unix seconds.

    Raises:
        ConfigurationError: tokens are the identity provider's, or this one would be refused for its long life.
    """
    if settings.jwt.jwks_url:
        raise ConfigurationError(
            "JWT_JWKS_URL is set: tokens come from the identity provider, and none signed here counts"
        )
    longest = settings.longest_token_lifetime
    if longest is not None and (expires_at is None or expires_at - time.time() > longest):
        raise ConfigurationError(
            f"JWT_MAX_LIFETIME_SECONDS: a token may be valid for {longest} s at most; ask for a shorter one"
        )
    claims: dict[str, Any] = {settings.jwt.tenant_claim: str(tenant_id)}
    if expires_at is not None:
        claims["exp"] = expires_at
    if role is not None:
        claims[settings.jwt.role_claim] = role
    return jwt.encode(claims, settings.jwt.secret.get_secret_value(), algorithm=SHARED_ALGORITHM)
