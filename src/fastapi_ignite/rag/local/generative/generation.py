"""One call of a model while it runs: what it has said, and what it has cost."""

from __future__ import annotations

from dataclasses import dataclass, field

from fastapi_ignite.rag.engine import TokenUsage
from fastapi_ignite.rag.errors import ContentFilteredError, ProviderError
from fastapi_ignite.rag.llm.token_usage import CHARACTERS_A_TOKEN
from fastapi_ignite.rag.text.storable_text import storable
from fastapi_ignite.rag.text.tokens import estimate_tokens

_THINKING, _THOUGHT = "<think>", "</think>"


@dataclass(slots=True)
class Generation:
    """`working`: the server has the request and did not refuse it. `heard`: something came back.

    `thinks_aloud`: the model begins with its thoughts, and does not say so. `is_full`: the server said more than the
    longest answer holds; the rest is not kept, and the answer is `truncated`.
    """

    max_output_tokens: int
    working: bool = False
    heard: bool = False
    ended: bool = False
    truncated: bool = False
    filtered: bool = False
    thinks_aloud: bool = False
    is_full: bool = False
    reported: TokenUsage | None = None
    _said: list[str] = field(default_factory=list)
    _declined: list[str] = field(default_factory=list)
    _thought: list[str] = field(default_factory=list)
    _length: int = 0

    @property
    def text(self) -> str:
        """The answer as far as it came, without what the model thought aloud; of one that declines that alone."""
        return _without_thoughts(self._everything).strip()

    @property
    def declined(self) -> bool:
        """The model says that it will not answer."""
        return bool(self._declined)

    @property
    def beginning(self) -> str:
        """What of an answer that goes on is meant for the reader."""
        return "" if self.thinks_aloud and not self.has_thought_aloud else self.text

    @property
    def has_thought_aloud(self) -> bool:
        """In the answer's place, to an end."""
        return _THOUGHT in self._everything

    @property
    def _everything(self) -> str:
        return storable("".join(self._declined or self._said))

    def say(self, piece: object) -> None:
        """A piece of the answer; servers send empty ones, and none at all."""
        self._add(self._said, piece)

    def decline(self, piece: object) -> None:
        """A piece of why the model does not answer."""
        self._add(self._declined, piece)

    def think(self, piece: object) -> None:
        """A piece of what the model thinks, which costs and is not shown."""
        self._add(self._thought, piece)

    def stop(self) -> None:
        """Enough was heard."""
        self.end(truncated=True)

    def end(self, *, truncated: bool) -> None:
        """The server says that it is over, and whether it cut the answer."""
        self.ended = True
        self.truncated = truncated or self.is_full

    def require(self) -> None:
        """A call that returned has not answered yet.

        Raises:
            ContentFilteredError, ProviderError: it did not.
        """
        if self.filtered:
            raise ContentFilteredError("The provider's content filter ended the answer; nothing was charged.")
        if not self.ended:
            raise ProviderError("The model's answer ended in its middle; nothing was charged.")
        if not self.text and self.truncated:
            raise ProviderError("The model reached its longest answer before it said anything; nothing was charged.")
        if not self.text:
            raise ProviderError("The model said nothing; nothing was charged.")

    def charge(self, prompt_tokens: int, usage: TokenUsage) -> None:
        """Add what it cost, as the server counted or, where it did not say, as we do."""
        if self.reported is not None:
            usage.add(self.reported)
        elif self.working:
            usage.tokens_in += prompt_tokens
            written = "".join((*self._thought, *self._said, *self._declined))
            usage.tokens_out += estimate_tokens(storable(written))
            usage.estimated = True

    def _add(self, pieces: list[str], piece: object) -> None:
        if not isinstance(piece, str) or not piece:
            return
        # one event may hold megabytes
        kept = piece[: self.max_output_tokens * CHARACTERS_A_TOKEN - self._length]
        if len(kept) < len(piece):
            self.is_full = self.truncated = True
        if kept:
            pieces.append(kept)
            self._length += len(kept)


def _without_thoughts(said: str) -> str:
    """Some servers leave them in the answer, and some templates swallow the tag they begin with."""
    _, ended, after = said.rpartition(_THOUGHT)
    if ended:
        return after
    return "" if said.lstrip().startswith(_THINKING) else said
