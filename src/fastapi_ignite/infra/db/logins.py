"""The three database logins of the program. They are members of roles and have no privileges of their own.

Roles belong to the whole server. Several installations on one server share the roles without login, but each has its
own logins, with its own passwords. The comment of a login names the database of its installation.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from sqlalchemy import URL, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.db.connections import single_use_engine

Part = Literal["api", "worker", "admin"]

ROLES = {
    "api": ("ignite_tenant",),
    "worker": ("ignite_tenant", "ignite_system"),
    "admin": ("ignite_operator",),
}
_MARK = "FastAPI-Ignite: login of the database "
_CONFLICTS = ("concurrently updated", "already exists", "duplicate key")
LOGIN_REFUSED = ("28", "42501")  # SQLSTATE: a wrong password and similar; no right to connect to this database
_ITERATIONS = 4096
_ATTEMPTS = 10


def login_name(prefix: str, part: Part) -> str:
    """Return the login of a part of the program; `prefix` is `POSTGRES_LOGIN_PREFIX`."""
    return f"{prefix}_{part}"


def derive_password(owner_password: str, login: str) -> str:
    """Derive a default password from the owner's, so that every process computes the same one."""
    return hmac.new(owner_password.encode(), f"fastapi-ignite:{login}".encode(), hashlib.sha256).hexdigest()


def scram_verifier(password: str) -> str:
    """Return what PostgreSQL stores (RFC 5803), so that no password is sent in SQL or logged by the server."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt64}${stored64}:{server64}"


@dataclass(frozen=True, slots=True)
class _Login:
    """A login on the server. `database` is the one that its comment names, if that database exists."""

    exists: bool
    database: str | None = None
    comment: str = ""

    @property
    def marked(self) -> bool:
        return self.comment.startswith(_MARK)


async def refuse_foreign_logins(owner: URL, passwords: Mapping[str, str]) -> None:
    """Check that no login belongs to another installation. Call this before the first change.

    A new password would lock out the other installation. A login without our comment counts as ours if this database
    was migrated before. Installations with the same password may share a login.

    Raises:
        ConfigurationError: a login belongs to another installation.
    """
    engine = single_use_engine(owner)
    try:
        async with engine.connect() as connection:
            migrated = await connection.scalar(text("SELECT to_regclass('public.alembic_version') IS NOT NULL"))
            logins = {name: await _look_up(connection, name) for name in passwords}
    finally:
        await engine.dispose()
    for name, login in logins.items():
        ours = login.database == owner.database or (login.database is None and (login.marked or migrated))
        if not login.exists or ours or await _opens(owner, name, passwords[name]):
            continue
        owner_name = f"the database {login.database}" if login.database else "something else on this server"
        raise ConfigurationError(
            f"The login {name} belongs to {owner_name}, with another password. Set POSTGRES_LOGIN_PREFIX to give this "
            f"installation logins of its own, or drop the role {name} if nothing uses it."
        )


async def provide_logins(engine: AsyncEngine, passwords: Mapping[str, str]) -> None:
    """Create the logins whose roles the migrations have created, and set their passwords and comments.

    Migrations of several databases may run at the same time. One that conflicts with another tries again.
    """
    for name, password in passwords.items():
        for attempt in range(_ATTEMPTS):
            try:
                async with engine.begin() as connection:
                    await _provide(connection, name, password)
                break
            except DBAPIError as error:
                if not any(sign in str(error) for sign in _CONFLICTS) or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.05 * (attempt + 1))


async def _provide(connection: AsyncConnection, name: str, password: str) -> None:
    roles = ROLES[name.rpartition("_")[2]]
    made = await connection.scalar(text("SELECT count(*) FROM pg_roles WHERE rolname = ANY(:roles)"), {"roles": roles})
    if made != len(roles):
        return  # the database is at an early revision
    login = await _look_up(connection, name)
    if not login.exists:
        await connection.exec_driver_sql(f"CREATE ROLE {name} LOGIN NOINHERIT")
    for role in roles:
        member = text("SELECT pg_has_role(CAST(:name AS name), CAST(:role AS name), 'MEMBER')")
        if not await connection.scalar(member, {"name": name, "role": role}):
            await connection.exec_driver_sql(f"GRANT {role} TO {name}")
    await connection.exec_driver_sql(f"ALTER ROLE {name} PASSWORD '{scram_verifier(password)}'")
    if login.database is None and (login.marked or not login.comment):  # we keep a comment that somebody else wrote
        mark = text("SELECT format('COMMENT ON ROLE %I IS %L', CAST(:name AS text), :mark || current_database())")
        await connection.exec_driver_sql(str(await connection.scalar(mark, {"name": name, "mark": _MARK})))


async def _look_up(connection: AsyncConnection, name: str) -> _Login:
    row = (
        await connection.execute(
            text(
                "SELECT d.datname, coalesce(c.comment, '') FROM pg_roles r "
                "CROSS JOIN LATERAL (SELECT shobj_description(r.oid, 'pg_authid') AS comment) c "
                "LEFT JOIN pg_database d ON c.comment = :mark || d.datname WHERE r.rolname = :name"
            ),
            {"mark": _MARK, "name": name},
        )
    ).one_or_none()
    return _Login(exists=False) if row is None else _Login(True, *row)


async def _opens(server: URL, name: str, password: str) -> bool:
    engine = single_use_engine(server.set(username=name, password=password))
    try:
        async with engine.connect():
            return True
    except DBAPIError as error:
        if str(getattr(error.orig, "sqlstate", "")).startswith(LOGIN_REFUSED):
            return False
        raise
    finally:
        await engine.dispose()
