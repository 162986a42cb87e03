"""The program that reads one document: its argument is the file's extension, its standard input the file.

It prints the text as UTF-8. It runs as a process of its own, so a parser that crashes or hangs does not end the server.
It reads what the simulator needs for its answers: the text of paragraphs, without lists, notes and headers.
"""

from __future__ import annotations

import io
import re
import sys
import zipfile
from collections.abc import Iterator
from typing import Final

import pypdfium2
from lxml import etree, html

_SLIDE: Final = re.compile(r"ppt/slides/slide(\d+)\.xml")


def main() -> int:
    try:
        text = _text_of(sys.argv[1], sys.stdin.buffer.read())
    except (pypdfium2.PdfiumError, zipfile.BadZipFile, etree.LxmlError, KeyError, ValueError):
        return 1
    sys.stdout.buffer.write(text.encode("utf-8", "replace"))
    return 0


def _text_of(suffix: str, data: bytes) -> str:
    if suffix == ".pdf":
        return "\n\n".join(_pages(data))
    if suffix == ".html":
        return str(html.fromstring(data).text_content())
    with zipfile.ZipFile(io.BytesIO(data)) as package:
        if suffix == ".pptx":
            slides = [match for name in package.namelist() if (match := _SLIDE.fullmatch(name))]
            parts = [match[0] for match in sorted(slides, key=lambda match: int(match[1]))]
        else:
            parts = ["word/document.xml"]
        return "\n\n".join(_paragraphs(package.read(part)) for part in parts)


def _pages(data: bytes) -> Iterator[str]:
    document = pypdfium2.PdfDocument(data)
    for page in document:
        yield page.get_textpage().get_text_bounded().replace("\r\n", "\n").replace("\x02", "-\n")
    document.close()


def _paragraphs(part: bytes) -> str:
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False)
    paragraphs = etree.fromstring(part, parser).iter("{*}p")
    return "\n\n".join("".join(text.text or "" for text in paragraph.iter("{*}t")) for paragraph in paragraphs)


if __name__ == "__main__":
    sys.exit(main())
