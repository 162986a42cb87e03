"""Settings of the answer engines and of the model servers that they call."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from fastapi_ignite.core.sections import Section


class OpenAISettings(Section):
    """The OpenAI engine."""

    model_config = SettingsConfigDict(env_prefix="OPENAI_")
    api_key: SecretStr | None = Field(None, description="API key of the OpenAI project.")
    base_url: str = Field(
        "https://api.openai.com/v1", pattern=r"^https?://[^\s?#]+$", description="URL of the OpenAI API."
    )
    organization: str | None = Field(None, max_length=200, description="Organisation that pays for the calls.")
    project: str | None = Field(None, max_length=200, description="Project that pays for the calls.")
    model: str = Field("gpt-4.1-mini", min_length=1, max_length=200, description="Model that writes the answers.")
    max_output_tokens: int = Field(2000, ge=16, le=100_000, description="Longest answer, in tokens.")
    timeout_seconds: float = Field(
        60, gt=0, le=600, description="Longest time of a call about files and vector stores."
    )
    ask_timeout_seconds: float = Field(
        90,
        gt=0,
        le=240,
        description="Longest wait for an answer. It must end before the five minutes for which a message is reserved.",
    )
    index_timeout_seconds: float = Field(
        600, gt=0, le=7200, description="How long OpenAI may take to index one file. Then the file is attached again."
    )


class RagSettings(Section):
    """Search and answers of new projects. A project keeps the engine and embedder that it was created with."""

    model_config = SettingsConfigDict(env_prefix="RAG_")
    engine: Literal["auto", "openai", "local"] = Field(
        "auto", description="Engine of new projects. `auto`: `openai` if `OPENAI_API_KEY` is set, else `local`."
    )
    embedder: Literal["auto", "minilm", "none", "http"] = Field(
        "auto",
        description="Embedder of new projects. `http` uses the server at `EMBEDDING_BASE_URL`, `minilm` the model in "
        "the package, and `none` searches by words only. `auto` means `http` if that server is set, else `minilm`.",
    )


class EmbeddingSettings(Section):
    """A server with an OpenAI-compatible embeddings endpoint, for the local engine."""

    model_config = SettingsConfigDict(env_prefix="EMBEDDING_")
    base_url: str | None = Field(
        None,
        max_length=2000,
        pattern=r"^https?://[^\s?#]+$",
        description="URL of the server, up to `/v1`. It requires `EMBEDDING_MODEL`.",
    )
    model: str | None = Field(
        None, max_length=200, pattern=r"^[\x21-\x7e]+$", description="The server's name of the embedding model."
    )
    api_key: SecretStr | None = Field(None, description="Bearer token, if the server requires one.")
    dimensions: int | None = Field(
        None,
        ge=1,
        le=4000,
        description="Length of the vectors, sent to the server as `dimensions`. Unset: the model's own length.",
    )
    batch_size: int = Field(64, ge=1, le=256, description="Largest number of passages in one request.")
    max_input_tokens: int = Field(
        512,
        ge=16,
        le=32768,
        description="Longer texts are cut before they are sent. Set it near the limit of the model.",
    )
    max_concurrency: int = Field(8, ge=1, le=256, description="Concurrent requests of one process.")
    timeout_seconds: float = Field(30, gt=0, le=60, description="Longest wait for a batch of passages.")
    query_timeout_seconds: float = Field(
        3, gt=0, le=60, description="Longest wait for the embedding of a question. Then the search uses its words only."
    )


class VectorIndexSettings(Section):
    """Vector indexes of large projects of the local engine. A worker builds them in the background."""

    model_config = SettingsConfigDict(env_prefix="VECTOR_INDEX_")
    min_chunks: int = Field(
        20_000,
        ge=100,
        le=1_000_000_000,
        description="A project with at least so many passages gets an index; of a smaller one all are compared.",
    )
    memory_mb: int | None = Field(
        None,
        ge=64,
        le=262_144,
        description="Memory that PostgreSQL may use to build one, else its own `maintenance_work_mem`. A passage with "
        "MiniLM needs 2 KB; with less it takes several times as long. In a container `/dev/shm` must be larger.",
    )


class AnswerSettings(Section):
    """The model that writes the local engine's answers, on any OpenAI-compatible server."""

    model_config = SettingsConfigDict(env_prefix="ANSWER_")
    model: str | None = Field(
        None,
        min_length=1,
        max_length=200,
        description="Model that writes the answers. Unset: answers are sentences of the files.",
    )
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        max_length=2000,
        validate_default=True,
        description="URL of the model's server, for example `http://localhost:11434/v1`.",
    )
    api_key: SecretStr | None = Field(None, description="API key of that server, if it requires one.")
    api: Literal["auto", "responses", "chat"] = Field(
        "auto", description="API to call. `auto` means Responses if the server has it, else Chat Completions."
    )
    timeout_seconds: float = Field(
        90,
        gt=0,
        le=240,
        description="Longest wait for an answer. It must end before the five minutes for which a message is reserved.",
    )
    max_output_tokens: int = Field(
        2000, ge=16, le=100_000, description="Longest answer in tokens, with the model's reasoning."
    )
    passages: int = Field(6, ge=1, le=20, description="Number of passages that the model reads.")
    passage_tokens: int = Field(
        3000,
        ge=500,
        le=100_000,
        description="Approximate length of all passages together. The model's context must be larger.",
    )

    @field_validator("base_url")
    @classmethod
    def _is_set_with_a_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        if (value is None) != (info.data.get("model") is None):
            raise ValueError("ANSWER_MODEL and ANSWER_BASE_URL must be set together, or neither")
        return value
