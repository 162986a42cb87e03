"""Tests of the streaming multipart reader: files arrive as they were sent, and a refused body leaves nothing."""

from __future__ import annotations

import random
from collections.abc import AsyncGenerator, Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from fastapi_ignite.core.errors import IgniteError
from fastapi_ignite.core.ids import new_id
from fastapi_ignite.http.filenames import InvalidFilenameError, clean_filename
from fastapi_ignite.http.multipart import (
    FileTooLargeError,
    MultipartLimits,
    MultipartReader,
    RepeatedFieldError,
    TooManyFilesError,
    require_length,
)
from fastapi_ignite.http.problems import BodyTooLargeError, MalformedBodyError
from fastapi_ignite.infra.storage import LocalStorage, UploadWriter

BOUNDARY = "----frontier"
LIMITS = MultipartLimits(max_file_bytes=1000, max_request_bytes=100_000, max_files=5)
MULTIPART = f"multipart/form-data; boundary={BOUNDARY}"


class Upload:
    """Simulates a request whose body comes in the given pieces, and stores its files in a folder."""

    def __init__(self, folder: Path, chunks: Iterable[bytes], **headers: str) -> None:
        self.folder = folder / new_id().hex
        self.taken = 0
        self.values: Mapping[str, Any] = {}
        self._messages = self._as_messages(chunks)
        fields = {"content-type": MULTIPART, **{name.replace("_", "-"): value for name, value in headers.items()}}
        scope = {
            "type": "http",
            "state": {},
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in fields.items()],
        }
        self.request = Request(scope, self._receive)
        self._storage = LocalStorage(self.folder)

    async def _as_messages(self, chunks: Iterable[bytes]) -> AsyncGenerator[Message]:
        for chunk in chunks:
            yield {"type": "http.request", "body": chunk, "more_body": True}
        yield {"type": "http.request", "body": b"", "more_body": False}

    async def _receive(self) -> Message:
        self.taken += 1
        return await anext(self._messages)

    async def begin_file(self) -> UploadWriter:
        """Open a new file in the storage."""
        return await self._storage.writer(new_id().hex)

    async def make_room(self, byte_count: int) -> None:
        """Do nothing, because there is always room."""

    async def read(self, limits: MultipartLimits = LIMITS) -> list[tuple[str, bytes]]:
        """Return the names and the stored bytes of the files that arrived."""
        reader = MultipartReader(self.request, limits=limits, field_name="files", fields={"kept": bytes.decode})
        try:
            received = await reader.read(self)
        finally:
            keys = {file.stored.key for file in reader.received}
            # the caller removes whole files; of the others, nothing may be left
            assert {path.name for path in (self.folder / "objects").glob("*")} == keys
            assert not list((self.folder / "incoming").glob("*"))
        self.values = reader.values
        return [(file.filename, (self.folder / "objects" / file.stored.key).read_bytes()) for file in received]


def part(content: bytes, disposition: str, headers: str = "") -> bytes:
    return (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n{headers}\r\n".encode() + content + b"\r\n"
    )


def file_part(name: str, content: bytes) -> bytes:
    return part(content, f'name="files"; filename="{name}"')


def body_of(*parts: bytes) -> bytes:
    return b"".join(parts) + f"--{BOUNDARY}--\r\n".encode()


def cut(body: bytes, places: Iterable[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(body) + 1) for place in places), len(body)]
    return [body[start:end] for start, end in pairwise(edges)]


# bytes that a parser may take for the boundary, or may lose at the end of a chunk
TRICKY = st.lists(
    st.sampled_from(
        [b"\r", b"\n", b"\r\n", b"-", b"--", b"\r\n--", f"\r\n--{BOUNDARY[:-1]}".encode(), b"text", b"\x00"]
    ),
    max_size=12,
).map(b"".join)
PLACES = st.lists(st.integers(0, 5000), max_size=20)


@given(contents=st.lists(TRICKY, min_size=1, max_size=3), places=PLACES)
async def test_files_arrive_as_sent_however_the_body_is_cut(
    tmp_path_factory: pytest.TempPathFactory, contents: list[bytes], places: list[int]
) -> None:
    body = body_of(*(file_part(f"{number}.txt", content) for number, content in enumerate(contents)))
    upload = Upload(tmp_path_factory.getbasetemp(), cut(body, places))
    assert await upload.read() == [(f"{number}.txt", content) for number, content in enumerate(contents)]


