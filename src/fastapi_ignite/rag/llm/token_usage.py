"""The tokens that a server says an answer took, and the longest answer it may send.

Gateways, and servers other than OpenAI's, leave numbers out or send something else in their place.
"""

from __future__ import annotations

from openai.types.responses import Response

from fastapi_ignite.rag.engine import TokenUsage

# No token is longer on average: a server that does not stop where it was told to is cut off after so much text.
CHARACTERS_A_TOKEN = 16
_MOST_TOKENS = 10**8


def reported(*, tokens_in: object, tokens_out: object, cached: object, reasoning: object) -> TokenUsage | None:
    """Return the usage that a server reports, or None when it reports none. What is no number counts as 0."""
    usage = TokenUsage(_number(tokens_in), _number(tokens_out), _number(cached), _number(reasoning))
    return usage if usage.spent else None


def reported_by(response: Response) -> TokenUsage | None:
    """Return the usage in a response of the Responses API, or None when there is none."""
    usage: object = response.usage
    return reported(
        tokens_in=getattr(usage, "input_tokens", None),
        tokens_out=getattr(usage, "output_tokens", None),
        cached=getattr(getattr(usage, "input_tokens_details", None), "cached_tokens", None),
        reasoning=getattr(getattr(usage, "output_tokens_details", None), "reasoning_tokens", None),
    )


def _number(value: object) -> int:
    return min(max(value, 0), _MOST_TOKENS) if isinstance(value, int) else 0
