"""Reads what stands beside the body of a Word file: notes, comments, headers and footers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Final

from lxml import etree

from fastapi_ignite.rag.extraction.conventions.comments import comment_text
from fastapi_ignite.rag.extraction.docx.blocks import Block, Paragraph
from fastapi_ignite.rag.extraction.docx.names import w
from fastapi_ignite.rag.extraction.docx.notes import NoteReference, notes_by_id
from fastapi_ignite.rag.extraction.docx.story import Document, Story

_NUMBER: Final = re.compile(r"\d+")
# It was right on the page that was laid out last, and is wrong on all others.
_PAGE_NUMBER: Final = re.compile(r"\W*\d{1,3}(\W+\d{1,3})?\W*")


class SideParts:
    """The parts beside the body of one document."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._notes = cache(self._read_notes)

    def note(self, reference: NoteReference) -> Iterator[Block]:
        """Yield the blocks of a note. The first begins with the mark that stands in the text."""
        story, notes = self._notes(reference.kind)
        note = notes.get(reference.note_id)
        if note is None:
            return
        story.inline.note_mark = reference.mark
        mark = f"[{reference.mark}]" if reference.mark else ""
        for number, block in enumerate(story.blocks([note])):
            if number == 0 and isinstance(block, Paragraph):
                block.text = f"{mark} {block.text.removeprefix(mark).lstrip()}".lstrip()
            yield block

    def comments(self) -> Iterator[Block]:
        """Yield the comments. Their first paragraphs say whose they are."""
        for part in self._document.parts("comments"):
            root, story = self._open(part)
            for comment in root.iterchildren(w("comment")):
                author = comment.get(w("author"), "")
                for number, block in enumerate(story.blocks([comment])):
                    if number == 0 and isinstance(block, Paragraph):
                        block.text = comment_text(block.text, author)
                    yield block

    def headers_and_footers(self) -> Iterator[Block]:
        """Yield each distinct paragraph and table of all headers, and then of all footers, once.

        A paragraph that holds a page number and nothing else is left out.
        """
        seen: set[str] = set()
        for kind in ("header", "footer"):
            for part in sorted(self._document.parts(kind), key=_by_number):
                root, story = self._open(part)
                for block in story.blocks([root]):
                    text = block.text if isinstance(block, Paragraph) else "\n".join(map("\t".join, block.rows))
                    text = text.strip()
                    if text not in seen and not _PAGE_NUMBER.fullmatch(text):
                        seen.add(text)
                        yield block

    def _open(self, part: str) -> tuple[etree._Element, Story]:
        package = self._document.package
        return package.required_xml(part), Story(self._document, package.relations(part))

    def _read_notes(self, kind: str) -> tuple[Story, dict[str, etree._Element]]:
        notes: dict[str, etree._Element] = {}
        story = Story(self._document, {})
        for part in self._document.parts(f"{kind}s"):
            root, story = self._open(part)
            notes = notes_by_id(root, kind) | notes
        return story, notes


def _by_number(part: str) -> tuple[int, str]:
    """Word numbers these parts in the order in which the document uses them."""
    number = _NUMBER.search(part.rpartition("/")[2])
    return (int(number[0][:9]) if number else 0, part)
