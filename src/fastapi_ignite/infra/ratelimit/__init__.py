"""At most N units in any rolling window, over all processes."""

from fastapi_ignite.infra.ratelimit.limiter import Limiter, RateDecision, RateLimiter

__all__ = ["Limiter", "RateDecision", "RateLimiter"]
