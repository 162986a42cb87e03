"""The blocks that a Word file consists of, and how they become the stored text."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from fastapi_ignite.rag.extraction.docx.notes import ENDNOTE, NoteReference
from fastapi_ignite.rag.extraction.text_builder import TextBuilder


class Role(Enum):
    BODY = auto()
    HEADING = auto()
    LIST_ITEM = auto()
    CODE = auto()


@dataclass(slots=True)
class Paragraph:
    """A paragraph with its list number or bullet. `level` is that of a heading."""

    text: str
    role: Role = Role.BODY
    level: int = 0
    notes: Sequence[NoteReference] = ()
    is_bold: bool = False


@dataclass(slots=True)
class Table:
    rows: list[list[str]]
    header_rows: int
    notes: Sequence[NoteReference] = ()


Block = Paragraph | Table


class BlockWriter:
    """Adds blocks to the text: footnotes below the paragraph, the list or the table that refers to them."""

    def __init__(self, builder: TextBuilder, read_note: Callable[[NoteReference], Iterable[Block]]) -> None:
        self._builder = builder
        self._read_note = read_note
        self._code: list[str] = []
        self._footnotes: list[NoteReference] = []
        self._endnotes: list[NoteReference] = []
        self._written: set[tuple[str, str]] = set()

    def write(self, block: Block) -> None:
        role = block.role if isinstance(block, Paragraph) else None
        if role is Role.CODE and isinstance(block, Paragraph):
            self._code.append(block.text)
            self._remember(block.notes)
            return
        self._end_code()
        if role is not Role.LIST_ITEM:
            self._write_footnotes()
        self._add(block)
        self._remember(block.notes)
        if role is not Role.LIST_ITEM:
            self._write_footnotes()

    def end_story(self) -> None:
        """Write what still waits for the end of the list or the code that it belongs to."""
        self._end_code()
        self._write_footnotes()

    def write_endnotes(self) -> None:
        while self._endnotes:
            self._write_note(self._endnotes.pop(0))
            self.end_story()

    def _add(self, block: Block) -> None:
        if isinstance(block, Table):
            self._builder.table(block.rows, header_rows=block.header_rows)
        elif block.role is Role.HEADING:
            self._builder.heading(block.text, block.level)
        elif block.role is Role.LIST_ITEM:
            self._builder.list_item(block.text)
        else:
            self._builder.paragraph(block.text)

    def _end_code(self) -> None:
        if self._code:
            self._builder.code("\n".join(self._code))
            self._code.clear()

    def _remember(self, notes: Iterable[NoteReference]) -> None:
        for note in notes:
            key = note.kind, note.note_id
            if key not in self._written:
                self._written.add(key)
                (self._endnotes if note.kind == ENDNOTE else self._footnotes).append(note)

    def _write_footnotes(self) -> None:
        while self._footnotes:
            self._write_note(self._footnotes.pop(0))

    def _write_note(self, note: NoteReference) -> None:
        for block in self._read_note(note):
            self._add(block)
            self._remember(block.notes)