@given(seed=st.integers(0, 2**32), places=PLACES)
async def test_a_damaged_body_is_read_or_refused_and_leaves_nothing(
    tmp_path_factory: pytest.TempPathFactory, seed: int, places: list[int]
) -> None:
    chance = random.Random(seed)
    body = bytearray(
        body_of(file_part("a.txt", b"first"), part(b"field", 'name="note"'), file_part("b.txt", b"second"))
    )
    for _ in range(chance.randint(1, 6)):
        position = chance.randrange(len(body))
        if chance.random() < 0.5:
            body[position] = chance.randrange(256)
        else:
            del body[position : position + chance.randint(1, 30)]
    try:
        await Upload(tmp_path_factory.getbasetemp(), cut(bytes(body), places)).read()
    except IgniteError as error:
        assert error.status in {400, 413, 422}  # noqa: PT017  a refusal is one of the two good outcomes


async def test_a_file_of_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    upload = Upload(tmp_path, [body_of(file_part("a.txt", b"x" * LIMITS.max_file_bytes))])
    assert await upload.read() == [("a.txt", b"x" * LIMITS.max_file_bytes)]


async def test_reading_stops_where_a_file_passes_the_limit(tmp_path: Path) -> None:
    head = file_part("big.txt", b"")[:-2]
    upload = Upload(tmp_path, [head, *[b"x" * 400] * 50])
    with pytest.raises(FileTooLargeError) as refusal:
        await upload.read()
    assert refusal.value.extra == {"filename": "big.txt", "max_bytes": LIMITS.max_file_bytes}
    assert upload.taken == 4


async def test_reading_stops_where_the_request_passes_the_limit(tmp_path: Path) -> None:
    pieces = [file_part(f"{number}.txt", b"x" * 900) for number in range(4)]
    limits = MultipartLimits(max_file_bytes=1000, max_request_bytes=2500, max_files=5)
    upload = Upload(tmp_path, pieces)
    with pytest.raises(BodyTooLargeError):
        await upload.read(limits)
    assert upload.taken == 3


async def test_a_declared_length_over_the_limit_is_refused_unread(tmp_path: Path) -> None:
    upload = Upload(tmp_path, [body_of(file_part("a.txt", b"x"))], content_length="100001")
    with pytest.raises(BodyTooLargeError):
        await upload.read()
    assert upload.taken == 0


async def test_one_file_too_many(tmp_path: Path) -> None:
    parts = [file_part(f"{number}.txt", b"x") for number in range(LIMITS.max_files + 1)]
    assert len(await Upload(tmp_path, [body_of(*parts[:-1])]).read()) == LIMITS.max_files
    with pytest.raises(TooManyFilesError):
        await Upload(tmp_path, [body_of(*parts)]).read()


async def test_other_fields_are_passed_over(tmp_path: Path) -> None:
    body = body_of(
        part(b"not a file", 'name="files"'),
        part(b"another field's file", 'name="picture"; filename="p.txt"'),
        part(b"1", 'name="note"'),
        file_part("a.txt", b"kept"),
    )
    assert await Upload(tmp_path, [body]).read() == [("a.txt", b"kept")]


@given(
    content=st.text(max_size=50),
    places=PLACES,
    disposition=st.sampled_from(['name="kept"', 'name="kept"; filename="blob"']),
)
async def test_a_field_that_is_kept_arrives_whole(
    tmp_path_factory: pytest.TempPathFactory, content: str, places: list[int], disposition: str
) -> None:
    body = body_of(file_part("a.txt", b"x"), part(content.encode(), disposition), part(b"dropped", 'name="note"'))
    upload = Upload(tmp_path_factory.getbasetemp(), cut(body, places))
    assert await upload.read() == [("a.txt", b"x")]
    assert upload.values == {"kept": content}


async def test_a_field_that_is_kept_may_be_sent_once(tmp_path: Path) -> None:
    for body in (
        body_of(part(b"", 'name="kept"'), part(b"", 'name="kept"')),
        body_of(part(b"", 'name="kept"'), file_part("a.txt", b"x"), part(b"x", 'name="kept"')),
    ):
        with pytest.raises(RepeatedFieldError):
            await Upload(tmp_path, [body]).read()


async def test_other_fields_are_bounded(tmp_path: Path) -> None:
    with pytest.raises(BodyTooLargeError):
        await Upload(tmp_path, [body_of(part(b"x" * 140_000, 'name="note"'))]).read()
    with pytest.raises(TooManyFilesError):
        await Upload(tmp_path, [body_of(*[part(b"x", 'name="note"')] * 21)]).read()


