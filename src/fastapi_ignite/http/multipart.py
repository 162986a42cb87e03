"""A streaming reader of multipart/form-data. It writes files to storage as they arrive, and keeps none in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from fastapi import Request
from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import ClientDisconnect

from fastapi_ignite.core.errors import Example, InvalidInputError
from fastapi_ignite.http.disposition import field_and_filename
from fastapi_ignite.http.filenames import clean_filename
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError
from fastapi_ignite.infra.storage import ReceivedFile, UploadTarget, UploadWriter

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

MAX_PREAMBLE_BYTES = 64 * 1024
# The largest attributes of a file fit, also where every character is written as two escapes.
MAX_FIELD_BYTES = 128 * 1024
MAX_PARTS_BESIDE_FILES = 20
MAX_BOUNDARY_BYTES = 200
MAX_LENGTH_DIGITS = 18


class FileTooLargeError(BodyTooLargeError):
    """One file is larger than the limit."""

    code = "file_too_large"
    title = "File too large"
    example = Example("A file may have at most 52428800 bytes.", filename="scan.pdf", max_bytes=52428800)


class TooManyFilesError(InvalidInputError):
    """The request has more files or fields than allowed."""

    code = "too_many_files"
    title = "Too many files"
    example = Example("A request may have at most 50 files.", max_files=50)


class RepeatedFieldError(InvalidInputError):
    """A form field that may be sent once was sent again."""

    code = "repeated_field"
    title = "Repeated form field"
    example = Example("Send the form field 'attributes' once.", field="attributes")


@dataclass(frozen=True, slots=True)
class MultipartLimits:
    """Limits of one request, in bytes and files."""

    max_file_bytes: int
    max_request_bytes: int
    max_files: int


@dataclass(slots=True)
class _Part:
    """The part that is being read. It has no writer if it is not a file of the expected field.

    `text` is what was read of a field that is kept.
    """

    headers: dict[bytes, bytes] = field(default_factory=dict)
    header_name: bytes = b""
    header_value: bytes = b""
    filename: str | None = None
    writer: UploadWriter | None = None
    field_name: str = ""
    text: bytearray | None = None
    byte_count: int = 0


class _Preamble:
    """Passes over what stands before the first boundary: RFC 2046 allows a text there, which the parser does not."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"--" + boundary
        self._read: bytes | None = b""

    def behind(self, chunk: bytes) -> bytes:
        """Return what of the chunk the parser is to read.

        Raises:
            MalformedBodyError: The preamble is too long.
        """
        if self._read is None:
            return chunk
        self._read += chunk
        start = 0 if self._read.startswith(self._delimiter) else self._read.find(b"\n" + self._delimiter) + 1
        if start or self._read.startswith(self._delimiter):
            rest, self._read = self._read[start:], None
            return rest
        if len(self._read) > MAX_PREAMBLE_BYTES:
            raise MalformedBodyError("The multipart body does not begin with its boundary.")
        return b""


