"""The address of a bucket, and the clients that read and write in it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode, urlsplit

import obstore
from obstore.store import S3Store

from fastapi_ignite.core.connection_sections import S3Settings
from fastapi_ignite.infra.storage.s3_errors import disk_errors

if TYPE_CHECKING:  # the library has these types for type checkers only
    from obstore.store import RetryConfig, S3Credential, S3CredentialProvider

CONNECT_SECONDS = 5
# An answer may take long, as long as its bytes keep coming; the limit of each wait is a setting.
LONGEST_TRANSFER = timedelta(hours=12)
RETRIES: RetryConfig = {"max_retries": 3, "retry_timeout": timedelta(seconds=15)}
SIGNED_FOR = timedelta(minutes=1)


class Bucket:
    """Makes clients of one bucket. Every client has the same timeouts, retries and keys."""

    def __init__(self, settings: S3Settings) -> None:
        if settings.bucket is None:
            raise ValueError("the settings name no bucket")
        self.prefix = f"{settings.prefix}/" if settings.prefix else ""
        self._settings = settings
        self._url = _bucket_url(settings.bucket, settings)

    def client(self) -> S3Store:
        """Return a client whose keys are below the prefix."""
        return self._client_at(self._url, self.prefix.rstrip("/") or None)

    async def signed_url(self, method: str, key: str = "", **query: str) -> str:
        """Return a URL for a request that the library does not offer. It is valid for a minute and must not be logged.

        The library signs paths, but not queries. So the query becomes the end of the endpoint, and the path that the
        library appends becomes a parameter whose name begins with `x-`, which S3 ignores:
        https://docs.aws.amazon.com/AmazonS3/latest/userguide/LogFormat.html
        """
        path = f"/{quote(key)}" if key else ""
        endpoint = f"{self._url}{path}?{urlencode(query, quote_via=quote)}&x-ignite="
        return str(await obstore.sign_async(self._client_at(endpoint, None), method, "1", SIGNED_FOR))  # type: ignore[call-overload]  # the method is one of the library's literals

    def _client_at(self, endpoint: str, prefix: str | None) -> S3Store:
        settings = self._settings
        wait = timedelta(seconds=settings.timeout_seconds)
        with disk_errors():
            return S3Store(
                settings.bucket,
                prefix=prefix,
                endpoint=endpoint,
                region=settings.region,
                virtual_hosted_style_request=True,  # the library takes the endpoint as the bucket's address
                skip_signature=False,
                client_options={
                    "allow_http": settings.allow_http,
                    "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                    "read_timeout": wait,
                    "timeout": LONGEST_TRANSFER,
                },
                retry_config=RETRIES,
                credential_provider=_own_keys(settings),
            )


def _own_keys(settings: S3Settings) -> S3CredentialProvider | None:
    """Return the keys of the settings, which the library must not mix with a token of the environment."""
    access_key_id, secret = settings.access_key_id, settings.secret_access_key
    if access_key_id is None or secret is None:
        return None

    def keys() -> S3Credential:
        return {
            "access_key_id": access_key_id,
            "secret_access_key": secret.get_secret_value(),
            "token": None,
            "expires_at": None,
        }

    return keys


def _bucket_url(bucket: str, settings: S3Settings) -> str:
    endpoint = urlsplit(settings.endpoint_url or f"https://s3.{settings.region}.amazonaws.com")
    if settings.path_style:
        return f"{endpoint.scheme}://{endpoint.netloc}/{bucket}"
    return f"{endpoint.scheme}://{bucket}.{endpoint.netloc}"
