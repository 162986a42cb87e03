"""How long an answer may be, and what a server says that it took.

Gateways, and servers other than OpenAI's, leave figures out or send what is none.
"""

from __future__ import annotations

from openai.types.responses import Response

from fastapi_ignite.rag.engine import TokenUsage

# A server that does not stop where it was told to is cut off: no token is longer on average.
CHARACTERS_A_TOKEN = 16
_MOST_TOKENS = 10**8


def reported(*, tokens_in: object, tokens_out: object, cached: object, reasoning: object) -> TokenUsage | None:
    """`None` where it says nothing; what is no figure does not count."""
    figures = TokenUsage(_figure(tokens_in), _figure(tokens_out), _figure(cached), _figure(reasoning))
    return figures if figures.spent else None


def reported_of(response: Response) -> TokenUsage | None:
    """The same, of a response as it was sent."""
    spent: object = response.usage
    return reported(
        tokens_in=getattr(spent, "input_tokens", None),
        tokens_out=getattr(spent, "output_tokens", None),
        cached=getattr(getattr(spent, "input_tokens_details", None), "cached_tokens", None),
        reasoning=getattr(getattr(spent, "output_tokens_details", None), "reasoning_tokens", None),
    )


def _figure(value: object) -> int:
    return min(max(value, 0), _MOST_TOKENS) if isinstance(value, int) else 0