@pytest.mark.parametrize(
    "headers", ["".join(f"X-{number}: x\r\n" for number in range(20)), f"X-Long: {'x' * 10_000}\r\n", "no colon\r\n"]
)
async def test_part_headers_are_bounded(tmp_path: Path, headers: str) -> None:
    with pytest.raises(MalformedBodyError):
        await Upload(tmp_path, [body_of(part(b"x", 'name="files"; filename="a.txt"', headers))]).read()


@pytest.mark.parametrize("kept", [0, 10, 60, 200, -len(BOUNDARY), -4])
async def test_a_body_cut_short_is_refused(tmp_path: Path, kept: int) -> None:
    body = body_of(file_part("a.txt", b"x" * 100), file_part("b.txt", b"y" * 100))
    with pytest.raises(MalformedBodyError):
        await Upload(tmp_path, [body[:kept]]).read()


@pytest.mark.parametrize("kept", [1_200_000, 2_400_000])
async def test_what_a_cut_off_body_had_written_to_disk_is_removed(tmp_path: Path, kept: int) -> None:
    """The files are larger than the buffer of the writer. In one of the cases, the first one has arrived whole."""
    body = body_of(file_part("a.txt", b"x" * 2_200_000), file_part("b.txt", b"y" * 2_200_000))
    limits = MultipartLimits(max_file_bytes=10**7, max_request_bytes=10**7, max_files=5)
    with pytest.raises(MalformedBodyError):
        await Upload(tmp_path, cut(body[:kept], range(0, kept, 2**16))).read(limits)


async def test_a_caller_who_leaves_is_no_failure_of_ours(tmp_path: Path) -> None:
    upload = Upload(tmp_path, [])

    async def messages() -> AsyncGenerator[Message]:
        yield {"type": "http.request", "body": body_of(file_part("a.txt", b"x" * 500))[:300], "more_body": True}
        yield {"type": "http.disconnect"}

    upload._messages = messages()
    with pytest.raises(MalformedBodyError):
        await upload.read()


@pytest.mark.parametrize(
    "content_type",
    [
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/mixed; boundary=x",
        f"multipart/form-data; boundary={'x' * 201}",
        "multipart/form-data; boundary=another",
    ],
)
async def test_a_body_of_another_type_is_refused(tmp_path: Path, content_type: str) -> None:
    upload = Upload(tmp_path, [body_of(file_part("a.txt", b"x"))], content_type=content_type)
    with pytest.raises(MalformedBodyError):
        await upload.read()


async def test_the_media_type_is_read_in_any_case_and_the_boundary_in_quotes(tmp_path: Path) -> None:
    upload = Upload(
        tmp_path, [body_of(file_part("a.txt", b"x"))], content_type=f'Multipart/Form-Data; Boundary="{BOUNDARY}"'
    )
    assert await upload.read() == [("a.txt", b"x")]


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        ("filename*=UTF-8''Gr%C3%B6%C3%9Fe.txt", "Größe.txt"),
        ("filename*=iso-8859-1'de'Gr%F6%DFe.txt", "Größe.txt"),
        ("filename=\"plain.txt\"; filename*=UTF-8''other.txt", "plain.txt"),
        ("filename*=UTF-8''..%2F..%2Fetc%2Fpasswd", "passwd"),
        ('filename="=?utf-8?B?R3LDtsOfZS50eHQ=?="', "Größe.txt"),
        ('filename="=?iso-8859-1?Q?Gr=F6=DFe.txt?="', "Größe.txt"),
        ('filename="=?klingon?B?QUJD?="', "=?klingon?B?QUJD?="),
        ('filename="=?utf-8?B?A?="', "=?utf-8?B?A?="),
    ],
)
async def test_names_of_files_in_other_encodings(tmp_path: Path, disposition: str, name: str) -> None:
    assert await Upload(tmp_path, [body_of(part(b"x", f'name="files"; {disposition}'))]).read() == [(name, b"x")]


@pytest.mark.parametrize("disposition", ["filename*=klingon''x.txt", "title=\"; filename*=utf-8''x.txt\""])
async def test_a_part_without_a_filename_is_no_file(tmp_path: Path, disposition: str) -> None:
    assert await Upload(tmp_path, [body_of(part(b"x", f'name="files"; {disposition}'))]).read() == []


