"""Checks of the settings for `ENV=production`: what it refuses, and what it warns of. No message repeats a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import combinations
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi_ignite.core.server_address import ServerAddress

if TYPE_CHECKING:  # config.py imports this module
    from fastapi_ignite.core.config import Settings

MINIMUM_SECRET_BYTES = 32
# 32 random hexadecimal digits have fewer than 8 different ones in four of a hundred million cases.
MINIMUM_DIFFERENT_CHARACTERS = 8
MINIMUM_PERIOD = 16
# Words of documentation, examples and keyboards. They do not occur in random text.
EXAMPLE_WORDS = (
    "change-me",
    "changeme",
    "change_me",
    "secret",
    "password",
    "example",
    "your-",
    "0123456789",
    "abcdefgh",
)
HOW_TO_MAKE_ONE = "generate one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"

ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
# Networks of private addresses: each of them may be trusted as a whole.
PRIVATE_IPV4 = [
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8")
]
PRIVATE_IPV6 = [IPv6Network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]
IPV4_IN_IPV6 = IPv6Network("::ffff:0:0/96")
# The largest content delivery networks publish lists of a few million IPv4 addresses.
MAX_PUBLIC_IPV4 = 2 ** (32 - 8)
MAX_PUBLIC_IPV6 = 2 ** (128 - 16)


def production_problems(settings: Settings) -> Iterator[str]:
    """Yield one line for each setting that production refuses: the variable and the rule. `ENV` itself is ignored."""
    if settings.app.debug:
        yield "DEBUG: production requires false, because tracebacks in the log may hold tenants' data"
    yield from _token_problems(settings)
    if settings.api_key.secret and (reason := weakness(settings.api_key.secret.get_secret_value())):
        yield f"API_KEY_SECRET: production requires {reason}; {HOW_TO_MAKE_ONE}"
    yield from _reuse_problems(_secrets(settings))
    if "*" in settings.cors.origins:
        yield "BACKEND_CORS_ORIGINS: production requires named origins, not *"
    if _public_addresses_are_many(settings.app.trusted_proxies):
        yield (
            "TRUSTED_PROXIES: production requires the proxies' own networks. These hold more public addresses than "
            "a /8 of IPv4 or a /16 of IPv6, and a caller from one of them could forge the address we limit and log"
        )
    yield from _postgres_problems(settings)
    yield from _redis_problems(settings)
    endpoint = settings.s3.endpoint_url
    if endpoint and urlsplit(endpoint).scheme != "https" and ServerAddress.parse(endpoint).on_network:
        yield "S3_ENDPOINT_URL: production requires https:// over a network, because files would cross it unencrypted"


def plaintext_warnings(settings: Settings) -> Iterator[str]:
    """Yield one line for each network connection for which the operator switched TLS off."""
    for variable, mode in _postgres_modes(settings):
        if mode == "disable":
            yield f"{variable}: with disable, passwords and documents cross the network unencrypted"
    if settings.redis.tls == "off" and _redis_address(settings).on_network:
        yield "REDIS_TLS: with off, the password and cached answers cross the network unencrypted"
    broker = settings.dramatiq.rabbitmq_url
    if broker and settings.dramatiq.broker == "rabbitmq":
        address = ServerAddress.parse(broker.get_secret_value())
        if address.on_network and address.scheme != "amqps":
            yield "DRAMATIQ_RABBITMQ_URL: it is not amqps://, so the password crosses the network unencrypted"


def weakness(secret: str) -> str | None:
    """Return what a weak secret needs, to follow "production requires", or None for a strong one."""
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        return f"at least {MINIMUM_SECRET_BYTES} random bytes"
    if any(word in secret.lower() for word in EXAMPLE_WORDS):
        return "random characters, but this value looks like an example"
    if len(set(secret)) < MINIMUM_DIFFERENT_CHARACTERS:
        return f"random characters, but this value has fewer than {MINIMUM_DIFFERENT_CHARACTERS} different ones"
    if _period(secret) < MINIMUM_PERIOD:
        return "random characters, but this value repeats a short text"
    return None


def _period(text: str) -> int:
    """Return the length of the shortest text whose repetition gives this one."""
    return next(length for length in range(1, len(text) + 1) if text.startswith(text[length:]))


def _token_problems(settings: Settings) -> Iterator[str]:
    reason = weakness(settings.jwt.secret.get_secret_value())
    if not settings.jwt.jwks_url:
        if reason:
            yield f"JWT_SECRET: production requires {reason}; {HOW_TO_MAKE_ONE}"
        return
    if urlsplit(settings.jwt.jwks_url).scheme != "https":
        yield "JWT_JWKS_URL: production requires https"
    if not settings.jwt.issuer:
        yield "JWT_ISSUER: production requires it with JWT_JWKS_URL, as providers sign for many customers with one key"
    if not settings.jwt.audience:
        yield "JWT_AUDIENCE: production requires it with JWT_JWKS_URL, as the provider signs for other programs too"
    if settings.api_key.secret is None and reason:
        yield f"API_KEY_SECRET: production requires it when JWT_SECRET is weak; {HOW_TO_MAKE_ONE}"


def _secrets(settings: Settings) -> Mapping[str, str]:
    """Return the secrets that this program and its servers check, by variable. Other services' keys may be equal."""
    postgres, database_url = settings.postgres, settings.database.database_url
    found = {
        "JWT_SECRET": settings.jwt.secret,
        "API_KEY_SECRET": settings.api_key.secret,
        "POSTGRES_PASSWORD": None if database_url else postgres.password,
        "POSTGRES_API_PASSWORD": postgres.api_password,
        "POSTGRES_WORKER_PASSWORD": postgres.worker_password,
        "POSTGRES_ADMIN_PASSWORD": postgres.admin_password,
        "REDIS_PASSWORD": None if settings.redis.url else settings.redis.password,
    }
    secrets = {variable: secret.get_secret_value() for variable, secret in found.items() if secret is not None}
    for variable, url in {"DATABASE_URL": database_url, "REDIS_URL": settings.redis.url}.items():
        if url is not None:
            secrets[variable] = ServerAddress.parse(url.get_secret_value()).password
    return {variable: secret for variable, secret in secrets.items() if secret}


