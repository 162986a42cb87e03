"""What the features know of retrieval. Two engines implement it; nothing above knows which one runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.extraction import ExtractedText


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """An extracted document on its way into a project's index."""

    tenant_id: UUID
    project_id: UUID
    document_id: UUID
    sha256: bytes
    extracted: ExtractedText


Support = Literal["quoted", "aligned", "retrieved"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A proven quote: `document_text[char_start:char_end] == quote` was checked before it left the engine.

    Offsets count Unicode code points of the stored text, end exclusive; `page` is 1-based, `None` without pages.
    `support`: the answerer gave these words, or we aligned a sentence of the sources with what it says, or it named
    the source and shares few words with it, as in another language.
    """

    document_id: UUID
    quote: str
    char_start: int
    char_end: int
    page: int | None
    score: float
    support: Support = "quoted"


@dataclass(frozen=True, slots=True)
class Answer:
    """`answerable` is false when nothing relevant was found: then there are no citations.

    `truncated`: the model was cut at its longest answer.
    """

    text: str
    answerable: bool
    citations: tuple[Citation, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """What was found for a question: `document_text[char_start:char_end] == text`, offsets and `page` as in a citation.

    `score` is 0 to 1 and ranks what was found for one question; those of two are not comparable.
    """

    document_id: UUID
    text: str
    char_start: int
    char_end: int
    page: int | None
    score: float


class AnswerListener(Protocol):
    """Hears an answer while it is made. What it raises ends the asking.

    Nothing is said before a first quote is proven. What was said is how the answer begins, unless a document was
    removed while it was read, or the model took it back: the answer that `ask` returns is the one that counts.
    """

    async def found(self, passages: Sequence[FoundPassage]) -> None:
        """An answer begins, read from these; one that had begun before is void."""
        ...

    async def cited(self, citation: Citation) -> None:
        """A proven quote."""
        ...

    async def said(self, text: str) -> None:
        """The next words."""
        ...


@dataclass(slots=True)
class TokenUsage:
    """What a question has cost so far. The engine adds to it while it works: a failure has its price too.

    Of `tokens_in` the provider had `tokens_cached` at hand; of `tokens_out` its model spent `tokens_reasoning` unseen.
    `estimated`: a provider worked and did not tell how much, so that we counted.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    estimated: bool = False

    @property
    def spent(self) -> bool:
        """Whether work was done."""
        return bool(self.tokens_in or self.tokens_out)

    def add(self, figures: TokenUsage) -> None:
        """A further call's."""
        self.tokens_in += figures.tokens_in
        self.tokens_out += figures.tokens_out
        self.tokens_cached += figures.tokens_cached
        self.tokens_reasoning += figures.tokens_reasoning
        self.estimated = self.estimated or figures.estimated


@dataclass(frozen=True, slots=True)
class Purged:
    """What one call removed: chunks of ours, and objects of a provider by its own ids."""

    chunks: int = 0
    provider_ids: tuple[str, ...] = ()


class PreparedIndex(Protocol):
    """What an engine made of a document outside any transaction."""

    @property
    def chunk_count(self) -> int:
        """How many chunks the write must leave behind."""
        ...

    async def write(self, session: AsyncSession) -> None:
        """The last rows; the caller sets `completed` in the same transaction."""
        ...


class RebuiltIndex(Protocol):
    """An index that was made again outside any transaction."""

    @property
    def vector_store_id(self) -> str:
        """What callers see from now on."""
        ...

    async def write(self, session: AsyncSession) -> None:
        """The index answers from this transaction's commit on; the caller links its id in the same transaction.

        Raises:
            StaleAttemptError: the work was overtaken.
        """
        ...


class RagEngine(Protocol):
    """Model, provider and parser work happens outside transactions; what takes a session works in the caller's."""

    @property
    def name(self) -> str:
        """What projects remember it by."""
        ...

    @property
    def paid(self) -> bool:
        """Whether an answer costs money at a provider; `ask` raises `UnavailableError` only where none was spent."""
        ...

    async def verify(self) -> None:
        """Ask once, when a process starts, whether what the settings name is what is there.

        Raises:
            ConfigurationError: it is not. What is merely away is a line in the log.
        """
        ...

    async def create_index(self, tenant_id: UUID, project_id: UUID) -> str:
        """Make the project's index and return its `vector_store_id`; an existing one is returned as it is.

        No transaction is open: a provider may be asked. Callers at the same time all get the one index.
        """
        ...

    async def prepare(self, source: DocumentSource) -> PreparedIndex:
        """Everything slow about indexing a document; no transaction is open."""
        ...

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        """The document is out of every answer from this transaction's commit on."""
        ...

    async def find(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> UUID | None:
        """The live document made of these bytes.

        Until the transaction ends, other callers with the same bytes wait here and the document cannot be hidden.
        """
        ...

    async def lock(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        """Until the transaction ends no other file can begin to share the document."""
        ...

    async def embedded(self, session: AsyncSession, tenant_id: UUID, project_id: UUID) -> Mapping[UUID, float]:
        """How much of each live document of the project has its embeddings, 0 to 1; 1 where the embedder is off.

        0 where the project's embedder is not set up here any more.
        """
        ...

    async def purge(self, tenant_id: UUID, document_id: UUID) -> Purged:
        """Remove what a hidden document left in the index and at a provider. Repeatable."""
        ...

    async def abandon(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> None:
        """No unfinished file has these bytes: what is made of them and no document yet is nobody's from the commit on.

        Raises:
            ProviderError: not now, since it is being made.
        """
        ...

    async def discard(self, tenant_id: UUID, project_id: UUID, sha256: bytes) -> Purged:
        """Remove what was abandoned of these bytes in the index and at a provider. Repeatable."""
        ...

    async def backfill_embeddings(self) -> bool:
        """Bring the slow part of the indexes (embeddings) one batch further, over all tenants, oldest document first.

        Returns false when nothing is left to do. Processes that call it at the same time take different documents.
        """
        ...

    async def damaged(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Tenant and project of indexes that a provider lost, all or in part, and that nobody rebuilds now."""
        ...

    async def rebuild(self, tenant_id: UUID, project_id: UUID) -> RebuiltIndex | None:
        """Make a damaged index again from the stored documents; `None` where there is nothing to write.

        Repeatable, and of any number of callers at once one does it. Nothing is charged.
        """
        ...

    async def ask(
        self,
        tenant_id: UUID,
        project_id: UUID,
        question: str,
        usage: TokenUsage,
        listener: AnswerListener | None = None,
    ) -> Answer:
        """Answer from the project's documents, or say that they do not hold the answer.

        Whatever happens, a cancellation too, `usage` has what was spent. Cancelling stops the model. The listener
        hears the answer as far as it can be told while it is made, which for a refusal is nothing.
        """
        ...

    async def search(self, tenant_id: UUID, project_id: UUID, query: str, limit: int) -> Sequence[FoundPassage]:
        """The passages of visible documents that fit the query best, best first; no model writes. At most `limit`.

        No transaction is open while a model or a provider works. Cancelling stops it.
        """
        ...

    async def reconcile(self) -> int:
        """Remove what is ours at a provider and belongs to nothing any more; the number of objects. Repeatable."""
        ...

    async def close(self) -> None:
        """Let go of connections of its own."""
        ...
