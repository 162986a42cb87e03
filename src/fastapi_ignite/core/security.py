"""Verify bearer tokens (JWT) and derive the caller's tenant, scopes and identity from them."""

from __future__ import annotations

import hashlib
import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

import jwt

from fastapi_ignite.core.audit_context import Actor
from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError, Example, IgniteError, UnavailableError
from fastapi_ignite.core.permissions import Role, Scope, granted
from fastapi_ignite.core.token_format import StrictTokens, token_header

SHARED_ALGORITHM = "HS256"
PUBLIC_ALGORITHMS = ("RS256", "ES256")
# RFC 8725 3.11: a token of another type (a logout token, a DPoP proof) is not an access token
TOKEN_TYPES = frozenset({"jwt", "at+jwt", "application/at+jwt"})
MAX_TOKEN_CHARACTERS = 8192
MAX_REMEMBERED_TOKENS = 50_000  # 400 bytes each
MAX_KEY_ID_CHARACTERS = 200
MAX_SUBJECT_CHARACTERS = 200

# Only the seed's development secret is short; production refuses it, so PyJWT need not warn at every request.
warnings.filterwarnings("ignore", category=jwt.warnings.InsecureKeyLengthWarning)


class InvalidTokenError(IgniteError):
    """The bearer token is missing or invalid."""

    status = 401
    code = "invalid_token"
    title = "Not authenticated"
    example = Example("The token has expired.")

    def __init__(self, detail: str) -> None:
        super().__init__(detail, headers={"WWW-Authenticate": 'Bearer error="invalid_token"'})


class KeysUnavailableError(UnavailableError):
    """The identity provider's keys are not cached and cannot be fetched."""

    code = "identity_provider_unavailable"
    title = "Identity provider unavailable"


@dataclass(frozen=True, slots=True)
class Principal:
    """The tenant that a request acts for, and what it may do. Only the bearer token decides who that is."""

    tenant_id: UUID
    scopes: frozenset[Scope]
    actor: Actor


class KeySource(Protocol):
    """Public keys of an identity provider."""

    async def find(self, key_id: str) -> jwt.PyJWK | None:
        """Return the key with this id, or None if the provider does not have it.

        Raises:
            KeysUnavailableError: the provider's keys cannot be fetched at the moment.
        """
        ...


def bearer_token(authorization: Sequence[str]) -> str:
    """Return the token of the `Authorization` header. A request must have exactly one.

    Raises:
        InvalidTokenError: the header is missing, repeated or malformed.
    """
    if not authorization:
        raise InvalidTokenError("The Authorization header is missing. Send 'Authorization: Bearer <token>'.")
    if len(authorization) > 1:
        raise InvalidTokenError("The request has more than one Authorization header.")
    scheme, _, token = authorization[0].partition(" ")
    token = token.strip()
    if scheme.lower() != "bearer" or not token or len(token) > MAX_TOKEN_CHARACTERS:
        raise InvalidTokenError("The Authorization header is not 'Bearer <token>'.")
    return token


@dataclass(frozen=True, slots=True)
class _Verified:
    """A token that was valid. `expires_at` is in Unix seconds, or None if the token has no end."""

    principal: Principal
    key_id: str | None
    key: Any
    expires_at: int | None


class TokenVerifier:
    """Verifies with the shared secret or, with a key source, with public keys. It never accepts both.

    Only the settings and the token's `kid` choose the key. `jku`, `x5u` and `jwk` are not read.
    A token that was valid is remembered by its digest until it expires, or until its key is fetched again.
    """

    def __init__(self, settings: Settings, *, keys: KeySource | None = None) -> None:
        self._settings = settings.jwt
        self._longest = settings.longest_token_lifetime
        wants_end = settings.app.production or self._longest is not None
        self._required = sorted({*self._settings.required_claims, *(["exp"] if wants_end else [])})
        self._keys = keys
        self._tokens = StrictTokens()
        self._verified: dict[bytes, _Verified] = {}

    async def verify(self, token: str) -> Principal:
        """Return the principal of a JWT. `exp`, `nbf` and `iat` are checked when present.

        Raises:
            InvalidTokenError: the token is invalid. The detail tells no more than the caller may know.
            KeysUnavailableError: the identity provider's keys are not cached and cannot be fetched.
        """
        digest = hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
        known = self._verified.get(digest)
        if known is not None and await self._is_still_valid(known):
            return known.principal
        try:
            header = token_header(token)
            key, algorithm = await self._key(header)
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
            # header and payload are untrusted text, and some of it makes the parsers raise these
            raise InvalidTokenError("The token is not valid.") from None
        self._require_short_life(claims)
        principal = self._principal(claims)
        if len(self._verified) >= MAX_REMEMBERED_TOKENS:
            del self._verified[next(iter(self._verified))]  # the one that was verified first
        expires_at = int(claims["exp"]) if "exp" in claims else None
        self._verified[digest] = _Verified(principal, header.get("kid"), key, expires_at)
        return principal

    async def _is_still_valid(self, known: _Verified) -> bool:
        """Tell whether a remembered token would be verified again. All other claims stay valid once they are."""
        if known.expires_at is not None and known.expires_at <= time.time() - self._settings.leeway_seconds:
            return False
        if self._keys is None:
            return True
        key = await self._keys.find(known.key_id or "")
        return key is not None and key.key is known.key

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
        """Refuse a token that expires too long after now, or after `iat` if it has one."""
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
        """Return the scopes. A missing claim restricts nothing; a malformed claim makes the token invalid."""
        return granted(self._role(claims), self._named_scopes(claims))

    def _role(self, claims: dict[str, Any]) -> Role:
        role = claims.get(self._settings.role_claim, Role.OWNER)
        if not isinstance(role, str) or role not in set(Role):
            raise InvalidTokenError(f"The token's {self._settings.role_claim} must be one of {', '.join(Role)}.")
        return Role(role)

    def _named_scopes(self, claims: dict[str, Any]) -> list[str] | None:
        if self._settings.scope_claim not in claims:
            return None
        scopes = claims[self._settings.scope_claim]
        if isinstance(scopes, str):
            return scopes.split()
        if not isinstance(scopes, list) or not all(isinstance(name, str) for name in scopes):
            raise InvalidTokenError(f"The token's {self._settings.scope_claim} is not a list of scopes.")
        return scopes


def _storable(subject: str) -> str | None:
    """Remove what a log or a database cannot store (NUL, lone surrogates); users may choose their own subject."""
    return "".join(character for character in subject if character.isprintable())[:MAX_SUBJECT_CHARACTERS] or None


def sign_token(tenant_id: UUID, settings: Settings, *, expires_at: int | None = None, role: Role | None = None) -> str:
    """Sign a token for the command line. `expires_at` is in Unix seconds.

    Raises:
        ConfigurationError: an identity provider signs the tokens, or this one would be valid for too long.
    """
    if settings.jwt.jwks_url:
        raise ConfigurationError(
            "JWT_JWKS_URL is set, so the API accepts only tokens of the identity provider. Get a token there."
        )
    longest = settings.longest_token_lifetime
    if longest is not None and (expires_at is None or expires_at - time.time() > longest):
        raise ConfigurationError(
            f"JWT_MAX_LIFETIME_SECONDS: a token may be valid for {longest} s at most. Ask for a shorter one."
        )
    claims: dict[str, Any] = {settings.jwt.tenant_claim: str(tenant_id)}
    if expires_at is not None:
        claims["exp"] = expires_at
    if role is not None:
        claims[settings.jwt.role_claim] = role
    return jwt.encode(claims, settings.jwt.secret.get_secret_value(), algorithm=SHARED_ALGORITHM)
