"""The three logins of the program: members of roles, with no grants of their own."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import secrets

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

API_LOGIN = "ignite_api"
WORKER_LOGIN = "ignite_worker"
ADMIN_LOGIN = "ignite_admin"
_ITERATIONS = 4096
_ATTEMPTS = 10


def derive_password(owner_password: str, login: str) -> str:
    """A login's password when none is set: an HMAC of its name under the owner's, so every process agrees on it."""
    return hmac.new(owner_password.encode(), f"fastapi-ignite:{login}".encode(), hashlib.sha256).hexdigest()


def scram_verifier(password: str) -> str:
    """What PostgreSQL stores (RFC 5803), made here so that no password travels in SQL or lands in a server log."""
    salt = secrets.token_bytes(16)
    salted = hashlib.pbkdf2_hmac("sha256", password.encode(), salt, _ITERATIONS)
    stored_key = hashlib.sha256(hmac.digest(salted, b"Client Key", "sha256")).digest()
    server_key = hmac.digest(salted, b"Server Key", "sha256")
    salt64, stored64, server64 = (base64.b64encode(part).decode() for part in (salt, stored_key, server_key))
    return f"SCRAM-SHA-256${_ITERATIONS}:{salt64}${stored64}:{server64}"


async def set_login_passwords(engine: AsyncEngine, passwords: dict[str, str]) -> None:
    """Roles belong to the whole server: migrations of several databases may meet here, and the loser tries again."""
    for login, password in passwords.items():
        statement = f"ALTER ROLE {login} PASSWORD '{scram_verifier(password)}'"
        for attempt in range(_ATTEMPTS):
            try:
                async with engine.begin() as connection:
                    if await connection.scalar(text("SELECT 1 FROM pg_roles WHERE rolname = :name"), {"name": login}):
                        await connection.exec_driver_sql(statement)
                break
            except DBAPIError as error:
                if "concurrently updated" not in str(error) or attempt == _ATTEMPTS - 1:
                    raise
                await asyncio.sleep(0.05 * (attempt + 1))
