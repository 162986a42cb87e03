"""Parse JSON Web Tokens strictly, because two lenient parsers may read the same token differently.

RFC 7519 section 4 allows a parser to refuse repeated member names, and RFC 8725 section 2.4 allows UTF-8 only.
"""

from __future__ import annotations

import json
import math
from typing import Any, Never

import jwt
from jwt.utils import base64url_decode

DATE_CLAIMS = ("exp", "nbf", "iat")
LATEST_DATE = 253_402_300_799  # 9999-12-31T23:59:59Z: Python, PostgreSQL and JavaScript all hold it


class StrictTokens(jwt.PyJWT):
    """PyJWT that also refuses repeated names, infinite numbers, and dates that are not a NumericDate (RFC 7519)."""

    def _decode_payload(self, decoded: dict[str, Any]) -> dict[str, Any]:
        """Parse the claims. PyJWT calls this after it has verified the signature, and before it checks a claim."""
        claims = strict_object(decoded["payload"])
        for name in DATE_CLAIMS:
            if name in claims and not _is_numeric_date(claims[name]):
                raise jwt.DecodeError(f"{name} is not a NumericDate")
        return claims


def token_header(token: str) -> dict[str, Any]:
    """Return the header of a token that is not verified yet.

    Raises:
        ValueError: the header is not strict JSON, or its encoding is wrong.
        jwt.InvalidTokenError: the header requires an extension; this program supports none.
    """
    header = strict_object(base64url_decode(token.partition(".")[0]))
    if "crit" in header or "b64" in header:  # RFC 7797 section 7: a JWT has its payload encoded
        raise jwt.InvalidTokenError
    return header


def strict_object(data: bytes) -> dict[str, Any]:
    """Parse one JSON object in UTF-8.

    Raises:
        ValueError: the data is something else, repeats a name at any depth, or has a number too large for a float.
        RecursionError: the object is nested too deeply.
    """
    value = _DECODER.decode(data.decode())
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004  callers catch what malformed JSON raises
    return value


def _is_numeric_date(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= LATEST_DATE


def _members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise ValueError("a member name is repeated")
    return members


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large")
    return number


def _refuse_constant(name: str) -> Never:
    raise ValueError(f"{name} is not JSON")


_DECODER = json.JSONDecoder(object_pairs_hook=_members, parse_float=_finite, parse_constant=_refuse_constant)
