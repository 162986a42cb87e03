"""Find and remove unfinished multipart uploads, whose parts are invisible but paid for."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime, timedelta

import httpx2
from lxml import etree

from fastapi_ignite.core import clock
from fastapi_ignite.infra.storage.base import is_tenant_object
from fastapi_ignite.infra.storage.s3_bucket import CONNECT_SECONDS, Bucket
from fastapi_ignite.infra.storage.s3_errors import ObjectStoreError, disk_errors

# A slow upload in progress is younger.
ABANDONED_AFTER = timedelta(hours=24)
MAX_PAGES = 10  # of a thousand uploads each
ANSWER_SECONDS = 30
GONE = 404


@dataclass(frozen=True, slots=True)
class UnfinishedUpload:
    """A multipart upload in progress, or one that a crash left behind."""

    key: str
    upload_id: str
    began_at: datetime


async def remove_unfinished(bucket: Bucket) -> int:
    """Remove the multipart uploads below the prefix that began a day ago, and return their number.

    Raises:
        ObjectStoreError: the store is away or refuses it.
    """
    removed = 0
    timeout = httpx2.Timeout(ANSWER_SECONDS, connect=CONNECT_SECONDS)
    try:
        async with httpx2.AsyncClient(timeout=timeout) as http:
            async for each in _unfinished(bucket, http):
                if _is_ours(bucket, each.key) and clock.now() - each.began_at > ABANDONED_AFTER:
                    await _request(bucket, http, "DELETE", each.key, uploadId=each.upload_id)
                    removed += 1
    except httpx2.HTTPError as error:
        raise ObjectStoreError(f"S3: unfinished uploads cannot be listed ({type(error).__name__})") from None
    return removed


def _is_ours(bucket: Bucket, key: str) -> bool:
    return key.startswith(bucket.prefix) and is_tenant_object(key.removeprefix(bucket.prefix))


async def _unfinished(bucket: Bucket, http: httpx2.AsyncClient) -> AsyncGenerator[UnfinishedUpload]:
    place: dict[str, str] = {}
    for _ in range(MAX_PAGES):
        answer = await _request(bucket, http, "GET", uploads="", prefix=bucket.prefix, **place)
        page = etree.fromstring(answer, etree.XMLParser(resolve_entities=False, no_network=True))
        for upload in page.iterfind("{*}Upload"):
            yield UnfinishedUpload(
                upload.findtext("{*}Key", ""),
                upload.findtext("{*}UploadId", ""),
                datetime.fromisoformat(upload.findtext("{*}Initiated", "")),
            )
        if page.findtext("{*}IsTruncated") != "true":
            return
        place = {
            "key-marker": page.findtext("{*}NextKeyMarker", ""),
            "upload-id-marker": page.findtext("{*}NextUploadIdMarker", ""),
        }


async def _request(bucket: Bucket, http: httpx2.AsyncClient, method: str, key: str = "", **query: str) -> bytes:
    """Send a signed request. An upload that is not there any more is no error."""
    with disk_errors():
        url = await bucket.signed_url(method, key, **query)
    answer = await http.request(method, url)
    if not answer.is_success and not (method == "DELETE" and answer.status_code == GONE):
        raise ObjectStoreError(f"S3 refuses to list or remove unfinished uploads (status {answer.status_code})")
    return answer.content
