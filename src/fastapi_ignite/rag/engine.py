"""Features use an engine through this protocol. It searches a project's documents and answers from them.

Every engine is a `RagEngine`. What only some engines need is a protocol of its own: callers ask with `isinstance`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable
from uuid import UUID

from sqlalchemy.ext.asyncio import AsyncSession

from fastapi_ignite.rag.extraction import ExtractedText


@dataclass(frozen=True, slots=True)
class DocumentSource:
    """An extracted document that is to be indexed.

    `whole` says that it takes the place of another one, which answers until then: what an engine would add in the
    background, such as embeddings, is to be there when it is written.
    """

    tenant_id: UUID
    project_id: UUID
    document_id: UUID
    sha256: bytes
    extracted: ExtractedText
    whole: bool = False


Support = Literal["quoted", "aligned", "retrieved"]


@dataclass(frozen=True, slots=True)
class Citation:
    """A proven quote: the engine has checked that `document_text[char_start:char_end] == quote`.

    Offsets count Unicode code points of the stored text, end exclusive. `page` is 1-based, or None without pages.
    `support` is `quoted` when the answerer gave these words, `aligned` when a piece of the sources was found that
    says what the answer says, and `retrieved` when the answer names a source in another language.
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
    """An answer. When nothing relevant was found, `answerable` is false and there are no citations.

    `truncated` says that the model reached the longest answer that the settings allow.
    """

    text: str
    answerable: bool
    citations: tuple[Citation, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class FoundPassage:
    """A passage that was found for a question. Its offsets and `page` are like those of a citation.

    `score` is between 0 and 1. It ranks the passages of one question and means nothing across questions.
    """

    document_id: UUID
    text: str
    char_start: int
    char_end: int
    page: int | None
    score: float


@dataclass(frozen=True, slots=True)
class AttributeCondition:
    """A condition on the attributes of files, which PostgreSQL evaluates.

    `path` is a predicate of jsonpath on the list of the values that a file has for `keys`. It has no text of a caller:
    the values that it compares with are in `variables`, as JSON.
    """

    keys: Sequence[str]
    path: str
    variables: str

    @property
    def parameters(self) -> dict[str, object]:
        """Return the parameters of a statement that evaluates it."""
        return {"keys": self.keys, "path": self.path, "variables": self.variables}


@dataclass(frozen=True, slots=True)
class SourcesFound:
    """An answer begins, from these passages. What an earlier event of the same question said is void."""

    passages: Sequence[FoundPassage]


@dataclass(frozen=True, slots=True)
class Cited:
    """A quote of the answer is proven."""

    citation: Citation


@dataclass(frozen=True, slots=True)
class Text:
    """The answer goes on with these words."""

    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The whole answer, which is the one that counts. It is the last event.

    `outdated` says that something which was read for it was removed or replaced meanwhile. What it says is still
    proven, but an answer that is made again may say more.
    """

    answer: Answer
    outdated: bool = False


AnswerEvent = SourcesFound | Cited | Text | Final


@dataclass(slots=True)
class TokenUsage:
    """The tokens that a question has cost so far. The engine adds to it while it works, since a failure costs too.

    `tokens_in` includes `tokens_cached`, which the provider read from its cache; `tokens_out` includes
    `tokens_reasoning`, which nobody sees. `estimated` says that a provider reported no usage and we counted.
    """

    tokens_in: int = 0
    tokens_out: int = 0
    tokens_cached: int = 0
    tokens_reasoning: int = 0
    estimated: bool = False

    @property
    def spent(self) -> bool:
        """Return whether any work was done."""
        return bool(self.tokens_in or self.tokens_out)

    def add(self, other: TokenUsage) -> None:
        self.tokens_in += other.tokens_in
        self.tokens_out += other.tokens_out
        self.tokens_cached += other.tokens_cached
        self.tokens_reasoning += other.tokens_reasoning
        self.estimated = self.estimated or other.estimated


@dataclass(frozen=True, slots=True)
class Purged:
    """Counts our chunks that one call removed, and lists the ids of objects removed at a provider."""

    chunks: int = 0
    provider_ids: tuple[str, ...] = ()


class PreparedIndex(Protocol):
    """An engine prepares this from a document outside any transaction."""

    @property
    def chunk_count(self) -> int:
        """Return how many chunks of ours the document has; 0 where a provider cuts it."""
        ...

    async def write(self, session: AsyncSession) -> None:
        """Write the document's rows. The caller completes the file in the same transaction."""
        ...


class RagEngine(Protocol):
    """Searches and answers. A method that takes a session works in the caller's transaction.

    No transaction may be open while the other methods run: a model or a provider may keep them waiting.
    """

    @property
    def name(self) -> str:
        """Return the name that projects are stored with."""
        ...

    @property
    def paid(self) -> bool:
        """Return whether answers cost money at a provider. `ask` raises `UnavailableError` only if none was spent."""
        ...

    async def create_index(self, tenant_id: UUID, project_id: UUID) -> str:
        """Create the project's index if it has none, and return its `vector_store_id`.

        Callers at the same time all get the same index.
        """
        ...

    async def prepare(self, source: DocumentSource) -> PreparedIndex:
        """Do everything slow about indexing a document."""
        ...

    async def hide(self, session: AsyncSession, tenant_id: UUID, document_id: UUID) -> None:
        """Take the document out of every answer from the commit on."""
        ...

    async def embedded(
        self, session: AsyncSession, tenant_id: UUID, project_id: UUID, documents: Collection[UUID] | None = None
    ) -> Mapping[UUID, float]:
        """Return how much of each visible document has its embeddings, between 0 and 1; 1 where none are made.

        It returns the documents of the whole project, or only these ones.

        It is 0 where the project's embedder is not set up here any more.
        """
        ...

    async def purge(self, tenant_id: UUID, document_id: UUID) -> Purged:
        """Remove what a hidden document left in the index and at a provider. It may be called again."""
        ...

    def remove_index(self, tenant_id: UUID, project_id: UUID) -> AsyncGenerator[Sequence[str]]:
        """Remove the index and the documents of a project that nobody sees any more, in bounded transactions.

        Each step yields the ids of objects that it removed at a provider. It may be called again. It works with the
        rights of the system, so only a worker can call it.

        Raises:
            ProviderError: Something stays at the provider for now; call it again later.
        """
        ...

    def ask(
        self,
        tenant_id: UUID,
        project_id: UUID,
        question: str,
        usage: TokenUsage,
        *,
        stream: bool = False,
        within: AttributeCondition | None = None,
    ) -> AsyncGenerator[AnswerEvent]:
        """Answer from the project's documents, or say that they do not hold the answer.

        With `within` only documents count that have a completed file which meets the condition.
        Without `stream` the only event is `Final`. With it, the others come while the model works: no text comes
        before a first quote is proven, and the text is how the answer begins, unless a document is removed meanwhile
        or the model takes its words back. Whatever happens, a cancellation too, `usage` has what was spent. Closing
        the generator stops the model.
        """
        ...

    async def search(
        self,
        tenant_id: UUID,
        project_id: UUID,
        query: str,
        limit: int,
        *,
        within: AttributeCondition | None = None,
        per_document: int | None = None,
    ) -> Sequence[FoundPassage]:
        """Return at most `limit` passages of visible documents, best first. No model writes. Cancelling stops it.

        `within` is that of `ask`. `per_document` is the largest number of passages of each document.
        """
        ...

    async def close(self) -> None:
        """Close the engine's own connections."""
        ...


@runtime_checkable
class GroupIndexing(RagEngine, Protocol):
    """An engine that writes several documents of a project by few statements, so that many small ones go in fast."""

    async def write_together(self, session: AsyncSession, prepared: Sequence[PreparedIndex]) -> None:
        """Write all the documents' rows, as `PreparedIndex.write` does for one. They are of one project."""
        ...


@runtime_checkable
class EmbeddingBackfill(Protocol):
    """An engine that computes embeddings in the background, after a document can be searched by its words."""

    async def verify(self) -> None:
        """Check, when a process starts, that the embedding server is what the settings say.

        A server that is away is only logged.

        Raises:
            ConfigurationError: the server answers other vectors than the settings name.
        """
        ...

    async def backfill_embeddings(self) -> bool:
        """Embed one batch of the oldest documents of all tenants. Return False when nothing is left to do.

        Processes that call it at the same time take different documents.
        """
        ...


@runtime_checkable
class IndexMaintenance(Protocol):
    """An engine whose indexes are built and dropped in the background, as projects grow and shrink."""

    async def maintain_indexes(self) -> None:
        """Build the indexes that are missing, and drop those that are not needed. It may take hours.

        Of processes that call it at the same time one does the work.
        """
        ...


class RebuiltIndex(Protocol):
    """An index that was made again outside any transaction."""

    @property
    def vector_store_id(self) -> str:
        """Return the id that callers see from now on."""
        ...

    async def write(self, session: AsyncSession) -> None:
        """Let the index answer from the commit on. The caller links its id in the same transaction.

        Raises:
            StaleAttemptError: another attempt took over.
        """
        ...


@runtime_checkable
class StoreMaintenance(Protocol):
    """An engine that keeps documents at a provider, where unfinished work is left and finished work is lost."""

    async def abandon(self, session: AsyncSession, tenant_id: UUID, project_id: UUID, sha256: bytes) -> None:
        """Give up what was made of these bytes and is no document yet. No unfinished file may have the bytes.

        Raises:
            ProviderError: it is being made just now; try again later.
        """
        ...

    async def discard(self, tenant_id: UUID, project_id: UUID, sha256: bytes) -> Purged:
        """Remove at the provider what was abandoned of these bytes. It may be called again."""
        ...

    async def damaged(self, limit: int) -> Sequence[tuple[UUID, UUID]]:
        """Return tenant and project of indexes that the provider lost, all or in part, and that nobody rebuilds now."""
        ...

    async def rebuild(self, tenant_id: UUID, project_id: UUID) -> RebuiltIndex | None:
        """Make a damaged index again from the stored documents, or return None when there is nothing to write.

        It may be called again; of any number of callers at once one does the work. Nothing is charged.
        """
        ...

    async def reconcile(self) -> int:
        """Remove what is ours at the provider and belongs to nothing any more. Return the number of objects."""
        ...
