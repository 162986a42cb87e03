"""What `ENV=production` refuses, and what it lets pass with a warning. No message repeats a value."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import combinations
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from fastapi_ignite.core.server_address import ServerAddress

if TYPE_CHECKING:  # config.py asks this module, and not the other way round
    from fastapi_ignite.core.config import Settings

MINIMUM_SECRET_BYTES = 32
# 32 random hexadecimal digits have fewer than 8 different ones in four of a hundred million cases.
MINIMUM_DIFFERENT_CHARACTERS = 8
MINIMUM_PERIOD = 16
# Of documentation, examples and keyboards; none of them turns up in random text.
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
HOW_TO_MAKE_ONE = "make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'"

ENCRYPTED = frozenset({"require", "verify-ca", "verify-full"})
# Addresses that only a network of one's own has: each of them may be trusted whole.
PRIVATE_IPV4 = [
    IPv4Network(text) for text in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "127.0.0.0/8")
]
PRIVATE_IPV6 = [IPv6Network(text) for text in ("fc00::/7", "fe80::/10", "::1/128")]
IPV4_IN_IPV6 = IPv6Network("::ffff:0:0/96")
# The largest content networks publish lists of some millions of IPv4 addresses.
MOST_PUBLIC_IPV4 = 2 ** (32 - 8)
MOST_PUBLIC_IPV6 = 2 ** (128 - 16)


def production_problems(settings: Settings) -> Iterator[str]:
    """Yield a line for each setting that production refuses, whatever `ENV` is now: the variable, and what it wants."""
    if settings.app.debug:
        yield "DEBUG: production wants false: tracebacks in the log may hold tenants' data"
    yield from _token_problems(settings)
    if settings.api_key.secret and (reason := weakness(settings.api_key.secret.get_secret_value())):
        yield f"API_KEY_SECRET: production wants {reason}; {HOW_TO_MAKE_ONE}"
    yield from _reuse_problems(_secrets(settings))
    if "*" in settings.cors.origins:
        yield "BACKEND_CORS_ORIGINS: production wants named origins, not *"
    if _public_addresses_are_many(settings.app.trusted_proxies):
        yield (
            "TRUSTED_PROXIES: production wants the proxies' own networks: these hold more public addresses than a /8 "
            "of IPv4 or a /16 of IPv6, and whoever calls from one chooses the address that is limited and logged"
        )
    yield from _postgres_problems(settings)
    yield from _redis_problems(settings)


def plaintext_warnings(settings: Settings) -> Iterator[str]:
    """Yield a line for each connection over a network that the operator left without TLS on purpose."""
    for variable, mode in _postgres_modes(settings):
        if mode == "disable":
            yield f"{variable}: disable: passwords and documents cross the network unencrypted"
    if settings.redis.tls == "off" and _redis_address(settings).on_network:
        yield "REDIS_TLS: off: the password and cached answers cross the network unencrypted"
    broker = settings.dramatiq.rabbitmq_url
    if broker and settings.dramatiq.broker == "rabbitmq":
        address = ServerAddress.parse(broker.get_secret_value())
        if address.on_network and address.scheme != "amqps":
            yield "DRAMATIQ_RABBITMQ_URL: no amqps://: the password crosses the network unencrypted"


def weakness(secret: str) -> str | None:
    """Return what a secret lacks, as the object of "production wants"; None when nobody could guess it."""
    if len(secret.encode()) < MINIMUM_SECRET_BYTES:
        return f"at least {MINIMUM_SECRET_BYTES} random bytes"
    if any(word in secret.lower() for word in EXAMPLE_WORDS):
        return "random characters, and this value looks like an example"
    if len(set(secret)) < MINIMUM_DIFFERENT_CHARACTERS:
        return f"random characters, and this value has fewer than {MINIMUM_DIFFERENT_CHARACTERS} different ones"
    if _period(secret) < MINIMUM_PERIOD:
        return "random characters, and this value repeats a short text"
    return None


def _period(text: str) -> int:
    """The length of the shortest text that repeats to this one."""
    return next(length for length in range(1, len(text) + 1) if text.startswith(text[length:]))


def _token_problems(settings: Settings) -> Iterator[str]:
    reason = weakness(settings.jwt.secret.get_secret_value())
    if not settings.jwt.jwks_url:
        if reason:
            yield f"JWT_SECRET: production wants {reason}; {HOW_TO_MAKE_ONE}"
        return
    if urlsplit(settings.jwt.jwks_url).scheme != "https":
        yield "JWT_JWKS_URL: production wants https"
    if not settings.jwt.issuer:
        yield "JWT_ISSUER: production wants one beside JWT_JWKS_URL: providers sign for many with one key"
    if not settings.jwt.audience:
        yield "JWT_AUDIENCE: production wants one beside JWT_JWKS_URL: the provider signs for its other programs too"
    if settings.api_key.secret is None and reason:
        yield f"API_KEY_SECRET: production wants one where JWT_SECRET is not a strong one; {HOW_TO_MAKE_ONE}"


def _secrets(settings: Settings) -> Mapping[str, str]:
    """The secrets that this program and its servers check, by variable. Keys of other services may well be equal."""
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
    """One that leaks, or is guessed, opens one door."""
    for (first, secret), (second, other) in combinations(secrets.items(), 2):
        if secret == other:
            yield f"{second}: production wants a secret of its own, and this is the one of {first}"


def _public_addresses_are_many(texts: tuple[str, ...]) -> bool:
    networks = [_unmapped(ip_network(text, strict=False)) for text in texts]
    four = [network for network in networks if isinstance(network, IPv4Network)]
    six = [network for network in networks if isinstance(network, IPv6Network)]
    public_four = [network for network in four if not any(map(network.subnet_of, PRIVATE_IPV4))]
    public_six = [network for network in six if not any(map(network.subnet_of, PRIVATE_IPV6))]
    return (
        sum(network.num_addresses for network in collapse_addresses(public_four)) > MOST_PUBLIC_IPV4
        or sum(network.num_addresses for network in collapse_addresses(public_six)) > MOST_PUBLIC_IPV6
    )


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """`::ffff:0:0/96` is every IPv4 address."""
    if isinstance(network, IPv6Network) and network.subnet_of(IPV4_IN_IPV6):
        address = network.network_address.ipv4_mapped
        return IPv4Network((int(address or 0), network.prefixlen - IPV4_IN_IPV6.prefixlen))
    return network


def _postgres_modes(settings: Settings) -> Iterator[tuple[str, str | None]]:
    """The TLS mode of each way to PostgreSQL over a network, and the variable that sets it."""
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
                f"{variable}: production wants require, verify-ca or verify-full over a network, or disable on purpose "
                "inside a private one"
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
            "REDIS_TLS: production wants on (or rediss:// in REDIS_URL) over a network, or off on purpose inside a "
            "private one"
        )
    if not (address.password or "password" in address.parameters):
        yield "REDIS_PASSWORD: production wants one (or one in REDIS_URL) over a network"
