"""Load and validate all settings. Environment variables override `.env`."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, ValidationError, model_validator

from fastapi_ignite.core.connection_sections import (
    DatabaseUrlSettings,
    DramatiqSettings,
    PostgresSettings,
    RedisSettings,
    S3Settings,
    StorageSettings,
)
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.core.model_sections import (
    AnswerSettings,
    EmbeddingSettings,
    OpenAISettings,
    RagSettings,
    VectorIndexSettings,
)
from fastapi_ignite.core.production_checks import production_problems
from fastapi_ignite.core.sections import (
    DEVELOPMENT_SECRET,
    ApiKeySettings,
    AppSettings,
    BillingSettings,
    CacheSettings,
    CorsSettings,
    FileSettings,
    IgniteSettings,
    JwtSettings,
    RateLimitSettings,
    RetentionSettings,
    SchedulerSettings,
    Section,
    UploadSettings,
)
from fastapi_ignite.core.server_address import is_loopback
from fastapi_ignite.core.server_settings import ServerSettings

PRODUCTION_TOKEN_SECONDS = 86_400
PROJECT_ROOT = Path(__file__).resolve().parents[3]


class Settings(BaseModel):
    """All settings, validated together."""

    app: AppSettings
    server: ServerSettings
    cors: CorsSettings
    postgres: PostgresSettings
    database: DatabaseUrlSettings
    redis: RedisSettings
    dramatiq: DramatiqSettings
    cache: CacheSettings
    scheduler: SchedulerSettings
    openai: OpenAISettings
    jwt: JwtSettings
    api_key: ApiKeySettings
    rate_limit: RateLimitSettings
    billing: BillingSettings
    retention: RetentionSettings
    rag: RagSettings
    answer: AnswerSettings
    embedding: EmbeddingSettings
    vector_index: VectorIndexSettings
    upload: UploadSettings
    files: FileSettings
    storage: StorageSettings
    s3: S3Settings
    ignite: IgniteSettings

    @property
    def default_engine(self) -> Literal["openai", "local"]:
        """Return the engine that new projects get."""
        if self.rag.engine == "auto":
            return "openai" if self.openai.api_key else "local"
        return self.rag.engine

    @property
    def default_embedder(self) -> Literal["minilm", "none", "http"]:
        """Return the embedder that new projects of the local engine get."""
        if self.rag.embedder == "auto":
            return "http" if self.embedding.base_url else "minilm"
        return self.rag.embedder

    @model_validator(mode="after")
    def _embedding_server_has_a_model(self) -> Self:
        if self.embedding.base_url and not self.embedding.model:
            raise ConfigurationError("EMBEDDING_MODEL: must be set when EMBEDDING_BASE_URL is set")
        if self.embedding.model and not self.embedding.base_url:
            raise ConfigurationError("EMBEDDING_BASE_URL: must be set when EMBEDDING_MODEL is set")
        if self.rag.embedder == "http" and not self.embedding.base_url:
            raise ConfigurationError("EMBEDDING_BASE_URL: must be set when RAG_EMBEDDER=http")
        return self

    @model_validator(mode="after")
    def _bucket_is_complete(self) -> Self:
        if self.storage.backend == "s3" and not self.s3.bucket:
            raise ConfigurationError("S3_BUCKET: must be set when STORAGE_BACKEND=s3")
        if self.storage.backend != "s3" and self.s3.bucket:
            raise ConfigurationError("STORAGE_BACKEND: must be s3 when S3_BUCKET is set")
        if self.s3.access_key_id and not self.s3.secret_access_key:
            raise ConfigurationError("S3_SECRET_ACCESS_KEY: must be set when S3_ACCESS_KEY_ID is set")
        if self.s3.secret_access_key and not self.s3.access_key_id:
            raise ConfigurationError("S3_ACCESS_KEY_ID: must be set when S3_SECRET_ACCESS_KEY is set")
        if (self.s3.endpoint_url or "").startswith("http:") and not self.s3.allow_http:
            raise ConfigurationError("S3_ENDPOINT_URL: must be https://, or S3_ALLOW_HTTP must be true")
        return self

    @model_validator(mode="after")
    def _engine_has_its_key(self) -> Self:
        if self.rag.engine == "openai" and not self.openai.api_key:
            raise ConfigurationError("OPENAI_API_KEY: must be set when RAG_ENGINE=openai")
        return self

    @property
    def longest_token_lifetime(self) -> int | None:
        """Return how many seconds a token may be valid, or None for no limit."""
        if self.jwt.max_lifetime_seconds is None and self.app.production:
            return PRODUCTION_TOKEN_SECONDS
        return self.jwt.max_lifetime_seconds

    @model_validator(mode="after")
    def _production_guards(self) -> Self:
        problems = list(production_problems(self)) if self.app.production else []
        if problems:
            raise ConfigurationError("\n".join(problems))
        return self

    def require_safe_address(self, host: str) -> None:
        """Raise a ConfigurationError if the API would listen on a network with the default secret."""
        default_secret = self.jwt.secret.get_secret_value() == DEVELOPMENT_SECRET and not self.jwt.jwks_url
        if default_secret and not is_loopback(host) and not self.app.allow_insecure:
            raise ConfigurationError(
                f"JWT_SECRET is the development default, so HOST={host} is refused. Anyone could sign a token. "
                "Set JWT_SECRET, listen on 127.0.0.1, or set ALLOW_INSECURE=1 inside a private network."
            )


def variable_name(section: type[Section], field: str) -> str:
    """Return the name of the environment variable that sets this field."""
    return f"{section.model_config.get('env_prefix', '')}{field}".upper()


def sections() -> dict[str, type[Section]]:
    """Return the settings sections by name, in the order of the documentation."""
    return {
        name: field.annotation
        for name, field in Settings.model_fields.items()
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section)
    }


def default_settings() -> Settings:
    """Return the default of every setting. The environment is not read."""
    return Settings.model_validate({name: section.model_construct() for name, section in sections().items()})


def load_settings(env_file: Path | None = Path(".env")) -> Settings:
    """Read `env_file` and the environment, which overrides it.

    Raises:
        ConfigurationError: some variables are wrong. Its detail has one line for each, with the name and the rule.
            It never repeats a value, which may be a secret.
    """
    problems: list[str] = []
    loaded: dict[str, Section] = {}
    for name, section in sections().items():
        try:
            loaded[name] = section(_env_file=env_file)
        except ValidationError as error:
            problems += [
                f"{variable_name(section, str(item['loc'][0]))}: {item['msg'].removeprefix('Value error, ')}"
                for item in error.errors(include_input=False, include_url=False)
            ]
        except UnicodeDecodeError:
            raise ConfigurationError(f"{env_file}: must be UTF-8 text") from None
    if problems:
        raise ConfigurationError("\n".join(problems))
    return Settings.model_validate(loaded)


@lru_cache
def get_settings() -> Settings:
    """Return the settings of this process. They are read once."""
    return load_settings()