def _reuse_problems(secrets: Mapping[str, str]) -> Iterator[str]:
    """Yield one line for each secret that is used twice, because one leak must not open two services."""
    for (first, secret), (second, other) in combinations(secrets.items(), 2):
        if secret == other:
            yield f"{second}: production requires a secret of its own, but this is the same as {first}"


def _public_addresses_are_many(texts: tuple[str, ...]) -> bool:
    networks = [_unmapped(ip_network(text, strict=False)) for text in texts]
    four = [network for network in networks if isinstance(network, IPv4Network)]
    six = [network for network in networks if isinstance(network, IPv6Network)]
    public_four = [network for network in four if not any(map(network.subnet_of, PRIVATE_IPV4))]
    public_six = [network for network in six if not any(map(network.subnet_of, PRIVATE_IPV6))]
    return (
        sum(network.num_addresses for network in collapse_addresses(public_four)) > MAX_PUBLIC_IPV4
        or sum(network.num_addresses for network in collapse_addresses(public_six)) > MAX_PUBLIC_IPV6
    )


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """Turn an IPv4-mapped IPv6 network (part of `::ffff:0:0/96`) into its IPv4 network."""
    if isinstance(network, IPv6Network) and network.subnet_of(IPV4_IN_IPV6):
        address = network.network_address.ipv4_mapped
        return IPv4Network((int(address or 0), network.prefixlen - IPV4_IN_IPV6.prefixlen))
    return network


def _postgres_modes(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """Yield the variable and the TLS mode of each connection to PostgreSQL that crosses a network."""
    postgres, url = settings.postgres, settings.database.database_url
    mode: str | None = postgres.sslmode
    on_network = False
    if url is not None:
        address = ServerAddress.parse(url.get_secret_value())
        on_network = address.on_network
        mode = address.parameters.get("ssl", address.parameters.get("sslmode", mode))
    elif postgres.host is not None:
        on_network = ServerAddress("", (postgres.host,), "", {}).on_network
    if on_network:
        yield "POSTGRES_SSLMODE", mode
    if postgres.pgbouncer_host and ServerAddress("", (postgres.pgbouncer_host,), "", {}).on_network:
        yield "POSTGRES_PGBOUNCER_SSLMODE", postgres.pgbouncer_sslmode or mode


def _postgres_problems(settings: Settings) -> Iterator[str]:
    for variable, mode in _postgres_modes(settings):
        if mode not in ENCRYPTED | {"disable"}:
            yield (
                f"{variable}: production requires TLS over a network: require, verify-ca or verify-full. "
                "Inside a private network it may be disable."
            )


def _redis_address(settings: Settings) -> ServerAddress:
    redis = settings.redis
    if redis.url is not None:
        return ServerAddress.parse(redis.url.get_secret_value())
    scheme = "rediss" if redis.tls == "on" else "redis"
    password = redis.password.get_secret_value() if redis.password else ""
    return ServerAddress(scheme, (redis.host,) if redis.host else (), password, {})


def _redis_problems(settings: Settings) -> Iterator[str]:
    address = _redis_address(settings)
    if address.scheme == "unix" or not address.on_network:
        return
    if address.scheme != "rediss" and settings.redis.tls != "off":
        yield (
            "REDIS_TLS: production requires TLS over a network: on, or rediss:// in REDIS_URL. Inside a private "
            "network it may be off."
        )
    if not (address.password or "password" in address.parameters):
        yield "REDIS_PASSWORD: production requires one (or one in REDIS_URL) over a network"
