"""The tables of what we make at the provider. A row is written first, so that a crash leaves nothing unknown."""

from __future__ import annotations

from datetime import datetime
from uuid import UUID

from sqlalchemy import CheckConstraint, Index, LargeBinary, func, text
from sqlalchemy.orm import Mapped, mapped_column

from fastapi_ignite.infra.db import Base, TenantScoped, Timestamped
from fastapi_ignite.rag.documents.models import project_key


class ProviderStore(Timestamped, Base):
    """A project's vector store. Its metadata names `id`, so that it is found even if its own id was lost.

    It is `creating` and then `ready`. A store that is gone at the provider is `lost` until another is made, which is
    `filling` until all files are in it, and then `ready`.
    """

    __tablename__ = "provider_stores"
    __table_args__ = (
        project_key(),
        CheckConstraint("(provider_id IS NOT NULL) = (state IN ('ready', 'filling'))", name="provider_id"),
        CheckConstraint("state IN ('creating', 'ready', 'lost', 'filling')", name="state"),
        Index("ix_provider_stores_damaged", "lease_until", postgresql_where=text("state IN ('lost', 'filling')")),
    )

    tenant_id: Mapped[UUID] = mapped_column(primary_key=True)
    project_id: Mapped[UUID] = mapped_column(primary_key=True)
    id: Mapped[UUID]
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="1")
    lease_until: Mapped[datetime] = mapped_column(server_default=func.now())
    provider_id: Mapped[str | None]


class ProviderFile(TenantScoped, Timestamped, Base):
    """A document's text at the provider, under a name that is made of `id`.

    `document_id` is null until the document exists. Equal bytes of a project are one file, until it is being removed.
    `attached` says that the project's present store has it.
    """

    __tablename__ = "provider_files"
    __table_args__ = (
        project_key(),
        CheckConstraint("state IN ('working', 'ready', 'removing')", name="state"),
        Index(
            "uq_provider_files_live_sha256",
            "tenant_id",
            "project_id",
            "sha256",
            unique=True,
            postgresql_where=text("state <> 'removing'"),
        ),
        Index(
            "ix_provider_files_unattached",
            "tenant_id",
            "project_id",
            "id",
            postgresql_where=text("state = 'ready' AND NOT attached"),
        ),
        Index("ix_provider_files_withdrawn", "tenant_id", "project_id", postgresql_where=text("state = 'removing'")),
        Index("ix_provider_files_document", "tenant_id", "document_id"),
        Index("ix_provider_files_provider_id", "tenant_id", "provider_id"),
    )

    project_id: Mapped[UUID]
    document_id: Mapped[UUID | None]
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    state: Mapped[str]
    attempt: Mapped[int] = mapped_column(server_default="1")
    lease_until: Mapped[datetime] = mapped_column(server_default=func.now())
    provider_id: Mapped[str | None]
    attached: Mapped[bool] = mapped_column(server_default=text("false"))

    @property
    def attributes(self) -> dict[str, str]:
        """Return the attributes of the file in a store; searches are filtered by its project."""
        return {"project_id": str(self.project_id), "ignite_file": str(self.id)}

    def filename(self, installation: str) -> str:
        """Return the file's name at the provider."""
        return f"ignite-{installation}-{self.id}.md"

    @classmethod
    def id_in(cls, filename: str, installation: str) -> UUID | None:
        """Return the id of the row that a name at the provider was made of, or None if it is not ours."""
        prefix, suffix = f"ignite-{installation}-", ".md"
        try:
            return UUID(filename.removeprefix(prefix).removesuffix(suffix)) if filename.startswith(prefix) else None
        except ValueError:
            return None
