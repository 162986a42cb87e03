"""Open the storage that the settings name."""

from __future__ import annotations

import structlog

from fastapi_ignite.core.config import Settings
from fastapi_ignite.core.errors import ConfigurationError
from fastapi_ignite.infra.storage.base import Storage
from fastapi_ignite.infra.storage.local import LocalStorage

log = structlog.get_logger(__name__)


def open_storage(settings: Settings) -> Storage:
    """Return the local folder or the bucket. The library of S3 is imported only for a bucket; it takes 15 MB.

    Raises:
        ConfigurationError: no client can be made, for example without CA certificates.
    """
    folder = settings.ignite.data_dir / "storage"
    if settings.storage.backend == "local":
        return LocalStorage(folder)
    from fastapi_ignite.infra.storage.s3 import S3Storage  # noqa: PLC0415  # see above

    try:
        return S3Storage(settings.s3, folder / "copies")
    except OSError as error:
        raise ConfigurationError(f"STORAGE_BACKEND=s3: {error.strerror}") from None


async def verify_storage(settings: Settings, storage: Storage) -> None:
    """Refuse to start with a bucket that is not there or not ours. A storage that is away only gives a warning.

    Raises:
        ConfigurationError: the bucket does not exist, or the keys do not open it.
    """
    if settings.storage.backend == "local":
        return
    from fastapi_ignite.infra.storage.s3_errors import BucketRefusedError  # noqa: PLC0415  # imports the library

    try:
        await storage.check()
    except BucketRefusedError as error:
        raise ConfigurationError(f"S3_BUCKET: {error.strerror}") from None
    except OSError as error:
        log.warning("the storage does not answer; uploads wait until it does", reason=error.strerror)
