"""Lets at most N units through in any rolling minute, over all processes."""

from fastapi_ignite.infra.ratelimit.limiter import Limiter, RateDecision, RateLimiter

__all__ = ["Limiter", "RateDecision", "RateLimiter"]
