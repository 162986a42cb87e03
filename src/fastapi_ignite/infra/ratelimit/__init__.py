"""Exactly N units in any rolling window, over all processes."""

from fastapi_ignite.infra.ratelimit.limiter import RateDecision, RateLimiter

__all__ = ["RateDecision", "RateLimiter"]