class MultipartReader:
    """Reads one request. After an error the incomplete file is removed from storage.

    `fields` says how to read the other fields that are kept. They may stand before or behind the files. What is wrong
    in one ends the reading there.
    """

    def __init__(
        self,
        request: Request,
        *,
        limits: MultipartLimits,
        field_name: str,
        fields: Mapping[str, Callable[[bytes], Any]] | None = None,
        keep_folders: bool = False,
    ) -> None:
        self._request = request
        self._keep_folders = keep_folders
        self._limits = limits
        self._field_name = field_name.encode()
        self._readers = fields or {}
        self._values: dict[str, Any] = {}
        self._events: list[tuple[str, bytes]] = []
        self._part = _Part()
        self._other_parts = 0
        self._finished = False
        self._received: list[ReceivedFile] = []
        self._writers: list[UploadWriter] = []

    def declared_bytes(self) -> int | None:
        """Return the length of the body as the request declares it, or None.

        Raises:
            BodyTooLargeError: The length is over the limit.
        """
        return require_length(self._request, self._limits)

    async def read(self, target: UploadTarget) -> list[ReceivedFile]:
        """Write every file of the field to the target, and return the files in order.

        Raises:
            MalformedBodyError: The body is not multipart, or was cut short.
            FileTooLargeError: A file is over its limit; reading stopped there.
            BodyTooLargeError: The request is over its limit; reading stopped there.
            RepeatedFieldError: A field that is kept was sent again.
        """
        boundary = self._boundary()
        parser = MultipartParser(boundary, self._callbacks())
        self._request.state.streams_body = True
        try:
            await self._parse(parser, _Preamble(boundary), target)
        except MultipartParseError:
            await self._abort()
            raise MalformedBodyError("The body is not valid multipart/form-data.") from None
        except ClientDisconnect:
            await self._abort()
            raise MalformedBodyError("The client disconnected before the body was complete.") from None
        except BaseException:
            await self._abort()
            raise
        return self._received

    async def _parse(self, parser: MultipartParser, preamble: _Preamble, target: UploadTarget) -> None:
        require_length(self._request, self._limits)
        total = 0
        async with aclosing(self._request.stream()) as chunks:
            async for chunk in chunks:
                total += len(chunk)
                _require_size(total, self._limits)
                parser.write(preamble.behind(chunk))
                await self._handle_events(target)
        if not self._finished:
            raise MalformedBodyError("The multipart body ends before its last boundary.")

    def _boundary(self) -> bytes:
        media_type, options = parse_options_header(self._request.headers.get("content-type"))
        boundary = options.get(b"boundary", b"")
        if media_type != b"multipart/form-data" or not 0 < len(boundary) <= MAX_BOUNDARY_BYTES:
            raise MalformedBodyError("Send the files as multipart/form-data.")
        return boundary

    def _callbacks(self) -> MultipartCallbacks:
        events = self._events

        def data(kind: str) -> Callable[[bytes, int, int], None]:
            return lambda chunk, start, end: events.append((kind, chunk[start:end]))

        def mark(kind: str) -> Callable[[], None]:
            return lambda: events.append((kind, b""))

        return {
            "on_part_begin": mark("begin"),
            "on_header_field": data("name"),
            "on_header_value": data("value"),
            "on_header_end": mark("header"),
            "on_headers_finished": mark("headers"),
            "on_part_data": data("data"),
            "on_part_end": mark("part"),
            "on_end": mark("end"),
        }

    async def _handle_events(self, target: UploadTarget) -> None:
        for kind, data in self._events:
            part = self._part
            if kind == "begin":
                self._part = _Part()
            elif kind == "name":
                part.header_name += data
            elif kind == "value":
                part.header_value += data
            elif kind == "header":
                part.headers[part.header_name.lower()] = part.header_value
                part.header_name = part.header_value = b""
            elif kind == "headers":
                await self._open_part(part, target)
            elif kind == "data":
                await self._write(part, data, target)
            elif kind == "part":
                await self._close_part(part)
            else:
                self._finished = True
        self._events.clear()

    async def _open_part(self, part: _Part, target: UploadTarget) -> None:
        field_name, filename = field_and_filename(part.headers.get(b"content-disposition"))
        if filename is None or field_name != self._field_name:
            self._other_parts += 1
            if self._other_parts > MAX_PARTS_BESIDE_FILES:
                raise TooManyFilesError("The request has too many parts that are not files.")
            self._open_field(part, field_name)
            return
        if len(self._received) >= self._limits.max_files:
            raise TooManyFilesError(
                f"A request may have at most {self._limits.max_files} files.", max_files=self._limits.max_files
            )
        part.filename = clean_filename(filename, keep_folders=self._keep_folders)
        part.writer = await target.begin_file()
        self._writers.append(part.writer)

    def _open_field(self, part: _Part, field_name: bytes | None) -> None:
        name = (field_name or b"").decode(errors="replace")
        if name not in self._readers:
            return
        if name in self._values:
            raise RepeatedFieldError(f"Send the form field '{name}' once.", field=name)
        part.field_name, part.text = name, bytearray()

    async def _write(self, part: _Part, data: bytes, target: UploadTarget) -> None:
        part.byte_count += len(data)
        if part.writer is None:
            if part.byte_count > MAX_FIELD_BYTES:
                raise BodyTooLargeError("A form field is too large.", max_bytes=MAX_FIELD_BYTES)
            if part.text is not None:
                part.text += data
            return
        if part.byte_count > self._limits.max_file_bytes:
            raise FileTooLargeError(
                f"A file may have at most {self._limits.max_file_bytes} bytes.",
                filename=part.filename,
                max_bytes=self._limits.max_file_bytes,
            )
        await target.make_room(len(data))
        await part.writer.write(data)

    async def _close_part(self, part: _Part) -> None:
        if part.writer is not None and part.filename is not None:
            self._received.append(ReceivedFile(part.filename, await part.writer.finish()))
            self._writers.remove(part.writer)
        elif part.text is not None:
            self._values[part.field_name] = self._readers[part.field_name](bytes(part.text))

    async def _abort(self) -> None:
        """Remove incomplete files. The caller must remove the complete ones, see `received`."""
        for writer in self._writers:
            await writer.abort()

    @property
    def received(self) -> list[ReceivedFile]:
        """Return the files that are in storage already."""
        return self._received

    @property
    def values(self) -> Mapping[str, Any]:
        """Return the values of the kept fields that were sent."""
        return self._values


def require_length(request: Request, limits: MultipartLimits) -> int | None:
    """Return the declared length of the body, or None. It is a little more than the length of the files.

    Raises:
        BodyTooLargeError: the length is over the limit.
    """
    declared = request.headers.get("content-length", "")
    if not (declared.isascii() and declared.isdigit() and len(declared) <= MAX_LENGTH_DIGITS):
        return None
    _require_size(int(declared), limits)
    return int(declared)


def _require_size(byte_count: int, limits: MultipartLimits) -> None:
    if byte_count > limits.max_request_bytes:
        raise BodyTooLargeError(
            f"A request may have at most {limits.max_request_bytes} bytes.", max_bytes=limits.max_request_bytes
        )
