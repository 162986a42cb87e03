"""A file that cannot be indexed ends in an error code and a sentence that says what to do."""

from __future__ import annotations

import gzip
import io
import random
import tarfile
import tracemalloc
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from fastapi_ignite.rag.extraction import ErrorCode, ExtractedText, ExtractionError, ExtractionLimits
from fastapi_ignite.rag.extraction.package_parts import open_package, unpack
from fastapi_ignite.rag.extraction.process import extract
from support import sample_files

Refusal = Callable[..., Awaitable[ExtractionError]]
PNG = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + bytes(64)


def tar() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.txt"))
    return file.getvalue()


def encrypted_odt() -> bytes:
    return sample_files.make_zip(
        {
            "mimetype": "application/vnd.oasis.opendocument.text",
            "META-INF/manifest.xml": "<manifest:encryption-data/>",
            "content.xml": "?",
        }
    )


@pytest.mark.parametrize(
    ("name", "data", "code"),
    [
        ("empty.txt", b"", ErrorCode.EMPTY_FILE),
        ("blank.txt", b" \n\t\r\n", ErrorCode.NO_TEXT),
        ("mark.txt", b"\xef\xbb\xbf", ErrorCode.NO_TEXT),
        ("scan.pdf", sample_files.make_pdf(["", ""]), ErrorCode.NO_TEXT),
        ("empty.docx", sample_files.make_docx([]), ErrorCode.NO_TEXT),
        ("empty.pptx", sample_files.make_pptx([]), ErrorCode.NO_TEXT),
        ("empty.xlsx", sample_files.make_xlsx([]), ErrorCode.NO_TEXT),
        ("secret.docx", sample_files.make_encrypted_office_file(), ErrorCode.PASSWORD_PROTECTED),
        ("secret.odt", encrypted_odt(), ErrorCode.PASSWORD_PROTECTED),
        ("secret.eml", b"From: a@b.c\nContent-Type: multipart/encrypted\n\nx", ErrorCode.PASSWORD_PROTECTED),
        ("old.doc", sample_files.make_old_word_file(), ErrorCode.UNSUPPORTED_TYPE),
        ("files.zip", sample_files.make_zip({"a.txt": "text"}), ErrorCode.UNSUPPORTED_TYPE),
        ("none.zip", sample_files.make_zip({}), ErrorCode.UNSUPPORTED_TYPE),
        ("a.gz", gzip.compress(b"text", mtime=0), ErrorCode.UNSUPPORTED_TYPE),
        ("a.tar", tar(), ErrorCode.UNSUPPORTED_TYPE),
        ("a.png", PNG, ErrorCode.UNSUPPORTED_TYPE),
        ("image.txt", PNG, ErrorCode.UNSUPPORTED_TYPE),
        ("nul.txt", b"some text\x00more text", ErrorCode.UNSUPPORTED_TYPE),
        ("wide.txt", "some text\0more".encode("utf-16"), ErrorCode.UNSUPPORTED_TYPE),
        ("noise.txt", random.Random(7).randbytes(5000), ErrorCode.UNSUPPORTED_TYPE),
        ("cut.docx", sample_files.make_docx(["words " * 100])[:-30], ErrorCode.CORRUPT_FILE),
        ("cut.pdf", b"%PDF-1.7\nnothing of use", ErrorCode.CORRUPT_FILE),
        ("odd.txt", b"\xff\xfea\x00b", ErrorCode.CORRUPT_FILE),
        ("bomb.docx", sample_files.make_docx_bomb(64), ErrorCode.TOO_LARGE),
        ("liar.docx", sample_files.make_lying_docx_bomb(64), ErrorCode.CORRUPT_FILE),
    ],
)
async def test_refused_for_good(refusal: Refusal, name: str, data: bytes, code: ErrorCode) -> None:
    error = await refusal(data, name)
    assert error.code == code
    assert error.message.endswith(".")
    assert not error.retryable


async def test_a_scan_is_told_to_be_recognised_first(refusal: Refusal) -> None:
    assert "OCR" in (await refusal(sample_files.make_pdf([""]))).message


async def test_entities_are_not_expanded(refusal: Refusal) -> None:
    error = await refusal(sample_files.make_entity_bomb(), "a.docx", ExtractionLimits(cpu_seconds=10))
    assert error.code in {ErrorCode.NO_TEXT, ErrorCode.CORRUPT_FILE, ErrorCode.TOO_LARGE}


async def test_too_much_text(refusal: Refusal) -> None:
    limits = ExtractionLimits(max_characters=100)
    assert (await refusal(b"x" * 101, "a.txt", limits)).code == "too_many_characters"


async def test_a_lost_file_is_no_fault_of_the_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        await extract(tmp_path / "gone", filename="gone.txt")


async def test_a_full_limit_is_not_too_much(read: Callable[..., Awaitable[ExtractedText]]) -> None:
    assert len((await read("ü".encode() * 100, "a.txt", ExtractionLimits(max_characters=100))).text) == 100


def test_no_more_of_a_part_is_unpacked_than_its_header_says() -> None:
    package = open_package(sample_files.make_lying_docx_bomb(64))
    tracemalloc.start()
    with pytest.raises(ExtractionError, match=ErrorCode.CORRUPT_FILE):
        unpack(package, "word/document.xml")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
