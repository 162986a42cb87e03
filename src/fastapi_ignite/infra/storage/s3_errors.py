"""Turn the errors of an object store into those of a disk, which the callers of every storage know."""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager

from obstore.exceptions import BaseError

_CODE = re.compile(r"<Code>(\w+)</Code>")
_STATUS = re.compile(r"status code: (\d{3})")
_MISSING_BUCKET = "NoSuchBucket"
_REFUSED_STATUS = frozenset({"301", "307", "400", "401", "403"})
MAX_REASON = 300


class ObjectStoreError(OSError):
    """The object store cannot be used at the moment. As an input/output error it is an outage like that of a disk."""

    def __init__(self, reason: str) -> None:
        super().__init__(errno.EIO, reason)
        self.reason = reason

    def __str__(self) -> str:
        """Return the reason without the number, which says nothing about a store."""
        return self.reason


class BucketRefusedError(ObjectStoreError):
    """The bucket does not exist, or our keys do not open it. It stays so until an operator acts."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """Raise the library's errors as `ObjectStoreError`. FileNotFoundError passes, except for a missing bucket."""
    try:
        yield
    except BaseError as error:
        raise _explained(str(error)) from None
    except FileNotFoundError as error:
        if _MISSING_BUCKET in str(error):
            raise _explained(str(error)) from None
        raise


def _explained(text: str) -> ObjectStoreError:
    """Say what happened. Only the answer's code or the first line is repeated; neither has keys or signatures."""
    code = _CODE.search(text)
    status = _STATUS.search(text)
    if "No CA certificates" in text:
        return BucketRefusedError("S3: this machine has no CA certificates; install them, or set SSL_CERT_FILE")
    if code and code[1] == _MISSING_BUCKET:
        return BucketRefusedError("S3: the bucket does not exist")
    if status and status[1] in _REFUSED_STATUS:
        name = code[1] if code else f"status {status[1]}"
        return BucketRefusedError(f"S3 refuses the access ({name}); check the keys, their rights and the region")
    return ObjectStoreError(f"S3: {text.partition(chr(10))[0][:MAX_REASON]}")
