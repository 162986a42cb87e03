"""The settings of the engines and of the model servers they speak to."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, SecretStr, ValidationInfo, field_validator
from pydantic_settings import SettingsConfigDict

from fastapi_ignite.core.sections import Section


class OpenAISettings(Section):
    """The hosted engine."""

    model_config = SettingsConfigDict(env_prefix="OPENAI_")
    api_key: SecretStr | None = Field(None, description="Key of the OpenAI project.")
    base_url: str = Field(
        "https://api.openai.com/v1", pattern=r"^https?://[^\s?#]+$", description="Where the service is."
    )
    organization: str | None = Field(None, max_length=200, description="Organisation the calls are charged to.")
    project: str | None = Field(None, max_length=200, description="Project the calls are charged to.")
    model: str = Field("gpt-4.1-mini", min_length=1, max_length=200, description="Model that answers.")
    max_output_tokens: int = Field(2000, ge=16, le=100_000, description="Longest answer.")
    timeout_seconds: float = Field(60, gt=0, le=600, description="Longest call about files and stores.")
    ask_timeout_seconds: float = Field(
        90, gt=0, le=240, description="Longest wait for an answer; below the five minutes a message is held."
    )
    index_timeout_seconds: float = Field(
        600, gt=0, le=7200, description="How long OpenAI may take to index one file, before it is attached once more."
    )


class RagSettings(Section):
    """Retrieval of new projects; a project keeps what it was made with."""

    model_config = SettingsConfigDict(env_prefix="RAG_")
    engine: Literal["auto", "openai", "local"] = Field(
        "auto", description="Engine of new projects; `auto` is `openai` where `OPENAI_API_KEY` is set, else `local`."
    )
    embedder: Literal["auto", "minilm", "none", "http"] = Field(
        "auto",
        description="Embedder of new projects: `http` is the server of `EMBEDDING_BASE_URL`, `minilm` the model in the "
        "package, `none` searches by words alone; `auto` is `http` where that server is set, else `minilm`.",
    )


class EmbeddingSettings(Section):
    """A server with OpenAI's embeddings endpoint, for the local engine."""

    model_config = SettingsConfigDict(env_prefix="EMBEDDING_")
    base_url: str | None = Field(
        None,
        max_length=2000,
        pattern=r"^https?://[^\s?#]+$",
        description="Where the server is, up to `/v1`; wants `EMBEDDING_MODEL`.",
    )
    model: str | None = Field(
        None, max_length=200, pattern=r"^[\x21-\x7e]+$", description="Model to embed with, by the server's name for it."
    )
    api_key: SecretStr | None = Field(None, description="Bearer token, where the server wants one.")
    dimensions: int | None = Field(
        None,
        ge=1,
        le=4000,
        description="Length of the vectors, asked of the server as `dimensions`; unset: what the model has by itself.",
    )
    batch_size: int = Field(64, ge=1, le=256, description="Most passages in one request.")
    max_input_tokens: int = Field(
        512, ge=16, le=32768, description="Longer texts are cut before they are sent; about the limit of the model."
    )
    max_concurrency: int = Field(8, ge=1, le=256, description="Requests a process has under way at a time.")
    timeout_seconds: float = Field(30, gt=0, le=60, description="Longest wait for a batch of passages.")
    query_timeout_seconds: float = Field(
        3, gt=0, le=60, description="Longest wait for a question; then it is searched for by its words."
    )


class AnswerSettings(Section):
    """A model that writes the local engine's answers, on any OpenAI-compatible server."""

    model_config = SettingsConfigDict(env_prefix="ANSWER_")
    model: str | None = Field(
        None, min_length=1, max_length=200, description="Model that answers; unset: sentences of the files do."
    )
    base_url: str | None = Field(
        None,
        pattern=r"^https?://[^\s?#]+$",
        max_length=2000,
        validate_default=True,
        description="Where the model is, for example `http://localhost:11434/v1`.",
    )
    api_key: SecretStr | None = Field(None, description="Key of that server, where it wants one.")
    api: Literal["auto", "responses", "chat"] = Field(
        "auto", description="`auto`: Responses where the server has them, else chat completions."
    )
    timeout_seconds: float = Field(
        90, gt=0, le=240, description="Longest wait for an answer; below the five minutes a message is held."
    )
    max_output_tokens: int = Field(
        2000, ge=16, le=100_000, description="Longest answer, with what a model thinks before it."
    )
    passages: int = Field(6, ge=1, le=20, description="Passages the model reads.")
    passage_tokens: int = Field(
        3000, ge=500, le=100_000, description="Their length together, about; the model's context holds more than this."
    )

    @field_validator("base_url")
    @classmethod
    def _beside_a_model(cls, value: str | None, info: ValidationInfo) -> str | None:
        if (value is None) != (info.data.get("model") is None):
            raise ValueError("ANSWER_MODEL and ANSWER_BASE_URL are set together, or neither")
        return value
