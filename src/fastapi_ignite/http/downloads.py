"""Headers of downloads: file names, entity tags and byte ranges (RFC 6266, RFC 8187, RFC 9110)."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import quote

from fastapi_ignite.core.errors import Example, IgniteError

# Formats that no browser shows and that run nothing; everything else is sent as bytes of no known type.
SAFE_MEDIA_TYPES = frozenset(
    {
        "application/epub+zip",
        "application/vnd.oasis.opendocument.presentation",
        "application/vnd.oasis.opendocument.spreadsheet",
        "application/vnd.oasis.opendocument.text",
        "application/vnd.openxmlformats-officedocument.presentationml.presentation",
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    }
)
ANY_BYTES = "application/octet-stream"
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*", re.IGNORECASE | re.ASCII)
_ATTRIBUTE_CHARACTERS = "!#$&+-.^_`|~"


class RangeNotSatisfiableError(IgniteError):
    """The range of bytes begins behind the end."""

    status = 416
    code = "range_not_satisfiable"
    title = "Range not satisfiable"
    example = Example("The file has 651 bytes.")


@dataclass(frozen=True, slots=True)
class ByteRange:
    """The bytes from `start` to before `end`, of `total`. `status` is 206 for a part that was asked for."""

    start: int
    end: int
    total: int
    status: int

    @property
    def length(self) -> int:
        return self.end - self.start

    def headers(self) -> dict[str, str]:
        """Return the length and, for a part, its place."""
        place = {"Content-Range": f"bytes {self.start}-{self.end - 1}/{self.total}"} if self.status == 206 else {}  # noqa: PLR2004  Partial Content
        return {"Content-Length": str(self.length), **place}


def attachment(filename: str) -> str:
    """Return a Content-Disposition that makes browsers save the file under its name, whatever characters it has.

    Old clients read the ASCII form, in which other characters are underscores. Folders in the name are left out,
    because a browser decides where it saves the file.
    """
    name = filename.rpartition("/")[2]
    printable = "".join("_" if unicodedata.category(each)[0] == "C" else each for each in name)
    plain = re.sub(r"[^ !#$&'()+,.0-9;=@A-Z\[\]^_`a-z{}~-]", "_", printable)
    if plain == printable:
        return f'attachment; filename="{plain}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(printable, safe=_ATTRIBUTE_CHARACTERS)}"


def is_known(etag: str, headers: Mapping[str, str]) -> bool:
    """Tell whether the client has these bytes already: If-None-Match names them, or is `*`."""
    condition = headers.get("if-none-match", "")
    return condition.strip() == "*" or any(each.strip().removeprefix("W/") == etag for each in condition.split(","))


def requested_range(headers: Mapping[str, str], *, etag: str, total: int) -> ByteRange:
    """Return the part that the client asks for, or everything.

    Several ranges at once, other units and malformed ranges are ignored, as RFC 9110 allows, and so is a range of bytes
    that the client knows under another entity tag.

    Raises:
        RangeNotSatisfiableError: The range begins behind the end.
    """
    whole = ByteRange(0, total, total, 200)
    found = _RANGE.fullmatch(headers.get("range", ""))
    if found is None or headers.get("if-range", etag).strip() != etag:
        return whole
    first, last = found.groups()
    if not first and not last:
        return whole
    if not first:
        start, end = max(0, total - int(last)), total
    else:
        start, end = int(first), min(total, int(last) + 1) if last else total
        if last and int(last) < start:
            return whole
    if start >= end:
        raise RangeNotSatisfiableError(
            f"The file has {total} bytes.", headers={"Content-Range": f"bytes */{total}", "Accept-Ranges": "bytes"}
        )
    return ByteRange(start, end, total, 206)


def download_headers(filename: str, *, etag: str, media_type: str | None) -> dict[str, str]:
    """Return headers with which a browser saves the bytes, and neither shows nor runs them."""
    return {
        "Content-Type": media_type if media_type in SAFE_MEDIA_TYPES else ANY_BYTES,
        "Content-Disposition": attachment(filename),
        "Content-Security-Policy": "sandbox; default-src 'none'; frame-ancestors 'none'",
        "X-Content-Type-Options": "nosniff",
        "Cache-Control": "private, no-cache",
        "Accept-Ranges": "bytes",
        "ETag": etag,
    }
