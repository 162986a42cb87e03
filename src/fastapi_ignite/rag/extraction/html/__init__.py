"""Reads an HTML page: its text without scripts and navigation, and its headings, lists, tables and code.

What is left out on purpose:
- scripts, styles, comments, templates without a shadow root, and what stands in place of drawings, sound, films and
  frames that a browser shows (`svg`, `canvas`, `audio`, `video`, `object`, `iframe`)
- `head`, save `title`; `nav`, save in `aside`; suggestions of an input field (`datalist`); a list of more than 50
  options to choose from
- elements with `hidden`, `display: none` or `visibility: hidden`, unless the page unfolds them: `until-found`, a panel
  that a control names, and what stands right below a heading, a button or a question
- `noscript`, if it only asks for JavaScript
- the pronunciation of characters (`rt`), and the source of a formula beside it (`annotation`)
- attributes, save the `alt` of a picture that is no file name, the value of a text field or a button, the label of
  a group of options, and the numbers of a list
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import ClassVar, Final

from fastapi_ignite.rag.extraction.html.blocks import Block, add_blocks
from fastapi_ignite.rag.extraction.html.fonts import SymbolFonts
from fastapi_ignite.rag.extraction.html.list_numbers import ListNumbers
from fastapi_ignite.rag.extraction.html.markup import Tag, attributes_of, tokens
from fastapi_ignite.rag.extraction.html.superscripts import Formula
from fastapi_ignite.rag.extraction.html.tables import TableText
from fastapi_ignite.rag.extraction.html.text import LOWEST_HEADING
from fastapi_ignite.rag.extraction.html.visibility import Visibility
from fastapi_ignite.rag.extraction.structure import SpanKind
from fastapi_ignite.rag.extraction.text_builder import TextBuilder

# fmt: off
_UNREAD: Final = frozenset({
    "script", "style", "template", "svg", "canvas", "iframe", "object", "audio", "video", "datalist", "head", "nav",
    "rt", "rp", "annotation", "annotation-xml",
})
_LINES: Final = (
    "address", "body", "caption", "center", "details", "dialog", "dir", "div", "fieldset", "figcaption", "figure",
    "footer", "form", "header", "hr", "html", "legend", "main",
)
_PARAGRAPHS: Final = ("article", "blockquote", "p", "section")
_HEADINGS: Final = ("h1", "h2", "h3", "h4", "h5", "h6")
_ENDING_PARAGRAPHS: Final = frozenset({
    *_LINES, *_PARAGRAPHS, *_HEADINGS, "aside", "dl", "menu", "nav", "ol", "pre", "table", "ul",
})
_VOID: Final = frozenset({
    "area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr",
})
_INPUTS_WITH_TEXT: Final = frozenset({
    "", "text", "search", "email", "tel", "url", "number", "date", "time", "month", "week", "datetime-local",
    "submit", "button", "reset",
})
# fmt: on
_ONLY_SCRIPTS: Final = frozenset({"script", "style"})
_FILE_NAME: Final = re.compile(r"\S+\.(?:png|jpe?g|gif|svg|webp|bmp|tiff?|ico|avif)", re.IGNORECASE)
_MOST_OPTIONS: Final = 50
_LONGEST_NOTE_ON_SCRIPTS: Final = 300


def read_page(html: str, builder: TextBuilder, *, with_title: bool = True) -> None:
    """Add a page to `builder`, its `<title>` as the first heading.

    A page whose markup is so broken that a part to leave out is never closed is read whole rather than lost.
    """
    page = _Page(_UNREAD, with_title=with_title)
    page.read(html)
    if page.left_open:
        page = _Page(_ONLY_SCRIPTS, with_title=True)
        page.read(html)
    add_blocks(page.blocks, builder)


class _Page(TableText):
    """Knows what each tag means. `opened` and `closed` name the method for each; other tags are words in a line."""

    def __init__(self, unread: frozenset[str], *, with_title: bool) -> None:
        super().__init__()
        self._unread = unread
        self._with_title = with_title
        self._skipping = ""
        self._skipped_depth = 0
        self._visibility = Visibility()
        self._asides = 0
        self._level = 0
        self._button_is_line = False
        self._formula: Formula | None = None
        self._fonts = SymbolFonts()
        self._lists = ListNumbers()
        # where the blocks of an element begin that may be left out in the end
        self._options: tuple[list[Block], int] | None = None
        self._option_count = 0
        self._noscript: tuple[list[Block], int] | None = None

    @property
    def left_open(self) -> bool:
        return bool(self._skipping)

    def read(self, html: str) -> None:
        for token in tokens(html):
            if isinstance(token, str):
                if not self._skipping:
                    self.add_text(self._fonts.shown(token) if self._fonts.is_open else token)
            elif token.is_start:
                self._open(token)
            else:
                self._close(token.name)
        self.end_page()

    def _open(self, tag: Tag) -> None:
        name = tag.name
        if self._skipping:
            self._open_skipped(tag)
            return
        if tag.attributes and self._visibility.hides(tag, self.at_question) and self._omits_parts:
            if name not in _VOID:
                self._skip(name)
            return
        if name in self._unread and not (name == "nav" and self._asides) and "shadowroot" not in tag.attributes:
            self._skip(name)
            return
        if self._formula is not None:
            self._formula.open(name, self.words)
        opened = self.opened.get(name)
        if opened is not None:
            opened(self, tag)
        elif "-" in name:  # an element of the page's own, of which nobody knows whether it is a block
            self.set_off()

    def _close(self, name: str) -> None:
        if self._skipping:
            self._skipped_depth -= name == self._skipping
            if self._skipped_depth == 0 or (name == "ruby" and self._skipping in {"rt", "rp"}):
                self._skipping = ""
            return
        if self._formula is not None:
            self._formula.close(self.words)
        closed = self.closed.get(name)
        if closed is not None:
            closed(self)
        elif "-" in name:
            self.set_off()

    @property
    def _omits_parts(self) -> bool:
        return self._unread is not _ONLY_SCRIPTS

    def _skip(self, name: str) -> None:
        self._skipping, self._skipped_depth = name, 1

    def _open_skipped(self, tag: Tag) -> None:
        """Notice a tag which says that the part to leave out has ended, although its own end tag is missing."""
        name, skipping = tag.name, self._skipping
        if skipping == "head" and name in {"title", "body"}:
            self._skipping = ""
            self._open(tag)
        elif skipping in {"rt", "rp"} and name in {"rt", "rp", "rb"}:
            self._skipping = "" if name == "rb" else name
        elif skipping == "p" and name in _ENDING_PARAGRAPHS:
            self._skipping = ""
            self._open(tag)
        else:
            self._skipped_depth += name == skipping

    def _open_line(self, _tag: Tag) -> None:
        self.boundary(1)

    def _close_line(self) -> None:
        self.boundary(1)

    def _open_paragraph(self, _tag: Tag) -> None:
        self.boundary(2)

    def _close_paragraph(self) -> None:
        self.boundary(2)

    def _open_aside(self, _tag: Tag) -> None:
        self._asides += 1
        self.boundary(1)

    def _close_aside(self) -> None:
        self._asides = max(0, self._asides - 1)
        self.boundary(1)

    def _open_title(self, _tag: Tag) -> None:
        if self._with_title:
            self.begin_heading(1)
        else:
            self._skip("title")

    def _close_title(self) -> None:
        self.end_block(2)
        if self._omits_parts:
            self._skip("head")

    def _open_heading(self, tag: Tag) -> None:
        self._level = int(tag.name[1])
        self.begin_heading(self._level)

    def _open_summary(self, _tag: Tag) -> None:
        self.begin_heading(self._level_below)

    @property
    def _level_below(self) -> int:
        return min(self._level + 1, LOWEST_HEADING)

    def _close_heading(self) -> None:
        self.end_block(2)

    def _open_pre(self, _tag: Tag) -> None:
        self.boundary(2)
        self.preformatted = True

    def _open_list(self, tag: Tag) -> None:
        self.boundary(2)
        self._lists.begin(attributes_of(tag) if tag.name == "ol" else None)

    def _close_list(self) -> None:
        self.end_item()
        self.boundary(2)
        self._lists.end()

    def _open_item(self, tag: Tag) -> None:
        self.boundary(1)
        self.kind = SpanKind.LIST_ITEM
        self.number = self._lists.next(attributes_of(tag).get("value", "") if tag.attributes else "")

    def _open_term(self, _tag: Tag) -> None:
        self.end_block()
        self.kind = SpanKind.LIST_ITEM
        self.term_waits = True

    def _open_description(self, _tag: Tag) -> None:
        self.begin_description()

    def _close_terms(self) -> None:
        self.end_block(2)
        self.kind = None

    def _open_button(self, tag: Tag) -> None:
        # a button that unfolds something stands alone; other buttons may stand in a sentence
        self._button_is_line = not self.heading and "aria-" in tag.attributes
        if self._button_is_line:
            self.boundary(1)
        else:
            self.set_off()

    def _close_button(self) -> None:
        if self._button_is_line:
            if self.words and self.at_question():
                self.heading = self._level_below
            self.end_block()
            self._button_is_line = False
        self.end_control()

    def _open_select(self, _tag: Tag) -> None:
        self.boundary(1)
        self._options, self._option_count = (self.sink, len(self.sink)), 0

    def _open_option(self, _tag: Tag) -> None:
        self.boundary(1)
        self.kind = SpanKind.LIST_ITEM
        self._option_count += 1

    def _open_option_group(self, tag: Tag) -> None:
        self.end_item()
        self.add_word(attributes_of(tag).get("label", ""))
        self.boundary(1)

    def _close_select(self) -> None:
        self.end_item()
        if self._options is not None and self._option_count > _MOST_OPTIONS:
            blocks, start = self._options
            del blocks[start:]
        self._options = None

    def _open_input(self, tag: Tag) -> None:
        attributes = attributes_of(tag)
        has_text = attributes.get("type", "").lower() in _INPUTS_WITH_TEXT
        self.add_word(attributes.get("value", "") if has_text else "")

    def _open_image(self, tag: Tag) -> None:
        alternative = attributes_of(tag).get("alt", "")
        # behind a picture that a script loads, `noscript` has it once more
        if alternative and self._noscript is None and not _FILE_NAME.fullmatch(alternative.strip()):
            self.add_word(alternative)

    def _open_noscript(self, _tag: Tag) -> None:
        self.boundary(1)
        self._noscript = (self.sink, len(self.sink))

    def _close_noscript(self) -> None:
        self.boundary(1)
        if self._noscript is not None:
            blocks, start = self._noscript
            note = " ".join(block.text for block in blocks[start:])
            if len(note) <= _LONGEST_NOTE_ON_SCRIPTS and "javascript" in note.lower():
                del blocks[start:]
        self._noscript = None

    def _open_break(self, _tag: Tag) -> None:
        self.end_line()

    def _open_script(self, tag: Tag) -> None:
        self.begin_script(tag.name)

    def _close_script(self) -> None:
        self.script = ""

    def _open_code(self, _tag: Tag) -> None:
        self.code += 1

    def _close_code(self) -> None:
        self.code = max(0, self.code - 1)

    def _open_strong(self, _tag: Tag) -> None:
        self.strong += 1

    def _close_strong(self) -> None:
        self.strong = max(0, self.strong - 1)

    def _open_font(self, tag: Tag) -> None:
        self._fonts.open(tag)

    def _close_font(self) -> None:
        self._fonts.close()

    def _open_math(self, _tag: Tag) -> None:
        self._formula = Formula()

    def _close_math(self) -> None:
        self._formula = None

    opened: ClassVar[dict[str, Callable[[_Page, Tag], None]]] = {
        **dict.fromkeys(_LINES, _open_line),
        **dict.fromkeys(_PARAGRAPHS, _open_paragraph),
        **dict.fromkeys(_HEADINGS, _open_heading),
        **dict.fromkeys(("ol", "ul", "menu"), _open_list),
        **dict.fromkeys(("sup", "sub"), _open_script),
        **dict.fromkeys(("code", "kbd", "samp"), _open_code),
        **dict.fromkeys(("b", "strong"), _open_strong),
        **dict.fromkeys(("td", "th"), TableText.open_cell),
        **dict.fromkeys(("thead", "tbody", "tfoot"), TableText.open_row_group),
        **dict.fromkeys(("span", "font"), _open_font),
        "aside": _open_aside,
        "br": _open_break,
        "button": _open_button,
        "dd": _open_description,
        "dl": _open_paragraph,
        "dt": _open_term,
        "img": _open_image,
        "input": _open_input,
        "li": _open_item,
        "math": _open_math,
        "noscript": _open_noscript,
        "optgroup": _open_option_group,
        "option": _open_option,
        "pre": _open_pre,
        "select": _open_select,
        "summary": _open_summary,
        "table": TableText.open_table,
        "title": _open_title,
        "tr": TableText.open_row,
    }
    closed: ClassVar[dict[str, Callable[[_Page], None]]] = {
        **dict.fromkeys(_LINES, _close_line),
        **dict.fromkeys(_PARAGRAPHS, _close_paragraph),
        **dict.fromkeys((*_HEADINGS, "summary", "pre"), _close_heading),
        **dict.fromkeys(("ol", "ul", "menu"), _close_list),
        **dict.fromkeys(("sup", "sub"), _close_script),
        **dict.fromkeys(("code", "kbd", "samp"), _close_code),
        **dict.fromkeys(("b", "strong"), _close_strong),
        **dict.fromkeys(("td", "th", "tr"), TableText.close_cell),
        **dict.fromkeys(("thead", "tbody", "tfoot"), TableText.close_row_group),
        **dict.fromkeys(("span", "font"), _close_font),
        **dict.fromkeys(("li", "option", "optgroup", "dd"), TableText.end_item),
        "aside": _close_aside,
        "button": _close_button,
        "dl": _close_terms,
        "dt": TableText.begin_description,
        "math": _close_math,
        "noscript": _close_noscript,
        "select": _close_select,
        "table": TableText.close_table,
        "title": _close_title,
    }
