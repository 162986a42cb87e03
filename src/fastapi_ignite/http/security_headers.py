"""Response headers that restrict what a browser may do with an answer."""

from __future__ import annotations

RawHeaders = list[tuple[bytes, bytes]]

ON_EVERY_ANSWER: RawHeaders = [
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
ONLY_HTTPS_FOR_A_YEAR = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")
NOT_IN_SHARED_CACHES = (b"cache-control", b"private, no-store")