@given(places=PLACES)
async def test_a_text_before_the_first_boundary_is_passed_over(
    tmp_path_factory: pytest.TempPathFactory, places: list[int]
) -> None:
    body = (
        b"This is a message --" + BOUNDARY.encode() + b"\r\nin several parts.\r\n" + body_of(file_part("a.txt", b"x"))
    )
    assert await Upload(tmp_path_factory.getbasetemp(), cut(body, places)).read() == [("a.txt", b"x")]


async def test_a_body_without_a_boundary_is_refused_before_it_fills_the_memory(tmp_path: Path) -> None:
    upload = Upload(tmp_path, [b"x" * 30_000] * 10)
    with pytest.raises(MalformedBodyError):
        await upload.read(MultipartLimits(max_file_bytes=10**6, max_request_bytes=10**6, max_files=1))
    assert upload.taken == 3


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"guide.txt", "guide.txt"),
        (b"../../etc/passwd", "passwd"),
        (b"/etc/passwd", "passwd"),
        (b"C:\\Users\\ada\\notes.txt", "notes.txt"),
        (b"..\\..\\notes.txt", "notes.txt"),
        (b"folder/", "folder"),
        ("Überblick 概要 🚀.pdf".encode(), "Überblick 概要 🚀.pdf"),
        (b"  spaced.txt ", "spaced.txt"),
        (b"latin-\xe9.txt", "latin-�.txt"),
        (b"x" * 255, "x" * 255),
    ],
)
def test_a_filename_is_its_last_component(raw: bytes, kept: str) -> None:
    assert clean_filename(raw) == kept


@pytest.mark.parametrize(
    ("raw", "kept"),
    [
        (b"guides/setup.txt", "guides/setup.txt"),
        (b"guides\\setup.txt", "guides/setup.txt"),
        (b"../../etc/passwd", "etc/passwd"),
        (b"a/../b.txt", "a/b.txt"),
        (b"//etc//passwd/", "etc/passwd"),
        (b"./a/ . /b.txt", "a/b.txt"),
        ("a/\u202e../b.txt".encode(), "a/b.txt"),
        (b"guide.txt", "guide.txt"),
    ],
)
def test_folders_are_kept_on_request_and_lead_nowhere(raw: bytes, kept: str) -> None:
    assert clean_filename(raw, keep_folders=True) == kept


@pytest.mark.parametrize("raw", [b"", b"/", b"//", b"../..", b"a/" * 128 + b"b", b"a\x00/b", "\u200b/\u2066".encode()])
def test_a_path_that_cannot_be_kept_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidFilenameError):
        clean_filename(raw, keep_folders=True)


@pytest.mark.parametrize(
    "raw",
    [b"", b" ", b"/", b".", b"..", b"a/..", b"x" * 256, b"nul\x00.txt", b"bell\x07.txt", b"del\x7f", "\x85".encode()],
)
def test_a_filename_that_cannot_be_kept_is_refused(raw: bytes) -> None:
    with pytest.raises(InvalidFilenameError):
        clean_filename(raw)


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("invoice\u202efdp.exe", "invoicefdp.exe"),
        ("\u202ahidden start.txt", "hidden start.txt"),
        ("\u2067isolated\u2069.txt", "isolated.txt"),
        ("zero\u200bwidth\ufeff.txt", "zerowidth.txt"),
        ("two\u2028lines\u2029.txt", "twolines.txt"),
        ("tag\U000e0041s.txt", "tags.txt"),
        (" \u200f mark.txt", "mark.txt"),
        (
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt",
            "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645.txt",
        ),
        ("\U0001f469\u200d\U0001f4bb.txt", "\U0001f469\u200d\U0001f4bb.txt"),
    ],
)
def test_what_nobody_sees_of_a_filename_is_left_out(sent: str, kept: str) -> None:
    assert clean_filename(sent.encode()) == kept


def test_a_filename_of_nothing_visible_is_refused() -> None:
    with pytest.raises(InvalidFilenameError):
        clean_filename("\u202e\u2066\u200b".encode())


def test_a_lone_surrogate_is_replaced() -> None:
    assert clean_filename("half \ud800.txt".encode("utf-8", "surrogatepass")) == "half \ufffd\ufffd\ufffd.txt"


def test_a_length_of_too_many_digits_is_none() -> None:
    """The header is ignored, and the body is counted while it arrives."""
    request = Request({"type": "http", "headers": [(b"content-length", b"9" * 5000)]})
    assert require_length(request, LIMITS) is None
